package e2e

import (
	"fmt"
	"os"
	"path/filepath"
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
