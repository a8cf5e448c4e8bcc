package imapproxy

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"postern/auth"
)

// TestLogin has the ways to write the arguments of LOGIN, and what the gate is asked. The gate denies them all.
func TestLogin(t *testing.T) {
	most := strings.Repeat("m", maxLiteral)
	for _, test := range []struct{ sent, username, password string }{
		{"alice pw", "alice", "pw"},
		{"alice@contoso.example pw-1234", "alice@contoso.example", "pw-1234"},
		{"a]b p]w", "a]b", "p]w"},
		{`"alice" "pw"`, "alice", "pw"},
		{`"al ice" pw`, "al ice", "pw"},
		{`"a\"b\\c" "\\\""`, `a"b\c`, `\"`},
		{`"" ""`, "", ""},
		{`alice "p{w}(%*"`, "alice", "p{w}(%*"},
		{`alice "{2+}"`, "alice", "{2+}"},
		{"\"\xc3\xa4\" \"\xff\"", "ä", "\xff"},
		{"{5+}\r\nalice {2+}\r\npw", "alice", "pw"},
		{"{5+}\r\nalice pw", "alice", "pw"},
		{`alice {2+}` + "\r\npw", "alice", "pw"},
		{`"alice" {2+}` + "\r\npw", "alice", "pw"},
		{"{5+}\r\nalice \"pw\"", "alice", "pw"},
		{"{0+}\r\n {0+}\r\n", "", ""},
		{"alice {6+}\r\n\"p\\w\r\n", "alice", "\"p\\w\r\n"},
		{"alice {9+}\r\nA2 NOOP\r\n", "alice", "A2 NOOP\r\n"},
		{"{1024+}\r\n" + most + " pw", most, "pw"},
		{"NIL NIL", "NIL", "NIL"},
	} {
		t.Run(fmt.Sprintf("%.40q", test.sent), func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.play("A1 LOGIN "+test.sent, denied, "A2 NOOP", "A2 OK NOOP completed")
			expectAttempt(t, w, auth.Attempt{Login: test.username, Mechanism: "LOGIN"}, test.password)
		})
	}
}

// expectAttempt holds the one attempt that the gate had against want.
func expectAttempt(t *testing.T, w *world, want auth.Attempt, password string) {
	t.Helper()
	seen := w.gate.seen()
	if len(seen) != 1 {
		t.Fatalf("the gate had %d attempts, want 1", len(seen))
	}
	got := seen[0]
	if got.Secret.Reveal() != password {
		t.Errorf("password: got %q, want %q", got.Secret.Reveal(), password)
	}
	if got.Login != want.Login || got.Identity != want.Identity || got.Mechanism != want.Mechanism {
		t.Errorf("got login %q as %q by %s, want %q as %q by %s",
			got.Login, got.Identity, got.Mechanism, want.Login, want.Identity, want.Mechanism)
	}
	if got.Session != "s-1" || got.Protocol != auth.IMAP || !got.Remote.Addr().IsLoopback() || got.TLS != tls.VersionTLS13 {
		t.Errorf("got the attempt %+v, want session s-1, imap, a loopback address, TLS 1.3", got)
	}
}

func TestLoginWithSynchronizingLiterals(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(implicit)
	c.play("A1 LOGIN {5}", "+ Ready for 5 bytes", "alice {2}", "+ Ready for 2 bytes", "pw", denied)
	expectAttempt(t, w, auth.Attempt{Login: "alice", Mechanism: "LOGIN"}, "pw")
}

func TestLoginSyntax(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{"A1 LOGIN", "A1 BAD Missing argument"},
		{"A1 LOGIN ", "A1 BAD Invalid argument"},
		{"A1 LOGIN alice", "A1 BAD Missing argument"},
		{"A1 LOGIN alice ", "A1 BAD Invalid argument"},
		{"A1 LOGIN  alice pw", "A1 BAD Invalid argument"},
		{"A1 LOGIN alice  pw", "A1 BAD Invalid argument"},
		{"A1 LOGIN alice pw x", "A1 BAD Unexpected argument"},
		{"A1 LOGIN alice pw ", "A1 BAD Unexpected argument"},
		{"A1 LOGIN (alice) pw", "A1 BAD Invalid argument"},
		{"A1 LOGIN al*ice pw", "A1 BAD Missing argument"},
		{"A1 LOGIN alice\tpw x", "A1 BAD Missing argument"},
		{`A1 LOGIN "alice pw`, "A1 BAD Quoted string without end"},
		{`A1 LOGIN alice "pw\"`, "A1 BAD Quoted string without end"},
		{`A1 LOGIN alice "p\w"`, "A1 BAD Invalid escape in quoted string"},
		{`A1 LOGIN alice "pw\`, "A1 BAD Invalid escape in quoted string"},
		{"A1 LOGIN alice \"p\x00w\"", "A1 BAD NUL in quoted string"},
		{"A1 LOGIN alice {3+}\r\np\x00w", "A1 BAD NUL in literal"},
		{"A1 LOGIN {x}", "A1 BAD Invalid literal size"},
		{"A1 LOGIN {-1}", "A1 BAD Invalid literal size"},
		{"A1 LOGIN {+5}", "A1 BAD Invalid literal size"},
		{"A1 LOGIN {}", "A1 BAD Invalid literal size"},
		{"A1 LOGIN {+}", "A1 BAD Invalid literal size"},
		{"A1 LOGIN {5", "A1 BAD Invalid literal"},
		{"A1 LOGIN {5} pw", "A1 BAD Invalid literal"},
		{"A1 LOGIN {5+}\r\nalice", "A1 BAD Missing argument"},
		{"A1 LOGIN {5+}\r\nalicepw", "A1 BAD Missing argument"},
		{"A1 LOGIN {5+}\r\nalice pw x", "A1 BAD Unexpected argument"},
		{"A1 LOGIN alice {2+}\r\npw\r", "A1 BAD Invalid line"},
		{"A1 LOGIN {5+}\r\nalice " + strings.Repeat("x", maxLine+1), "A1 BAD Invalid line"},
	} {
		t.Run(fmt.Sprintf("%.40q", test.sent), func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.play(test.sent, test.want, "A2 NOOP", "A2 OK NOOP completed")
			if n := len(w.gate.seen()); n != 0 {
				t.Errorf("the gate had %d attempts, want none", n)
			}
		})
	}
}

// TestLiteralOfARejectedCommand: what a client sends without being asked is the command's, also of a command that is not
// taken, and never a command itself (RFC 7888 section 4).
func TestLiteralOfARejectedCommand(t *testing.T) {
	const sneaked = "{10+}\r\nA9 LOGOUT\r" // the literal is "A9 LOGOUT" and a CR; the line behind it is empty
	const literal = "{11+}\r\nA9 LOGOUT\r\n"
	for _, test := range []struct {
		mode       mode
		sent, want string
	}{
		{implicit, "A1 XYZZY " + literal, "A1" + unknown},
		{implicit, "A1 NOOP " + literal, "A1 BAD Unexpected argument"},
		{implicit, "A1 LOGIN (x) " + literal, "A1 BAD Invalid argument"},
		{implicit, "A1 LOGIN alice pw " + literal, "A1 BAD Unexpected argument"},
		{implicit, "A1 XYZZY " + literal + " " + literal + " x", "A1" + unknown},
		{implicit, "A1 LOGIN {5+}\r\nalice(" + literal, "A1 BAD Missing argument"},
		{implicit, "A1 ID name " + literal, "A1 BAD Invalid string"},
		{implicit, "A1 AUTHENTICATE XOAUTH2 " + literal, "A1 BAD Invalid base64"},
		{implicit, "* " + literal, "* BAD Invalid tag"},
		{startTLS, "A1 LOGIN alice " + literal, "A1 NO [PRIVACYREQUIRED] Sign in over TLS only"},
		{startTLS, "A1 LOGIN " + literal + " " + literal, "A1 NO [PRIVACYREQUIRED] Sign in over TLS only"},
		{implicit, "A1 XYZZY " + sneaked, "A1" + unknown},
	} {
		t.Run(fmt.Sprintf("%.60q", test.sent), func(t *testing.T) {
			c := newWorld(t).greeted(test.mode)
			c.play(test.sent, test.want, "A2 NOOP", "A2 OK NOOP completed")
		})
	}
}

func TestLiteralTooBig(t *testing.T) {
	for _, sent := range []string{
		"A1 LOGIN {1025}", "A1 LOGIN {1025+}", "A1 LOGIN alice {1025+}", "A1 LOGIN {2147483647}", "A1 LOGIN {2147483647+}",
		"A1 ID {1025}", "A1 ID {1025+}", `A1 ID ("name" {1025+}`, "A1 XYZZY {1025+}", "A1 NOOP {99999999999999999999+}",
	} {
		t.Run(sent, func(t *testing.T) {
			c := newWorld(t).greeted(implicit)
			c.ask(sent, "* BYE [TOOBIG] Literal too long")
			c.expectEnd()
			c.awaitServed()
		})
	}
}

// TestClientVanishes: a client that is gone in the middle of anything leaves nothing behind.
func TestClientVanishes(t *testing.T) {
	for _, sent := range []string{"", "A1", "A1 LOGIN {5+}\r\nal", "A1 LOGIN {5+}\r\nalice", "A1 AUTHENTICATE PLAIN\r\n", "A1 XYZZY {5+}\r\nal"} {
		w := newWorld(t)
		c := w.greeted(implicit)
		c.send(sent)
		c.gone()
		if n := len(w.gate.seen()); n != 0 {
			t.Errorf("%q: the gate had %d attempts, want none", sent, n)
		}
	}
}
