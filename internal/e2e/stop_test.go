package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drain is how long sessions may go on after the order to stop.
const drain = 10 * time.Second

// signalled sends a signal to the gateway, whose end is the test's own from then on.
func (g *gateway) signalled(t *testing.T, signal os.Signal) {
	t.Helper()
	g.asked.Do(func() {})
	if err := g.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// logs waits until the gateway's log has some words.
func (g *gateway) logs(t *testing.T, words string) {
	t.Helper()
	eventually(t, readyTime, "the log says "+words, func() error {
		if !strings.Contains(g.stderr.String(), words) {
			return errors.New("it does not")
		}
		return nil
	})
}

// endsWithin waits for the end of the gateway, and gives the exit code; -1 for the end by a signal.
func (g *gateway) endsWithin(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-g.ended:
	case <-time.After(limit):
		_ = g.cmd.Process.Kill()
		<-g.ended
		t.Fatalf("it has not ended within %v\n%s", limit, g.stderr)
	}
	return g.cmd.ProcessState.ExitCode()
}

// TestStop: who has not signed in hears BYE, an SMTP client between two messages 421, and nobody new is accepted; a message on its
// way is finished; an IMAP session goes on until the time is up. The queue is left in order, and the end is clean.
func TestStop(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, postern)
	alice := g.named(t, "alice@contoso.example")

	conn := dial(t, g, g.IMAPS)
	stranger := &liveSession{conn, bufio.NewReader(conn), "imap"}
	stranger.say(t, "* OK")
	imap, between, sending := g.signIn(t, alice, "imap")[0], g.signIn(t, alice, "smtp")[0], g.signIn(t, alice, "smtp")[0]
	imap.say(t, "c OK", "DONE")
	sending.say(t, "250", "MAIL FROM:<alice@contoso.example>")
	sending.say(t, "250", "RCPT TO:<bob@contoso.example>")
	sending.say(t, "354", "DATA")
	if _, err := io.WriteString(sending.conn, "From: alice@contoso.example\r\nSubject: in the middle\r\n\r\nhalf\r\n"); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	g.signalled(t, syscall.SIGTERM)
	stranger.say(t, "* BYE")
	between.say(t, "421 4.3.2")
	for _, l := range []*liveSession{stranger, between} {
		if rest, err := l.ended(t, endTime); rest != "" || err != nil {
			t.Errorf("%s: heard %q and %v behind it, want the end", l.protocol, rest, err)
		}
	}
	for _, address := range []string{g.IMAP, g.IMAPS, g.Submission, g.SMTPS} {
		if conn, err := net.DialTimeout("tcp", address, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			if conn != nil {
				_ = conn.Close()
			}
			t.Errorf("connecting to %s: got %v, want it refused", address, err)
		}
	}
	sending.say(t, "250", "the other half", ".")
	sending.say(t, "421 4.3.2")
	imap.say(t, "d OK", "d NOOP")
	_, _ = imap.ended(t, drain+5*time.Second)
	if took := time.Since(began); took < drain*9/10 {
		t.Errorf("the IMAP session was cut off after %v, want %v", took, drain)
	}
	if code := g.endsWithin(t, 5*time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if causes := d.causes(t, alice.Login); !strings.Contains(strings.Join(causes, " "), "imap stopped") {
		t.Errorf("sessions ended by %q, want imap stopped among them", causes)
	}
	if !d.audited(t, `"gateway-stopped"`, `"sessions":1`) {
		t.Error("the audit log does not say that one session was cut off")
	}
	g.process = start(t, postern, "serve", "-c", d.config)
	g.listening(t, g.SMTPS)
	if log := g.stderr.String(); strings.Contains(log, "taken over") {
		t.Errorf("the queue was not left in order:\n%s", log)
	}
}

// TestSecondSignal: whoever cannot wait is not made to, and the exit code says that the end was not clean. Nothing promised is lost.
func TestSecondSignal(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, postern)
	alice := g.named(t, "alice@contoso.example")
	imap := g.signIn(t, alice, "imap")[0]
	g.signalled(t, syscall.SIGTERM)
	g.logs(t, "msg=stopping")
	g.signalled(t, syscall.SIGTERM)
	_, _ = imap.ended(t, endTime)
	if code := g.endsWithin(t, endTime); code == 0 {
		t.Error("exit code 0, want another one: nobody is there who gave the sessions their time")
	}
	g.process = start(t, postern, "serve", "-c", d.config)
	g.listening(t, g.IMAPS)
	g.signIn(t, alice, "imap")
	d.admin(t, "audit", "verify")
}

// TestHangUpBeforeTheStartIsThrough: it does not end the process; once that serves, the file is taken up.
func TestHangUpBeforeTheStartIsThrough(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	// Whoever writes the audit log has its file locked: the start waits for the test.
	log, err := os.OpenFile(d.auditFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if err := syscall.Flock(int(log.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	g.process = start(t, postern, "serve", "-c", d.config)
	eventually(t, readyTime, "the gateway starts", func() error {
		_, err := os.Stat(filepath.Join(d.folder, "postern.db"))
		return err
	})
	d.change(t, "device: {protocols: [smtp]}", "device: {protocols: [smtp], limits: {connections: 3}}")
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(log.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	g.listening(t, g.SMTPS)
	eventually(t, readyTime, "the file is taken up", func() error {
		if !d.audited(t, `"configuration-changed"`, "policies.device.limits.connections") {
			return fmt.Errorf("the audit log says nothing of it")
		}
		return nil
	})
}
