package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
	"go.uber.org/goleak"

	"postern/internal/audit"
)

// receiver is a syslog receiver for tests.
type receiver struct {
	t        *testing.T
	listener net.Listener
	trust    *x509.CertPool

	mu    sync.Mutex
	conns []net.Conn
	got   []string // the text of each message
	hangs bool     // it accepts, and reads nothing
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "siem"}, DNSNames: []string{"siem.contoso.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, trust: x509.NewCertPool()}
	r.trust.AddCert(certificate)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listener = tls.NewListener(raw, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			hangs := r.hangs
			r.mu.Unlock()
			if !hangs {
				done.Go(func() { r.read(conn) })
			} else {
				done.Go(func() { _ = conn.(*tls.Conn).Handshake() })
			}
		}
	})
	t.Cleanup(func() { r.drop(); r.listener.Close(); r.drop(); done.Wait() })
	return r
}

// drop cuts all connections off.
func (r *receiver) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.(*tls.Conn).NetConn().Close()
	}
	r.conns = nil
}

func (r *receiver) hang(hangs bool) { r.mu.Lock(); defer r.mu.Unlock(); r.hangs = hangs }

// read reads messages by octet counting, and has somebody else's parser look at each.
func (r *receiver) read(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var length int
		if _, err := fmt.Fscanf(in, "%d ", &length); err != nil {
			return
		}
		message := make([]byte, length)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		parsed, err := rfc5424.NewParser().Parse(message)
		if err != nil {
			r.t.Errorf("%q: %v", message, err)
			return
		}
		m := parsed.(*rfc5424.SyslogMessage)
		if *m.Facility != facility || *m.Appname != "postern" || *m.Hostname != "mail.contoso.example" || m.StructuredData == nil {
			r.t.Errorf("%q is not as wanted", message)
		}
		r.mu.Lock()
		r.got = append(r.got, *m.Message)
		r.mu.Unlock()
	}
}

// lines gives what came, each once.
func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, line := range r.got {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (r *receiver) config(log string) Config {
	return Config{Log: log, Host: "mail.contoso.example", Address: r.listener.Addr().String(), Program: slog.New(slog.DiscardHandler),
		TLS: &tls.Config{RootCAs: r.trust, ServerName: "siem.contoso.example"}, Confirm: 50 * time.Millisecond, Patience: 5 * time.Second}
}

func start(t *testing.T, c Config) *Sink {
	t.Helper()
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func openLog(t *testing.T) (*audit.Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, err := audit.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log, path
}

func record(t *testing.T, log *audit.Log, n int) {
	t.Helper()
	for i := range n {
		if err := log.Record(audit.PasswordRevoked{ID: fmt.Sprint(i), Login: `ö"]\`, By: "root"}); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// whole gives all lines of a log.
func whole(t *testing.T, path string) []string {
	t.Helper()
	var lines []string
	if _, err := audit.Scan(t.Context(), path, audit.Query{}, func(e audit.Entry) error { lines = append(lines, string(e.Line)); return nil }); err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestI43EveryLineArrivesAcrossRotationsAndLostConnections: in order, exactly as it is in the log.
func TestI43EveryLineArrivesAcrossRotationsAndLostConnections(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		r := newReceiver(t)
		log, path := openLog(t)
		record(t, log, 10)
		s := start(t, r.config(path))
		eventually(t, "the first ten lines", func() bool { return len(r.lines()) == 10 })
		r.drop()
		record(t, log, 5)
		for range 3 {
			if err := log.Rotate(); err != nil {
				t.Fatal(err)
			}
			record(t, log, 5)
		}
		want := whole(t, path)
		eventually(t, "all lines", func() bool { return len(r.lines()) == len(want) })
		if got := r.lines(); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		eventually(t, "the last line counts as received", func() bool { return s.Received() == int64(len(want)) })
		if st := s.Status(); !st.Up || st.Missed != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

// TestI43AHangingReceiverHoldsUpNobody and misses nothing: what it took and had not read comes again, also after a new start.
func TestI43AHangingReceiverHoldsUpNobody(t *testing.T) {
	r := newReceiver(t)
	log, path := openLog(t)
	r.hang(true)
	c := r.config(path)
	c.Patience = 200 * time.Millisecond
	s := start(t, c)
	record(t, log, 3)
	eventually(t, "a connection", func() bool { return s.Status().Up })
	eventually(t, "that the receiver hangs", func() bool { return strings.Contains(s.Status().String(), "has not read within") })
	record(t, log, 200) // goes to the file, whatever the receiver does
	if s.Received() != 0 {
		t.Errorf("line %d counts as received, and nobody has read it", s.Received())
	}
	r.hang(false)
	r.drop()
	s.Close()
	start(t, r.config(path))
	eventually(t, "all lines after a new start", func() bool { return len(r.lines()) == 203 })
}

// TestI43LinesCountAsReceivedOnlyWhenThatIsConfirmed: those that a receiver had just before it fell over come again.
func TestI43LinesCountAsReceivedOnlyWhenThatIsConfirmed(t *testing.T) {
	r := newReceiver(t)
	log, path := openLog(t)
	c := r.config(path)
	c.Confirm = time.Hour
	s := start(t, c)
	record(t, log, 4)
	eventually(t, "the lines", func() bool { return len(r.lines()) == 4 })
	r.drop()
	eventually(t, "the same lines again", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.got) >= 8 })
	if s.Received() != 0 {
		t.Errorf("line %d counts as received", s.Received())
	}
	s.Close() // in an orderly way, which confirms
	if s.Received() != 4 {
		t.Errorf("after the end line %d counts as received, want 4", s.Received())
	}
}

func TestReceiversThatAreNotBelieved(t *testing.T) {
	r := newReceiver(t)
	log, path := openLog(t)
	record(t, log, 1)
	for name, change := range map[string]func(*Config){
		"another name": func(c *Config) { c.TLS.ServerName = "other.example" },
		"another CA":   func(c *Config) { c.TLS.RootCAs = x509.NewCertPool() },
		"nobody there": func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrDeadlineExceeded }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.config(path)
			c.TLS = c.TLS.Clone()
			change(&c)
			s := start(t, c)
			eventually(t, "why it is down", func() bool { st := s.Status(); return !st.Up && !strings.Contains(st.String(), "not connected yet") })
			if len(r.lines()) > 0 {
				t.Errorf("got %q", r.lines())
			}
		})
	}
}

func TestAPlaceThatCannotBeReadIsSaid(t *testing.T) {
	log, path := openLog(t)
	record(t, log, 1)
	for _, content := range []string{"", "{", `{"seq":-1}`, strings.Repeat(" ", 5000)} {
		if err := os.WriteFile(PlaceFile(path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(Config{Log: path}); err == nil || !strings.Contains(err.Error(), PlaceFile(path)) {
			t.Errorf("%q: got %v", content, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add("mail.contoso.example", "sign-in", "x", int64(1))
	f.Add("", "a b", "ö\x00\"]\\", int64(1<<40))
	f.Fuzz(func(t *testing.T, host, kind, text string, seq int64) {
		if seq < 1 {
			return
		}
		framed := frame(nil, host, audit.Entry{Time: time.Date(2026, 11, 24, 9, 0, 0, 1000, time.UTC), Seq: seq, Kind: kind, Line: fmt.Appendf(nil, `{"x":%q}`, text)})
		length, message, found := strings.Cut(string(framed), " ")
		if !found || length != fmt.Sprint(len(message)) {
			t.Fatalf("got the length %q of %d bytes", length, len(message))
		}
		if _, err := rfc5424.NewParser().Parse([]byte(message)); err != nil {
			t.Errorf("%q: %v", message, err)
		}
	})
}
