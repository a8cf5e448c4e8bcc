package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/front"
	"postern/internal/handover"
)

// entrance is a listener whose clients are greeted, and say IN to sign in.
type entrance struct {
	*listener
	t *testing.T
}

func newEntrance(t *testing.T, mode config.TLSMode, limits config.ConnectionLimits) *entrance {
	t.Helper()
	return openEntrance(t, config.Listener{Protocol: "imap", TLS: mode}, limits)
}

func openEntrance(t *testing.T, c config.Listener, limits config.ConnectionLimits) *entrance {
	t.Helper()
	serve := func(_ context.Context, conn *front.Conn) func(func()) {
		greeting := "* OK\r\n"
		if !conn.Remote.Addr().IsLoopback() {
			greeting = "* OK " + conn.Remote.String() + "\r\n"
		}
		_, _ = io.WriteString(conn, greeting)
		in := bufio.NewReader(conn)
		if line, err := in.ReadString('\n'); err != nil || line != "IN\r\n" {
			_ = conn.Close()
			return nil
		}
		conn.SignedIn()
		_, _ = io.WriteString(conn, "OK\r\n")
		return func(ended func()) {
			defer ended()
			_, _ = io.Copy(io.Discard, in)
			_ = conn.Close()
		}
	}
	l, err := listen(new(handover.Sockets), "127.0.0.1:0", &service{c, nil, server{serve: serve, busy: "* BYE [LIMIT]\r\n"}},
		newAdmission(limits, quiet, time.Now), quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { l.run(context.Background()) })
	t.Cleanup(func() {
		_ = l.Close()
		l.closeConns()
		l.wait.Wait()
		running.Wait()
		if len(l.conns) > 0 || l.admission.places > 0 {
			t.Errorf("%d connections and %d places are left", len(l.conns), l.admission.places)
		}
	})
	return &entrance{l, t}
}

// caller is a client of an entrance.
type caller struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (e *entrance) call() *caller {
	e.t.Helper()
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &caller{conn, e.t, bufio.NewReader(conn)}
}

// hears holds all that the gateway says until it closes the connection, or as far as one line, against want.
func (c *caller) hears(want string) {
	c.t.Helper()
	got, err := c.in.ReadString('\n')
	if got = strings.TrimRight(got, "\r\n"); got != want || err != nil && want != "" {
		c.t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

func (c *caller) signIn() {
	c.t.Helper()
	c.hears("* OK")
	if _, err := io.WriteString(c, "IN\r\n"); err != nil {
		c.t.Fatal(err)
	}
	c.hears("OK")
}

func TestClientOverALimitHearsOfIt(t *testing.T) {
	e := newEntrance(t, config.StartTLS, config.ConnectionLimits{Connections: 2, PerSource: 9, BeforeSignIn: 2})
	first, second := e.call(), e.call()
	first.signIn()
	second.signIn()
	third := e.call()
	third.hears("* BYE [LIMIT]")
	third.hears("")
	_ = first.Close()
	// Its place is free once the gateway has noticed.
	for deadline := time.Now().Add(20 * time.Second); ; {
		c := e.call()
		line, _ := c.in.ReadString('\n')
		if line == "* OK\r\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a freed place was not given away")
		}
	}
	if _, err := io.WriteString(second, "still here\r\n"); err != nil {
		t.Error("one that was under the limit was harmed:", err)
	}
}

// Before TLS nothing can be said to a client that expects TLS.
func TestClientOfTLSOverALimitIsClosed(t *testing.T) {
	e := newEntrance(t, config.Implicit, config.ConnectionLimits{Connections: 9, PerSource: 1, BeforeSignIn: 9})
	first := e.call()
	e.call().hears("") // connections are accepted in their order
	_ = first.Close()
}

func (e *entrance) places() int {
	e.admission.mu.Lock()
	defer e.admission.mu.Unlock()
	return e.admission.places
}

// An honest client signs in while strangers hold every place there is.
func TestI29StrangersDoNotKeepClientsOut(t *testing.T) {
	e := newEntrance(t, config.StartTLS, config.ConnectionLimits{Connections: 50, PerSource: 50, BeforeSignIn: 20})
	var flood []*caller
	for range 100 {
		c := e.call()
		c.hears("* OK")
		flood = append(flood, c)
	}
	honest := e.call()
	honest.signIn()
	if got := e.places(); got > 21 {
		t.Errorf("%d connections are open, want at most 21", got)
	}
	flood[0].hears("") // the oldest gave way
}
