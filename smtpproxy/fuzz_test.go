package smtpproxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/front"
	"postern/internal/session"
)

// played is a connection whose client has said everything beforehand.
type played struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (p *played) Read(b []byte) (int, error)       { return p.in.Read(b) }
func (p *played) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *played) Close() error                     { return nil }
func (p *played) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (p *played) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4} }
func (p *played) SetDeadline(time.Time) error      { return nil }
func (p *played) SetReadDeadline(time.Time) error  { return nil }
func (p *played) SetWriteDeadline(time.Time) error { return nil }

// noTokens fails a test that asks for one.
type noTokens struct{ t *testing.T }

func (n noTokens) Use(context.Context, token.Account, func(context.Context, token.Access) error) error {
	n.t.Error("a token was asked for before any sign-in")
	return io.EOF
}

// knownReplies are all that the gateway has to say to somebody who is not signed in. None of them repeats what it was
// told, so that nothing can be reflected to another protocol's client.
var knownReplies = regexp.MustCompile(`^(220 mail\.test ESMTP Postern|250[ -]mail\.test Hello \[127\.0\.0\.1\]|` +
	`250[ -](SIZE 157286400|PIPELINING|DSN|ENHANCEDSTATUSCODES|8BITMIME|CHUNKING|SMTPUTF8|STARTTLS|AUTH PLAIN LOGIN)|250 2\.0\.0 OK|` +
	`2(14|20|21|52) 2\.[a-zA-Z0-9 .,:-]+|334 (|VXNlcm5hbWU6|UGFzc3dvcmQ6)|421 4\.[0-9.]+ [a-zA-Z ,-]+|` +
	`5\d\d 5\.[0-9.]+ [a-zA-Z0-9 ,-]+)$`)

// FuzzDialogue has strangers say anything: the gateway answers in whole known lines, and reaches nothing upstream
// (threat model I-11, I-28).
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nMAIL FROM:<a@b>\r\nQUIT\r\n",
		"HELO x\r\nNOOP y\r\nRSET\r\nVRFY z\r\nHELP\r\nRCPT TO:<a@b>\r\nDATA\r\n",
		"EHLO x\r\nSTARTTLS\r\nEHLO y\r\n", "EHLO x\r\nAUTH PLAIN\r\n*\r\nAUTH LOGIN =\r\n", "GET / HTTP/1.1\r\n\r\n",
		"a\rb\r\nc\nd\r\n", strings.Repeat("XYZZY\r\n", 12), "EHLO " + strings.Repeat("x", 300) + "\r\n",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	config := serverTLS()
	f.Fuzz(func(t *testing.T, said []byte, clear bool) {
		record := &fakeAudit{}
		gate := &fakeGate{audit: record, refusal: &auth.Refusal{Kind: auth.Denied, Reason: auth.WrongPassword}}
		p := New(Config{Domain: "mail.test", Gate: gate, Tokens: noTokens{t}, Audit: record, Sessions: &session.Register{},
			Log: slog.New(slog.DiscardHandler)})
		client := &played{in: bytes.NewReader(said)}
		conn := front.New(client, "s-1", time.Now())
		conn.StartTLS, conn.ClearAllowed = config, clear
		p.Serve(context.Background(), conn, Door{})
		if n := len(gate.seen()); n > maxRefusals || !clear && n > 0 {
			t.Errorf("the gate had %d attempts", n)
		}
		checkReplies(t, client.out.String())
	})
}

// checkReplies holds what the gateway said against knownReplies, up to the start of TLS.
func checkReplies(t *testing.T, said string) {
	t.Helper()
	bad := 0
	for line := range strings.SplitAfterSeq(said, "\r\n") {
		if line == "" {
			continue
		}
		text, whole := strings.CutSuffix(line, "\r\n")
		if !whole || !knownReplies.MatchString(text) {
			t.Fatalf("the gateway said %q", line)
		}
		if strings.HasPrefix(text, "500") || strings.HasPrefix(text, "503") {
			bad++
		}
		if strings.HasPrefix(text, "220 2.0.0") { // what follows is TLS
			return
		}
	}
	if bad >= front.MaxBadCommands {
		t.Fatalf("%d bad commands were answered", bad)
	}
}
