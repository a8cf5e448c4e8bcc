package imapproxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/front"
	"postern/internal/session"
)

// TestI28TooSlow has clients that take their time, in the time of a bubble: the dialogue ends a minute after the connection
// was accepted, whatever trickles in (threat model I-28).
func TestI28TooSlow(t *testing.T) {
	const bye = "* BYE Too slow to sign in\r\n"
	for name, test := range map[string]struct {
		first   string // said at once
		trickle string // said again and again
	}{
		"says nothing":          {"", ""},
		"trickles a line":       {"", "x"},
		"trickles commands":     {"", "A1 NOOP\r\n"},
		"trickles a literal":    {"A1 LOGIN {1000}\r\n", "x"},
		"trickles credentials":  {"A1 AUTHENTICATE PLAIN\r\n", "x"},
		"stops in an exchange":  {"A1 AUTHENTICATE LOGIN\r\nYQ==\r\n", ""},
		"trickles a long line":  {strings.Repeat("x", maxLine+2), "x"},
		"stops behind literals": {"A1 ID (\"name\" {1+}\r\nx", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, ended := slowClient(nil)
				began := time.Now()
				var trickling sync.WaitGroup
				defer trickling.Wait()
				trickling.Go(func() { trickle(mine, test.first, test.trickle) })
				said, err := io.ReadAll(mine)
				if err != nil || !strings.HasSuffix(string(said), bye) {
					t.Errorf("got %q, %v; want it to end in %q", said, err, bye)
				}
				<-ended
				if lived := time.Since(began); lived != front.SignInTimeout {
					t.Errorf("the connection lived %v, want %v", lived, front.SignInTimeout)
				}
			})
		})
	}
}

// trickle writes until it cannot.
func trickle(conn net.Conn, first, again string) {
	_, err := io.WriteString(conn, first)
	for err == nil && again != "" {
		time.Sleep(7 * time.Second) // of the bubble's time
		_, err = io.WriteString(conn, again)
	}
}

// slowClient connects a client in clear by a pipe, whose deadlines go by the bubble's time.
func slowClient(arrange func(*front.Conn)) (mine net.Conn, ended <-chan struct{}) {
	mine, theirs := net.Pipe()
	conn := front.New(theirs, "s-1", time.Now())
	conn.ClearAllowed = true
	if arrange != nil {
		arrange(conn)
	}
	p := New(Config{Gate: &fakeGate{audit: &fakeAudit{}}, Audit: &fakeAudit{}, Sessions: &session.Register{}, Log: slog.New(slog.DiscardHandler)})
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.Serve(context.Background(), conn)
	}()
	return mine, served
}

// TestTooSlowForTLS: when the time is over in the middle of a handshake there is no IMAP to be said.
func TestTooSlowForTLS(t *testing.T) {
	config := serverTLS()
	for name, before := range map[string]time.Duration{
		"the handshake's time is over": 0,
		"the sign-in's time is over":   front.SignInTimeout - time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, ended := slowClient(func(conn *front.Conn) { conn.StartTLS = config })
				in := bufio.NewReader(mine)
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				time.Sleep(before) // of the bubble's time
				if _, err := io.WriteString(mine, "A1 STARTTLS\r\n"); err != nil {
					t.Fatal(err)
				}
				if got, err := in.ReadString('\n'); got != beginTLS+"\r\n" {
					t.Fatal(got, err)
				}
				if rest, _ := io.ReadAll(in); strings.Contains(string(rest), "BYE") {
					t.Errorf("got %q in the middle of a handshake", rest)
				}
				<-ended
			})
		})
	}
}
