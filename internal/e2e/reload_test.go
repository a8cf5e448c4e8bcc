package e2e

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// storm is how long the reloads of a test go on: a minute where there is time for it.
func storm() time.Duration {
	if os.Getenv("POSTERN_LONG") != "" {
		return time.Minute
	}
	return 5 * time.Second
}

// TestI35ReloadsDropNoSession: a reload every 100 ms, of a file that changes each time, while sessions of both protocols talk
// and others sign in. None is dropped, none is refused; a bad file between the good ones changes nothing.
func TestI35ReloadsDropNoSession(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, postern)
	alice := g.named(t, "alice@contoso.example")
	stay := g.signIn(t, alice, "imap", "smtp")
	stay[0].say(t, "c OK", "DONE")
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string) {
		t.Helper()
		fresh := write(t, d.folder, "next.yaml", text)
		if err := os.Rename(fresh, d.config); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(storm())
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	rounds := 0
	for ; time.Now().Before(end); rounds++ {
		text := string(good) + fmt.Sprintf("  - {login: device-%d, mailbox: scans@contoso.example, provider: contoso, grant: application, policy: device}\nlimits: {connections: %d}\n", rounds, 1000+rounds)
		if rounds%7 == 3 {
			text += "nonsense: true\n"
		}
		replace(text)
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		stay[0].say(t, fmt.Sprintf("n%d OK", rounds), fmt.Sprintf("n%d NOOP", rounds))
		stay[1].say(t, "250", "NOOP")
		if rounds%10 == 0 {
			for _, l := range g.signIn(t, alice, "imap", "smtp") {
				_ = l.conn.Close()
			}
		}
		<-ticker.C
	}
	log, err := os.ReadFile(d.auditFile())
	if err != nil {
		t.Fatal(err)
	}
	changed, refused := strings.Count(string(log), `"configuration-changed"`), strings.Count(string(log), `"configuration-refused"`)
	t.Logf("%d rounds, %d reloads, %d refused", rounds, changed, refused)
	if changed < rounds/4 || refused == 0 {
		t.Errorf("%d reloads and %d refused in %d rounds: the test has not tested what it is for", changed, refused, rounds)
	}
	if n := strings.Count(string(log), `"cause":"reconfigured"`); n > 0 {
		t.Errorf("%d sessions were cut off", n)
	}
	// What a session stands on ends it when it goes, and nothing else does.
	replace(strings.Replace(string(good), "protocols: [imap, smtp], send", "protocols: [imap], send", 1))
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_, _ = stay[1].ended(t, endTime)
	stay[0].say(t, "z OK", "z NOOP")
}

// TestReloadCommand: it says what has changed, and of a bad file where it is bad.
func TestReloadCommand(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, postern)
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d.folder, filepath.Base(d.config), strings.Replace(string(good), "device: {protocols: [smtp]}", "device: {protocols: [smtp], limits: {connections: 3}}", 1))
	told := d.admin(t, "reload")
	if !strings.Contains(told, "reloaded; 0 sessions cut off") {
		t.Errorf("got %q", told)
	}
	write(t, d.folder, filepath.Base(d.config), string(good)+"polices: {}\n")
	line := strings.Count(string(good), "\n") + 1
	told, code := command{path: postern, args: []string{"reload", "-c", d.config}}.try(t)
	if want := fmt.Sprintf("%s:%d:1: polices: unknown setting; did you mean policies?", d.config, line); code != 1 || !strings.Contains(told, want) {
		t.Errorf("got %q and exit code %d, want %q and 1", told, code, want)
	}
}

// TestWithoutAuthWithdrawn: a listener that does not take an address for an identity any more ends the sessions that stood on that,
// and the connections that would become such; who signed in with a password goes on.
func TestWithoutAuthWithdrawn(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	secured := fmt.Sprintf("address: %q, tls: starttls}\n  - {protocol: smtp", g.Submission)
	byAddress := fmt.Sprintf("address: %q, tls: optional, networks: [127.0.0.0/8], without_auth: true}\n  - {protocol: smtp", g.Submission)
	withdrawn := fmt.Sprintf("address: %q, tls: optional, networks: [127.0.0.0/8]}\n  - {protocol: smtp", g.Submission)
	d.change(t, secured, byAddress, "mailbox: scans@contoso.example, provider: contoso, grant: application, policy: device}",
		"mailbox: scans@contoso.example, provider: contoso, grant: application, policy: device, without_auth: [127.0.0.1/32]}")
	d.serve(t, g, postern)
	alice := g.named(t, "alice@contoso.example")
	open := func() *submission {
		conn, err := net.Dial("tcp", g.Submission)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		c := &submission{t, conn, bufio.NewReader(conn)}
		c.hears("220")
		c.says("EHLO client.example", "250")
		return c
	}
	known, stranger, signedIn := open(), open(), open()
	known.says("MAIL FROM:<scans@contoso.example>", "250")
	signedIn.says("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+alice.Login+"\x00"+alice.Password)), "235")
	signedIn.says("MAIL FROM:<alice@contoso.example>", "250")
	d.change(t, byAddress, withdrawn)
	d.admin(t, "reload")
	known.isCut()
	stranger.isCut()
	signedIn.says("RCPT TO:<bob@contoso.example>", "250")
	if causes := d.causes(t, "copier-3"); !slices.Equal(causes, []string{"smtp reconfigured"}) {
		t.Errorf("the copier's sessions ended by %q, want the new configuration", causes)
	}
}

// submission is an SMTP client in clear.
type submission struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// says sends a line, and hears a reply that begins with want.
func (c *submission) says(line, want string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		c.t.Fatal(err)
	}
	c.hears(want)
}

func (c *submission) hears(want string) {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			c.t.Fatalf("heard %q, %v; want %s", line, err, want)
		}
		if line[3] == ' ' {
			return
		}
	}
}

// isCut demands that the connection ends.
func (c *submission) isCut() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(endTime))
	if _, err := io.ReadAll(c.in); errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection goes on")
	}
}
