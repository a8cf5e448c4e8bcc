package e2e

import (
	"bufio"
	"cmp"
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
	// strangerTime is how long one may stay, handshakeTime how long without TLS where that comes first, and slack what a
	// machine may add to that which is busy with thousands of them: imapproxy and smtpproxy hold the time to the second.
	strangerTime  = 60 * time.Second
	handshakeTime = 15 * time.Second
	slack         = 15 * time.Second
	// honestTime is how long a sign-in may take while the flood is on (threat model I-30).
	honestTime = 2 * time.Second
)

// stranger is a connection that never signs in: how it begins, and what it trickles.
type stranger struct {
	name    string
	address func(*gateway) string
	tls     bool          // it shakes hands
	begins  string        // what it sends at once
	trickle string        // what it sends each second
	banner  bool          // it waits for the greeting
	stays   time.Duration // how long it may stay; 0 for strangerTime
}

// strangers come in this order, as many of each kind: those that may stay for a short time come last.
var strangers = []stranger{
	{name: "silent, in TLS", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true},
	{name: "an endless tag", address: func(g *gateway) string { return g.IMAP }, banner: true, begins: strings.Repeat("a", 4000), trickle: "a"},
	{name: "an endless command in TLS", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true, begins: "a " + strings.Repeat("x", 4000), trickle: "x"},
	{name: "a trickled literal", address: func(g *gateway) string { return g.IMAPS }, tls: true, banner: true, begins: "a LOGIN {500}\r\n", trickle: "p"},
	{name: "an endless EHLO", address: func(g *gateway) string { return g.Submission }, banner: true, begins: "EHLO " + strings.Repeat("h", 400), trickle: "h"},
	{name: "commands without end", address: func(g *gateway) string { return g.IMAP }, banner: true, trickle: "a NOOP\r\n"},
	{name: "silent, before TLS", address: func(g *gateway) string { return g.IMAPS }, stays: handshakeTime},
	{name: "half a handshake", address: func(g *gateway) string { return g.SMTPS }, stays: handshakeTime, begins: "\x16\x03\x01\x02\x00\x01"},
}

// floodSize is how many strangers come.
func floodSize() int {
	switch {
	case os.Getenv("POSTERN_LONG") != "":
		return 10_000
	case os.Getenv("CI") != "":
		return 3000
	}
	return 2000
}

// floodSources is from how many addresses they come: 127.0.0.2 and those behind it.
const floodSources = 8

// floodPlaces is how many of them the gateway has places for: as many as its configuration says, or, where the system lets
// it open too few files for that, half of those (docs/configuration.md, limits).
func floodPlaces(t *testing.T, g *gateway) int {
	t.Helper()
	limits, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(g.cmd.Process.Pid), "limits"))
	if err != nil {
		t.Skip("there is no /proc to look at limits in")
	}
	_, line, _ := strings.Cut(string(limits), "\nMax open files")
	var files int
	if _, err := fmt.Sscan(line, &files); err != nil {
		t.Fatal(err)
	}
	return min(10_000, (files-256)/2)
}

// TestI28FloodOfStrangers holds what thousands of connections cost that never sign in: memory, descriptors and time;
// and that an honest client does not notice them. Where they are more than the gateway has places for, the oldest give
// way, and no other.
func TestI28FloodOfStrangers(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	program := binary(t, plainProgram)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.change(t, "policies:\n", "limits: {connections: 10000, connections_per_source: 10000, connections_before_sign_in: 10000}\npolicies:\n")
	d.serve(t, g, program)
	user := alice(t, g)
	d.imapSignIn(t, g, user) // what the first one costs is not the strangers'
	memory, files := resident(t, g), descriptors(t, g)

	flood := newFlood(t, g, floodSize())
	memoryThen, filesThen := resident(t, g), descriptors(t, g)
	held := flood.held(t, floodPlaces(t, g))
	t.Logf("%d strangers came in %v, %d are held: %d KiB each; descriptors %d, were %d",
		len(flood.all), flood.took, held, (memoryThen-memory)/held, filesThen, files)
	if each := (memoryThen - memory) / held; each > strangerMemory {
		t.Errorf("a stranger costs %d KiB, want at most %d", each, strangerMemory)
	}
	if filesThen-files > held+50 {
		t.Errorf("%d descriptors for %d strangers, want one each", filesThen-files, held)
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
	all  []*visitor
	took time.Duration // until the last had come
}

// visitor is one of them.
type visitor struct {
	kind *stranger
	conn net.Conn
	came time.Time
	gone chan struct{} // closed when the gateway has closed the connection
	left time.Time     // when that was; read after gone
}

// newFlood has strangers come, from all addresses at once.
func newFlood(t *testing.T, g *gateway, n int) *flood {
	t.Helper()
	f := &flood{all: make([]*visitor, n)}
	trust := g.trust(t)
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	var coming, staying sync.WaitGroup
	t.Cleanup(func() {
		for _, v := range f.all {
			if v != nil {
				_ = v.conn.Close()
			}
		}
		staying.Wait()
	})
	began := time.Now()
	for source := range floodSources {
		coming.Go(func() {
			for i := source; i < n; i += floodSources {
				kind := &strangers[i*len(strangers)/n]
				v := &visitor{kind: kind, came: time.Now(), gone: make(chan struct{})}
				var err error
				if v.conn, err = kind.come(g, trust, net.IPv4(127, 0, 0, byte(2+source))); err != nil {
					t.Errorf("%s: %v", kind.name, err)
					return
				}
				f.all[i] = v
				staying.Go(func() {
					kind.stay(v.conn)
					v.left = time.Now()
					close(v.gone)
				})
			}
		})
	}
	coming.Wait()
	if f.took = time.Since(began); t.Failed() {
		t.FailNow()
	}
	return f
}

// held gives how many strangers are there, and demands that those are whose minute is not over, the newest first, up to
// the number of places. (Of sources that have equally many strangers the oldest gives way, which is not always the oldest
// of all: a few of each.)
func (f *flood) held(t *testing.T, places int) int {
	t.Helper()
	held, missed := 0, 0
	for i, v := range f.all {
		select {
		case <-v.gone:
			if len(f.all)-i <= places && v.left.Sub(v.came) < v.kind.time()*3/4 {
				missed++
			}
		default:
			held++
		}
	}
	if missed > 5*floodSources {
		t.Errorf("%d of the newest %d strangers have given way", missed, places)
	}
	if held > places {
		t.Errorf("%d strangers are held, and there are %d places", held, places)
	}
	return held
}

// come connects from an address, and says what the stranger begins with.
func (s stranger) come(g *gateway, trust *tls.Config, from net.IP) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", s.address(g))
	if err != nil {
		return nil, err
	}
	if s.tls {
		conn = tls.Client(conn, trust)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if s.banner {
		if line, err := bufio.NewReaderSize(conn, 256).ReadString('\n'); err != nil {
			return nil, fmt.Errorf("greeting %q, %w", line, err)
		}
	}
	if _, err := io.WriteString(conn, s.begins); err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, nil
}

// stay trickles until the connection is closed.
func (s stranger) stay(conn net.Conn) {
	var heard [512]byte
	for {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
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
	for _, v := range f.all {
		select {
		case <-v.gone:
			longest[v.kind.name] = max(longest[v.kind.name], v.left.Sub(v.came))
		case <-late:
			t.Fatalf("%s is still there", v.kind.name)
		}
	}
	t.Logf("the longest stay of each kind: %v", longest)
	for _, kind := range strangers {
		if took := longest[kind.name]; took > kind.time()+slack {
			t.Errorf("%s stayed for %v, want at most %v", kind.name, took, kind.time())
		}
	}
}

// time is how long a stranger may stay.
func (s *stranger) time() time.Duration { return cmp.Or(s.stays, strangerTime) }

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
