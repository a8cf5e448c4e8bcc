package imapproxy

import (
	"fmt"
	"strings"
	"testing"

	"postern/auth"
)

const (
	askUser     = "+ VXNlcm5hbWU6"
	askPassword = "+ UGFzc3dvcmQ6"
	badMessage  = "A1 BAD Invalid credentials message"
	cannot      = "A1 NO [CANNOT] Use AUTHENTICATE PLAIN, AUTHENTICATE LOGIN or LOGIN"
)

// TestAuthenticate has the exchanges that come to the gate, which denies them all.
func TestAuthenticate(t *testing.T) {
	long := strings.Repeat("p", 1024)
	for name, test := range map[string]struct {
		dialogue []string
		want     auth.Attempt
		password string
	}{
		"PLAIN with initial response": {[]string{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00pw"), denied},
			auth.Attempt{Login: "alice", Mechanism: "PLAIN"}, "pw"},
		"PLAIN without": {[]string{"A1 AUTHENTICATE PLAIN", "+ ", encode("\x00alice\x00pw"), denied},
			auth.Attempt{Login: "alice", Mechanism: "PLAIN"}, "pw"},
		"PLAIN in lower case": {[]string{"A1 authenticate plain", "+ ", encode("\x00alice\x00pw"), denied},
			auth.Attempt{Login: "alice", Mechanism: "PLAIN"}, "pw"},
		"PLAIN with identity": {[]string{"A1 AUTHENTICATE PLAIN " + encode("bob\x00alice\x00pw"), denied},
			auth.Attempt{Login: "alice", Identity: "bob", Mechanism: "PLAIN"}, "pw"},
		"PLAIN with a long password": {[]string{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00"+long), denied},
			auth.Attempt{Login: "alice", Mechanism: "PLAIN"}, long},
		"PLAIN in UTF-8": {[]string{"A1 AUTHENTICATE PLAIN " + encode("\x00älice\x00pẅ"), denied},
			auth.Attempt{Login: "älice", Mechanism: "PLAIN"}, "pẅ"},
		"LOGIN with initial response": {[]string{"A1 AUTHENTICATE LOGIN " + encode("alice"), askPassword, encode("pw"), denied},
			auth.Attempt{Login: "alice", Mechanism: "LOGIN"}, "pw"},
		"LOGIN without": {[]string{"A1 AUTHENTICATE LOGIN", askUser, encode("alice"), askPassword, encode("pw"), denied},
			auth.Attempt{Login: "alice", Mechanism: "LOGIN"}, "pw"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.play(test.dialogue...)
			expectAttempt(t, w, test.want, test.password)
		})
	}
}

// TestAuthenticateSyntax has the exchanges that do not come to the gate. The connection goes on after each.
func TestAuthenticateSyntax(t *testing.T) {
	const cancelled = "A1 BAD AUTHENTICATE cancelled"
	for _, dialogue := range [][]string{
		{"A1 AUTHENTICATE", "A1 BAD Missing argument"},
		{"A1 AUTHENTICATE ", "A1 BAD No command"},
		{`A1 AUTHENTICATE "PLAIN"`, "A1 BAD No command"},
		{"A1 AUTHENTICATE PLAIN ", "A1 BAD Invalid credentials message"},
		{"A1 AUTHENTICATE PLAIN =", badMessage},
		{"A1 AUTHENTICATE PLAIN ==", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN AGE*", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00pw") + " x", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN AGFsaWNlAHB3=", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN AGFsaWNlAHB3Cg", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN AGFsaWNlAHB3Ch==", "A1 BAD Invalid base64"}, // bits left over
		{"A1 AUTHENTICATE PLAIN", "+ ", "!", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE PLAIN", "+ ", "=", "A1 BAD Invalid base64"}, // stands for the empty initial response only
		{"A1 AUTHENTICATE PLAIN", "+ ", "", badMessage},
		{"A1 AUTHENTICATE PLAIN", "+ ", "*", cancelled},
		{"A1 AUTHENTICATE PLAIN", "+ ", "AA\rAA", "A1 BAD Invalid response"},
		{"A1 AUTHENTICATE PLAIN", "+ ", strings.Repeat("A", maxLine+1), "A1 BAD Invalid response"},
		{"A1 AUTHENTICATE PLAIN " + encode("alice\x00pw"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00pw\x00"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00\x00pw"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00ali\rce\x00pw"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00ali\x01ce\x00pw"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("b\nob\x00alice\x00pw"), badMessage},
		{"A1 AUTHENTICATE PLAIN " + encode("\x00alice\x00"+strings.Repeat("p", 1025)), badMessage},
		{"A1 AUTHENTICATE LOGIN =", badMessage},
		{"A1 AUTHENTICATE LOGIN", askUser, "*", cancelled},
		{"A1 AUTHENTICATE LOGIN", askUser, "", badMessage},
		{"A1 AUTHENTICATE LOGIN", askUser, "not base64", "A1 BAD Invalid base64"},
		{"A1 AUTHENTICATE LOGIN", askUser, encode("ali\x7fce"), badMessage},
		{"A1 AUTHENTICATE LOGIN", askUser, encode("alice"), askPassword, "*", cancelled},
		{"A1 AUTHENTICATE LOGIN", askUser, encode("alice"), askPassword, "", badMessage},
		{"A1 AUTHENTICATE LOGIN", askUser, encode("alice"), askPassword, encode("p\x00w"), badMessage},
		{"A1 AUTHENTICATE XOAUTH2", cannot},
		{"A1 AUTHENTICATE GSSAPI " + encode("token"), cannot},
		{"A1 AUTHENTICATE CRAM-MD5", cannot},
	} {
		t.Run(fmt.Sprintf("%.60q", dialogue[:len(dialogue)-1]), func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.play(dialogue...)
			c.ask("A2 NOOP", "A2 OK NOOP completed")
			if n := len(w.gate.seen()); n != 0 {
				t.Errorf("the gate had %d attempts, want none", n)
			}
		})
	}
}

// TestInClear: credentials without TLS are not looked at.
func TestInClear(t *testing.T) {
	const privacy = "A1 NO [PRIVACYREQUIRED] Sign in over TLS only"
	w := newWorld(t)
	c := w.greeted(startTLS)
	c.play(login, privacy,
		"A1 LOGIN", privacy,
		"A1 LOGIN {5}", privacy,
		"A1 AUTHENTICATE PLAIN "+encode("\x00helpdesk\x00"+goodPassword), privacy,
		"A1 AUTHENTICATE PLAIN", privacy,
		"A1 AUTHENTICATE LOGIN", privacy,
		"A1 AUTHENTICATE XOAUTH2", privacy)
	if n := len(w.gate.seen()); n != 0 {
		t.Errorf("the gate had %d attempts, want none", n)
	}
}

func TestInClearWhereItIsAllowed(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(optional)
	c.ask(login, signedIn)
	if got := w.gate.seen()[0].TLS; got != 0 {
		t.Errorf("the gate was told of TLS %#x, want of none", got)
	}
	c.send("A2 SELECT INBOX\r\n")
	w.upstream.awaitRelayed("A2 SELECT INBOX\r\n")
	c.gone()
}

func TestAuthenticateOpensTheMailbox(t *testing.T) {
	for name, dialogue := range map[string][]string{
		"PLAIN": {"A1 AUTHENTICATE PLAIN " + encode("\x00helpdesk\x00"+goodPassword), authenticated},
		"LOGIN": {"A1 AUTHENTICATE LOGIN", askUser, encode("helpdesk"), askPassword, encode(goodPassword), authenticated},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.play(dialogue...)
			c.send("A2 SELECT INBOX\r\n")
			w.upstream.awaitRelayed("A2 SELECT INBOX\r\n")
		})
	}
}
