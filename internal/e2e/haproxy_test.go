package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// balancer is where HAProxy's connections to the gateway come from, and balanced a client of its own, who is in the networks
// of the listeners.
const balancer, balanced = "127.0.0.1", "127.0.0.41"

// behindHAProxy is a gateway with listeners that HAProxy is in front of.
type behindHAProxy struct {
	*deployment
	*gateway
	haproxy    *process
	imap, smtp string    // listeners of the gateway
	front      [2]*ready // HAProxy's own addresses, with version 1 and 2 of the header
	stats      string    // HAProxy's socket
}

// startBehindHAProxy starts both, with health checks.
func startBehindHAProxy(t *testing.T) behindHAProxy {
	t.Helper()
	path, postern := need(t, "haproxy"), binary(t, program)
	s := startSim(t, postern)
	b := behindHAProxy{imap: freeAddress(t), smtp: freeAddress(t), stats: filepath.Join(t.TempDir(), "stats")}
	b.deployment, b.gateway = deploy(t, s, s.upstreams())
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	const listener = "  - {protocol: %s, address: %q, tls: %s, proxy_protocol: [%s/32], networks: [127.0.0.40/29, %[4]s/32]}\n"
	write(t, b.folder, "postern.yaml", strings.Replace(string(text), "policies:\n",
		fmt.Sprintf(listener, "imap", b.imap, "implicit", balancer)+fmt.Sprintf(listener, "smtp", b.smtp, "starttls", balancer)+"policies:\n", 1))
	b.deployment.serve(t, b.gateway, postern)

	var conf strings.Builder
	fmt.Fprintf(&conf, "global\n  hard-stop-after 5s\n  stats socket %s level user\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n", b.stats)
	for i, header := range []string{"send-proxy", "send-proxy-v2"} {
		b.front[i] = &ready{IMAPS: freeAddress(t), Submission: freeAddress(t), CAFile: b.CAFile}
		const listen = "listen %s-%s\n  bind %s\n  server postern %s %[2]s check inter 100ms\n"
		fmt.Fprintf(&conf, listen, "imap", header, b.front[i].IMAPS, b.imap)
		fmt.Fprintf(&conf, listen+"  option smtpchk EHLO balancer.example\n", "smtp", header, b.front[i].Submission, b.smtp)
	}
	b.haproxy = start(t, path, "-db", "-f", write(t, t.TempDir(), "haproxy.cfg", conf.String()))
	t.Cleanup(func() { // to SIGTERM it dies of that signal
		_ = b.haproxy.cmd.Process.Signal(syscall.SIGUSR1)
		select {
		case <-b.haproxy.ended:
		case <-time.After(stopTime):
		}
	})
	for _, f := range b.front {
		b.haproxy.listening(t, f.IMAPS, f.Submission)
	}
	return b
}

// TestI36BehindHAProxy: with both versions of the header the client's address is the one that counts and is recorded, to HAProxy's
// health checks the gateway is well, and nobody else's header, nor a connection without one, gets a word (threat model I-36).
func TestI36BehindHAProxy(t *testing.T) {
	t.Parallel()
	swaks, curl := needSwaks(t), need(t, "curl")
	b := startBehindHAProxy(t)
	alice := b.named(t, "alice@contoso.example")
	for i, f := range b.front {
		from := strings.Replace(balanced, "41", fmt.Sprint(41+i), 1)
		subject := fmt.Sprintf("through HAProxy %d", i+1)
		command{path: swaks, args: append(swaksArgs(t, &gateway{ready: *f}, false, "PLAIN", alice),
			"--local-interface", from, "--from", alice.Mailbox, "--to", alice.Mailbox, "--header", "Subject: "+subject)}.must(t)
		arrived(t, b.open(t, alice), "INBOX", subject)
		out := command{path: curl, args: []string{"--silent", "--show-error", "--max-time", "60", "--cacert", b.CAFile, "--interface", from,
			"--user", alice.Login + ":" + alice.Password, "imaps://" + byName(t, f.IMAPS) + "/INBOX?ALL"}}.must(t)
		if !strings.Contains(out, "* SEARCH ") {
			t.Errorf("curl found nothing through HAProxy: %q", out)
		}
		for _, protocol := range []string{"imap", "smtp"} {
			if !b.audited(t, `"kind":"session-begin"`, `"protocol":"`+protocol+`"`, `"remote":"`+from+`:`) {
				t.Errorf("no session of %s from %s in the audit log", protocol, from)
			}
		}
	}
	eventually(t, readyTime, "HAProxy's checks", func() error { return b.healthy(t) })
	b.outsiders(t)
	if b.audited(t, "198.51.100.7") || b.audited(t, "127.0.0.44") {
		t.Error("the audit log has an address that somebody made up")
	}
}

// healthy looks at what HAProxy's health checks have found: a connection, and by SMTP a greeting and an answer.
func (b behindHAProxy) healthy(t *testing.T) error {
	t.Helper()
	conn, err := net.DialTimeout("unix", b.stats, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "show stat\n")
	stat, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	for _, want := range []string{"imap-send-proxy,.*,L4OK,", "imap-send-proxy-v2,.*,L4OK,", "smtp-send-proxy,.*,L7OK,", "smtp-send-proxy-v2,.*,L7OK,"} {
		if !regexp.MustCompile("(?m)^" + want).Match(stat) {
			return fmt.Errorf("nothing like %s in\n%s", want, stat)
		}
	}
	return nil
}

// outsiders come without HAProxy, or by it from where clients may not be.
func (b behindHAProxy) outsiders(t *testing.T) {
	t.Helper()
	const (
		header = "PROXY TCP4 198.51.100.7 192.0.2.9 50000 587\r\n" // for a client who may not come here
		liar   = "PROXY TCP4 127.0.0.44 127.0.0.1 50000 587\r\n"   // for one who might
	)
	for _, o := range []struct{ name, from, to, says, hears string }{
		{"a client without a header", "127.0.0.2", b.smtp, "", ""},
		{"a header of somebody who is not listed", "127.0.0.2", b.smtp, liar, ""},
		{"a header of somebody who might be a client", balanced, b.smtp, liar, ""},
		{"the balancer without a header", balancer, b.smtp, "EHLO client.example\r\n", ""},
		{"the balancer for a client from elsewhere", balancer, b.smtp, header, ""},
		{"a client from elsewhere through HAProxy", "127.0.0.99", b.front[0].Submission, "", ""},
		{"a header where nobody may send one", balanced, b.Submission, liar, "220 localhost ESMTP"},
	} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(o.from)}, Timeout: time.Minute}
		conn, err := d.Dial("tcp", o.to)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, o.says)
		heard, _ := io.ReadAll(conn) // a reset is an end, too
		if got, _, _ := strings.Cut(string(heard), "\r\n"); !strings.HasPrefix(got, o.hears) || o.hears == "" && got != "" || strings.Contains(string(heard), "250") {
			t.Errorf("%s: heard %q, want %q and the end", o.name, heard, o.hears)
		}
		_ = conn.Close()
	}
}
