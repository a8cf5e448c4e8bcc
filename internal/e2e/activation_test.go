package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSocketActivation: systemd opens the sockets and starts the gateway for the first client, which is served; so is one that
// came before the gateway was there. One socket is found by its name, the others by their addresses; one that is for nobody
// is named in the log.
func TestSocketActivation(t *testing.T) {
	activate := need(t, "systemd-socket-activate")
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	elsewhere, nobodys := freeAddress(t), freeAddress(t)
	d.change(t, fmt.Sprintf("address: %q, tls: implicit}\n  - {protocol: smtp", g.IMAPS), fmt.Sprintf("address: %q, name: imaps, tls: implicit}\n  - {protocol: smtp", g.IMAPS))
	g.process = start(t, activate, "-l", g.SMTPS, "-l", elsewhere, "-l", nobodys, "--fdname=postern.socket:imaps:nobodys",
		postern, "serve", "-c", d.config)
	g.listening(t, g.SMTPS, elsewhere, nobodys) // the first of them has it started
	g.listening(t, g.Submission)                // opened by the gateway itself
	g.IMAPS = elsewhere
	d.issue(t, g, postern, login{Login: "alice@contoso.example", Mailbox: "alice@contoso.example", Protocols: []string{"imap", "smtp"}})
	alice := g.named(t, "alice@contoso.example")
	for _, l := range g.signIn(t, alice, "imap", "smtp") {
		_ = l.conn.Close()
	}
	d.smtpSend(t, g, alice)
	if want := "nobodys (" + nobodys + "): no listener has that name or address"; !strings.Contains(g.stderr.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, g.stderr)
	}
}

// notices is a service manager's socket (sd_notify(3)).
type notices struct {
	*net.UnixConn
	path string
}

func listenForNotices(t *testing.T) *notices {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &notices{conn, path}
}

// await reads notices until one has all of some words.
func (n *notices) await(t *testing.T, limit time.Duration, words ...string) string {
	t.Helper()
	_ = n.SetReadDeadline(time.Now().Add(limit))
	var all []string
	buffer := make([]byte, 4096)
	for {
		length, err := n.Read(buffer)
		if err != nil {
			t.Fatalf("no notice with %q within %v: %v; there were %q", words, limit, err, all)
		}
		notice := string(buffer[:length])
		all = append(all, notice)
		missing := false
		for _, word := range words {
			missing = missing || !strings.Contains(notice, word)
		}
		if !missing {
			return notice
		}
	}
}

// TestServiceManagerIsTold: ready, what it does, that it is alive, reloading, stopping.
func TestServiceManagerIsTold(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	n := listenForNotices(t)
	t.Setenv("NOTIFY_SOCKET", n.path)
	t.Setenv("WATCHDOG_USEC", "300000")
	g.process = start(t, postern, "serve", "-c", d.config)
	n.await(t, readyTime, "READY=1")
	n.await(t, readyTime, "STATUS=Serving 0 IMAP and 0 SMTP sessions; 0 messages in the queue")
	for range 3 {
		n.await(t, 5*time.Second, "WATCHDOG=1")
	}
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	n.await(t, readyTime, "RELOADING=1", "MONOTONIC_USEC=")
	n.await(t, readyTime, "READY=1")
	g.signalled(t, syscall.SIGTERM)
	n.await(t, stopTime, "STOPPING=1")
	if code := g.endsWithin(t, stopTime); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestServiceManagerThatDoesNotListen: it holds up neither service nor stop.
func TestServiceManagerThatDoesNotListen(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	n := listenForNotices(t)
	t.Setenv("NOTIFY_SOCKET", n.path)
	t.Setenv("WATCHDOG_USEC", "3000")
	for filled := false; !filled; { // what may wait is a few notices
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = conn.Write([]byte("STATUS=filled"))
		filled = errors.Is(err, os.ErrDeadlineExceeded)
		_ = conn.Close()
	}
	d.serve(t, g, postern)
	g.signIn(t, g.named(t, "alice@contoso.example"), "smtp")[0].conn.Close()
	g.stop(t)
}
