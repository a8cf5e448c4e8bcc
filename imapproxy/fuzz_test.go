package imapproxy

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/internal/front"
	"postern/internal/session"
)

// strangerGate refuses everybody, as for a wrong password.
type strangerGate struct{ attempts int }

func (g *strangerGate) SignIn(context.Context, auth.Attempt, func(context.Context, auth.Grant) error) (auth.Grant, error) {
	g.attempts++
	return auth.Grant{}, &auth.Refusal{Kind: auth.Denied, Reason: auth.WrongPassword}
}

// bytesConn is a connection whose client has sent all that it will send.
type bytesConn struct {
	net.Conn // nil: nothing else is called
	in       *bytes.Reader
	out      bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *bytesConn) Close() error                     { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }
func (c *bytesConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

// FuzzDialogue has a stranger say anything: the dialogue comes to an end, asks no upstream (there is none here), and answers
// in whole lines of printable ASCII behind a short tag.
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		"a CAPABILITY\r\nb NOOP\r\nc LOGOUT\r\n", "a LOGIN alice secret\r\n", "a LOGIN {5}\r\nalice {6+}\r\nsecret\r\n",
		"a LOGIN \"al\\\"ice\" \"x\"\r\na LOGIN a b\r\na LOGIN a b\r\n", "a AUTHENTICATE PLAIN AGEAYg==\r\n", "a AUTHENTICATE PLAIN =\r\n",
		"a AUTHENTICATE LOGIN\r\nYQ==\r\nYg==\r\n", "a AUTHENTICATE PLAIN\r\n*\r\n", "a ID (\"name\" \"x\" \"version\" NIL)\r\na ID NIL\r\n",
		"a XYZZY {10+}\r\na LOGOUT\r\n\r\n", "GET / HTTP/1.1\r\n", "a NOOP\nb NOOP\r\n", "+ x\r\n" + strings.Repeat("y", 20000) + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		conn := &bytesConn{in: bytes.NewReader(input)}
		accepted := front.New(conn, "s-1", time.Now())
		accepted.ClearAllowed = true
		gate := &strangerGate{}
		p := New(Config{Gate: gate, Audit: &fakeAudit{}, Sessions: &session.Register{}, Log: slog.New(slog.DiscardHandler)})
		if session := p.Serve(context.Background(), accepted); session != nil {
			t.Fatal("a stranger was signed in")
		}
		if gate.attempts > maxRefusals {
			t.Fatalf("%d attempts over one connection", gate.attempts)
		}
		said := conn.out.String()
		if !strings.HasSuffix(said, "\r\n") || strings.Count(said, "\n") != strings.Count(said, "\r\n") {
			t.Fatalf("not whole lines: %q", said)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(said, "\r\n"), "\r\n") {
			tag, words, _ := strings.Cut(line, " ")
			if len(tag) > maxTag || !isPrintable(words) {
				t.Fatalf("says %q", line)
			}
		}
	})
}

// isPrintable reports whether words are printable ASCII.
func isPrintable(words string) bool {
	return !strings.ContainsFunc(words, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
