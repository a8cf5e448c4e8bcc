package imapproxy

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/auth/token"
	"postern/internal/front"
	"postern/internal/session"
)

const beginWords = "OK Begin TLS negotiation now\r\n"

// ours are all the words that the dialogue has for a stranger, behind a tag, an asterisk or a plus.
var ours = regexp.MustCompile(`^(OK \[CAPABILITY [A-Za-z0-9=+ -]+\] Postern is ready|CAPABILITY [A-Za-z0-9=+ -]+|ID \("name" "Postern"\)|` +
	`OK (CAPABILITY|NOOP|ID|LOGOUT) completed|OK Begin TLS negotiation now|Ready for [0-9]{1,4} bytes|(VXNlcm5hbWU6|UGFzc3dvcmQ6)?|` +
	`NO \[(AUTHENTICATIONFAILED\] Authentication failed|PRIVACYREQUIRED\] Sign in over TLS only|` +
	`CANNOT\] Use AUTHENTICATE PLAIN, AUTHENTICATE LOGIN or LOGIN)|` +
	`BYE (Goodbye|Too many bad commands|Too many refused attempts to sign in|\[TOOBIG\] Literal too long)|` +
	`BAD (Line too long|Lines end in CRLF|Unknown command, or one that needs a sign-in first|STARTTLS is not offered here|AUTHENTICATE cancelled|` +
	`Invalid (tag|argument|string|literal|literal size|line|base64|response|credentials message|escape in quoted string)|Missing argument|` +
	`Unexpected argument|No command|NUL in (quoted string|literal)|Quoted string without end|Too many fields))$`)

// noTokens fails a test that asks for one.
type noTokens struct{ t *testing.T }

func (n noTokens) Use(context.Context, token.Account, func(context.Context, token.Access) error) error {
	n.t.Error("a token was asked for before any sign-in")
	return context.Canceled
}

// FuzzWords has a stranger say anything, in clear with and without leave to sign in: of what it said it hears its tags
// again and nothing else, so that nothing can be reflected to another protocol's client (alpaca-attack.com). Without
// leave, nothing it says comes to the gate.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		"a LOGIN {3+}\r\nb x {2+}\r\nok\r\na STARTTLS\r\nb NOOP\r\n", "a LOGIN {8}\r\n<script> x\r\n", "<x> ID (\"name\" \"<b>\")\r\n<x> NOOP\r\n",
		"a AUTHENTICATE LOGIN\r\nYQ==\r\nYg==\r\na AUTHENTICATE FOO\r\n", "a NOOP {4+}\r\nb XY\r\n", "a LOGIN a {2000+}\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		strings.Repeat("a b\r\n", front.MaxBadCommands+1), "a LOGIN b c\r\nb LOGIN b c\r\nc LOGIN b c\r\nd LOGIN b c\r\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	config := serverTLS()
	f.Fuzz(func(t *testing.T, input []byte, allowed bool) {
		conn := &bytesConn{in: bytes.NewReader(input)}
		accepted := front.New(conn, "s-1", time.Now())
		accepted.ClearAllowed, accepted.StartTLS = allowed, config
		gate := &strangerGate{}
		p := New(Config{Gate: gate, Tokens: noTokens{t}, Audit: &fakeAudit{}, Sessions: &session.Register{}, Log: slog.New(slog.DiscardHandler)})
		if p.Serve(context.Background(), accepted) != nil {
			t.Fatal("a stranger was signed in")
		}
		if !allowed && gate.attempts > 0 {
			t.Fatalf("%d attempts in clear", gate.attempts)
		}
		checkWords(t, conn.out.String())
	})
}

// checkWords holds all that the dialogue said against ours, up to the start of TLS, and counts what it put up with.
func checkWords(t *testing.T, said string) {
	t.Helper()
	if before, _, begun := strings.Cut(said, beginWords); begun { // what follows is TLS
		said = before + beginWords
	}
	bad := 0
	for line := range strings.SplitAfterSeq(said, "\r\n") {
		if line == "" {
			continue
		}
		text, whole := strings.CutSuffix(line, "\r\n")
		tag, words, _ := strings.Cut(text, " ")
		if !whole || len(tag) > maxTag || !ours.MatchString(words) {
			t.Fatalf("says %q", line)
		}
		if strings.HasPrefix(words, "BAD ") {
			bad++
		}
	}
	if bad >= front.MaxBadCommands {
		t.Fatalf("put up with %d bad commands", bad)
	}
}
