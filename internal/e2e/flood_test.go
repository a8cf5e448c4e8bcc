package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// strangerMemory is what one connection before sign-in may cost the gateway, in KiB (threat model I-28).
	strangerMemory = 64
	// strangerTime is how long one may stay, and slack what the machine may add to that.
	strangerTime = 60 * time.Second
	slack        = 5 * time.Second
	// honestTime is how long a sign-in may take while the flood is on (threat model I-30).
	honestTime = 2 * time.Second
)

// stranger is a connection that never signs in: how it begins, and what it trickles a second.
type stranger struct {
	name    string
	address func(*gateway) string
	tls     bool   // it shakes hands
	begins  string // what it sends at once
	trickle string // what it sends each second
	banner  bool   // it waits for the greeting
}

var strangers = []stranger{
	{name: "silent, before TLS", address: func(g *gateway) string { return g.IMAPS }},
	{name: "half a handshake", address: func(g *gateway) string { return g.SMTPS }, begins: "\x16\x03\x01\x02\x00\x01"},
	{name: "silent, in TLS", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true},
	{name: "an endless tag", address: func(g *gateway) string { return g.IMAP }, banner: true, begins: strings.Repeat("a", 4000), trickle: "a"},
	{name: "an endless command in TLS", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true, begins: "a " + strings.Repeat("x", 4000), trickle: "x"},
	{name: "a trickled literal", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true, begins: "a LOGIN {500}\r\n", trickle: "p"},
	{name: "an endless EHLO", address: func(g *gateway) string { return g.Submission }, banner: true, begins: "EHLO " + strings.Repeat("h", 400), trickle: "h"},
	{name: "commands without end", address: func(g *gateway) string { return g.IMAP }, banner: true, trickle: "a NOOP\r\n"},
}

// floodSize is how many strangers come.
func floodSize() int {
	if raceDetector {
		return 400
	}
	return 4000
}

// TestI28FloodOfStrangers holds what thousands of connections cost that never sign in: memory, descriptors and time;
// and that an honest client does not notice them.
func TestI28FloodOfStrangers(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	program := binary(t, plainProgram)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, program)
	user := alice(t, g)
	d.imapSignIn(t, g, user) // what the first one costs is not the strangers'
	memory, files := resident(t, g), descriptors(t, g)

	flood := newFlood(t, g, floodSize())
	memoryThen, filesThen := resident(t, g), descriptors(t, g)
	n := len(flood.conns)
	t.Logf("%d strangers: %d KiB each; descriptors %d, were %d", n, (memoryThen-memory)/n, filesThen, files)
	if each := (memoryThen - memory) / n; each > strangerMemory {
		t.Errorf("a stranger costs %d KiB, want at most %d", each, strangerMemory)
	}
	if filesThen-files > n+50 {
		t.Errorf("%d descriptors for %d strangers, want one each", filesThen-files, n)
	}
	for range 3 {
		at := time.Now()
		if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
			t.Errorf("an honest client got %q", got)
		}
		if took := time.Since(at); took > honestTime {
			t.Errorf("an honest sign-in took %v, want at most %v", took, honestTime)
		}
	}
	flood.gone(t)
	eventually(t, slack, "descriptors are given back", func() error {
		if now := descriptors(t, g); now > files+50 {
			return fmt.Errorf("%d descriptors, were %d", now, files)
		}
		return nil
	})
}

// flood is a crowd of strangers that trickle until their connections are closed.
type flood struct {
	conns []net.Conn
	lives []chan time.Duration // gives how long the gateway left the connection open
	kinds []string
}

func newFlood(t *testing.T, g *gateway, n int) *flood {
	t.Helper()
	f := &flood{}
	sessions := tls.NewLRUClientSessionCache(8)
	trust := g.trust(t)
	trust.ClientSessionCache = sessions
	var reading sync.WaitGroup
	t.Cleanup(func() {
		for _, conn := range f.conns {
			_ = conn.Close()
		}
		reading.Wait()
	})
	for i := range n {
		kind := strangers[i%len(strangers)]
		came := time.Now()
		conn := kind.come(t, g, trust)
		life := make(chan time.Duration, 1)
		f.conns, f.lives, f.kinds = append(f.conns, conn), append(f.lives, life), append(f.kinds, kind.name)
		reading.Go(func() {
			kind.stay(conn)
			life <- time.Since(came)
		})
	}
	return f
}

// come connects, and says what the stranger begins with.
func (s stranger) come(t *testing.T, g *gateway, trust *tls.Config) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.address(g), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if s.tls {
		conn = tls.Client(conn, trust)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if s.banner {
		if line, err := bufio.NewReaderSize(conn, 256).ReadString('\n'); err != nil {
			t.Fatalf("%s: greeting %q, %v", s.name, line, err)
		}
	}
	if _, err := io.WriteString(conn, s.begins); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return conn
}

// stay trickles until the connection is closed.
func (s stranger) stay(conn net.Conn) {
	var heard [512]byte
	for {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err := conn.Read(heard[:])
		var timeout net.Error
		switch {
		case err == nil:
			continue
		case !errors.As(err, &timeout) || !timeout.Timeout():
			return
		}
		if s.trickle != "" {
			_, _ = io.WriteString(conn, s.trickle)
		}
	}
}

// gone waits for the end of all strangers, and holds each to its time.
func (f *flood) gone(t *testing.T) {
	t.Helper()
	late := time.After(strangerTime + 2*slack)
	longest := map[string]time.Duration{}
	for i, life := range f.lives {
		select {
		case took := <-life:
			longest[f.kinds[i]] = max(longest[f.kinds[i]], took)
		case <-late:
			t.Fatalf("%s is still there", f.kinds[i])
		}
	}
	t.Logf("the longest stay of each kind: %v", longest)
	for kind, took := range longest {
		if took > strangerTime+slack {
			t.Errorf("%s stayed for %v, want at most %v", kind, took, strangerTime)
		}
	}
}

// resident gives the memory of the gateway at the moment, in KiB.
func resident(t *testing.T, g *gateway) int {
	t.Helper()
	return status(t, g, "VmRSS")
}

// descriptors gives the number of the gateway's open files.
func descriptors(t *testing.T, g *gateway) int {
	t.Helper()
	open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(g.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Skip("there is no /proc to look at open files in")
	}
	return len(open)
}

// TestOversizedLiteralsAreRefused: what a client announces before its sign-in is never waited for, nor kept.
func TestOversizedLiteralsAreRefused(t *testing.T) {
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	for _, announced := range []string{"a LOGIN {1000000000}", "a LOGIN {1000000000+}", "a AUTHENTICATE {99999999999999999999}", "a ID ({100000}"} {
		conn := dial(t, g, g.IMAPS)
		l := &liveSession{conn: conn, in: bufio.NewReader(conn), protocol: "imap"}
		l.say(t, "* OK")
		if _, err := io.WriteString(conn, announced+"\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := l.in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "+") || !strings.Contains(line, "BYE [TOOBIG]") && !strings.Contains(line, " BAD ") {
			t.Errorf("%s: got %q, %v; want a refusal", announced, line, err)
		}
	}
}
