package imapproxy

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/front"
)

const idDone = "* ID (\"name\" \"Postern\")\nA1 OK ID completed"

func TestGreetingAndCapability(t *testing.T) {
	for name, test := range map[string]struct {
		mode   mode
		offers string
	}{
		"over TLS":             {implicit, offersTLS},
		"in clear":             {startTLS, offersStartTLS},
		"in clear, if need be": {optional, offersOptional},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWorld(t).connect(test.mode)
			c.expect(greeting(test.offers))
			c.ask("A1 CAPABILITY", "* CAPABILITY "+test.offers+"\nA1 OK CAPABILITY completed")
		})
	}
}

// TestCommands has one row a command; they are independent, and the connection goes on after each.
func TestCommands(t *testing.T) {
	long := strings.Repeat("t", maxTag)
	for _, test := range []struct{ command, want string }{
		{"A1 NOOP", "A1 OK NOOP completed"},
		{"a1 noop", "a1 OK NOOP completed"},
		{"A1 NOOP now", "A1 BAD Unexpected argument"},
		{"A1 NOOP ", "A1 BAD Unexpected argument"},
		{"A1 CAPABILITY x", "A1 BAD Unexpected argument"},
		{"A1 LOGOUT x", "A1 BAD Unexpected argument"},
		{"A1 STARTTLS", "A1 BAD STARTTLS is not offered here"},
		{"A1 STARTTLS x", "A1 BAD Unexpected argument"},
		// Everything that needs a sign-in, and what nobody knows.
		{"A1 SELECT INBOX", "A1" + unknown},
		{"A1 IDLE", "A1" + unknown},
		{"A1 XYZZY", "A1" + unknown},
		{"A1 ENABLE IMAP4rev2", "A1" + unknown},
		// Tags (RFC 9051: any ASTRING-CHAR but "+").
		{"]{x NOOP", "* BAD Missing argument"},
		{"a]1 NOOP", "a]1 OK NOOP completed"},
		{long + " NOOP", long + " OK NOOP completed"},
		{long + "t NOOP", "* BAD Invalid tag"},
		{"+ NOOP", "* BAD Invalid tag"},
		{"A+1 NOOP", "* BAD Missing argument"},
		{"* NOOP", "* BAD Invalid tag"},
		{"\"A\" NOOP", "* BAD Invalid tag"},
		{"\x01 NOOP", "* BAD Invalid tag"},
		{"\xc3\xa4 NOOP", "* BAD Invalid tag"},
		{" NOOP", "* BAD Invalid tag"},
		{"", "* BAD Invalid tag"},
		{"A1", "* BAD Missing argument"},
		{"A1 ", "A1 BAD No command"},
		{"A1  NOOP", "A1 BAD No command"},
		{"A1 \"NOOP\"", "A1 BAD No command"},
		// Lines.
		{strings.Repeat("x", maxLine+1), "* BAD Line too long"},
		{strings.Repeat("x", 10*maxLine), "* BAD Line too long"},
		{"A1 NOOP\rA2 NOOP", "* BAD Lines end in CRLF"},
	} {
		t.Run(fmt.Sprintf("%.40q", test.command), func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.ask(test.command, test.want)
			c.ask("Z9 NOOP", "Z9 OK NOOP completed")
			if n := len(w.gate.seen()); n != 0 {
				t.Errorf("the gate had %d attempts, want none", n)
			}
		})
	}
}

func TestBareLineFeedIsNoLineEnd(t *testing.T) {
	c := newWorld(t).greeted(implicit)
	c.send("A1 NOOP\nA2 NOOP\r\n")
	c.expect("* BAD Lines end in CRLF\nA2 OK NOOP completed")
}

// TestID has the arguments of ID (RFC 2971) and what the gate hears of them.
func TestID(t *testing.T) {
	var thirty strings.Builder
	for i := range maxIDFields {
		fmt.Fprintf(&thirty, ` "f%d" "v"`, i)
	}
	for _, test := range []struct{ arguments, want, client string }{
		{`NIL`, idDone, ""},
		{`nil`, idDone, ""},
		{`()`, idDone, ""},
		{`("name" "Mutt")`, idDone, "Mutt"},
		{`("name" "Mutt" "version" "2.2")`, idDone, "Mutt 2.2"},
		{`("VERSION" "2.2" "Name" "Mutt" "os" NIL)`, idDone, "Mutt 2.2"},
		{`("name" NIL "version" "2.2")`, idDone, "2.2"},
		{`("name" "a \"b\" \\ c")`, idDone, `a "b" \ c`},
		{"(\"name\" {4+}\r\nMutt \"version\" {3+}\r\n2.2)", idDone, "Mutt 2.2"},
		{"({4+}\r\nname {4+}\r\nMu\r\n)", idDone, "Mu"},
		{`("name" "` + strings.Repeat("n", maxIDField+1) + `")`, idDone, strings.Repeat("n", maxIDField)},
		{"(" + thirty.String()[1:] + ")", idDone, ""},
		{"(" + thirty.String()[1:] + ` "one" "more")`, "A1 BAD Too many fields", ""},
		{``, "A1 BAD Missing argument", ""},
		{`name`, "A1 BAD Invalid string", ""},
		{`"name"`, "A1 BAD Invalid argument", ""},
		{`NIL NIL`, "A1 BAD Unexpected argument", ""},
		{`(`, "A1 BAD Invalid string", ""},
		{`("name"`, "A1 BAD Missing argument", ""},
		{`("name")`, "A1 BAD Missing argument", ""},
		{`("name" "Mutt"`, "A1 BAD Invalid string", ""},
		{`("name" "Mutt`, "A1 BAD Quoted string without end", ""},
		{`("name" Mutt)`, "A1 BAD Invalid string", ""},
		{`(NIL "Mutt")`, "A1 BAD Invalid string", ""},
		{`("name" "Mutt") x`, "A1 BAD Unexpected argument", ""},
	} {
		t.Run(fmt.Sprintf("%.40q", test.arguments), func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			c.ask(strings.TrimSuffix("A1 ID "+test.arguments, " "), test.want)
			c.ask("A1 LOGIN helpdesk wrong", denied)
			if got := w.gate.seen()[0].Client; got != test.client {
				t.Errorf("the gate hears of the client %q, want %q", got, test.client)
			}
		})
	}
}

func TestIDWithSynchronizingLiterals(t *testing.T) {
	c := newWorld(t).greeted(implicit)
	c.play(`A1 ID ("name" {4}`, "+ Ready for 4 bytes", `Mutt {7}`, "+ Ready for 7 bytes", `version NIL)`, idDone)
}

func TestIDWithTooManyLiterals(t *testing.T) {
	c := newWorld(t).greeted(implicit)
	c.send("A1 ID (" + strings.Repeat("{1+}\r\na ", maxLiterals+1) + "NIL)\r\n")
	c.expect("* BYE [TOOBIG] Literal too long")
	c.awaitServed()
}

func TestLogout(t *testing.T) {
	for _, m := range []mode{implicit, startTLS, optional} {
		w := newWorld(t)
		c := w.greeted(m)
		c.ask("A1 LOGOUT", "* BYE Goodbye\nA1 OK LOGOUT completed")
		c.expectEnd()
		c.awaitServed()
		if got := w.audit.all(); len(got) != 0 {
			t.Errorf("audit: got %v, want nothing of a client that did not sign in", got)
		}
	}
}

// TestHTTP: a browser that was sent here hears nothing that it could take for an answer of its own site's.
func TestHTTP(t *testing.T) {
	for _, request := range []string{"GET / HTTP/1.1\r\n", "POST /<script> HTTP/1.0\r\n"} {
		c := newWorld(t).greeted(startTLS)
		c.send(request)
		c.expectEnd()
		c.awaitServed()
	}
}

func TestI28TooManyBadCommands(t *testing.T) {
	for name, bad := range map[string]struct{ command, want string }{
		"unknown":         {"A1 XYZZY", "A1" + unknown},
		"no tag":          {"", "* BAD Invalid tag"},
		"syntax":          {"A1 NOOP x", "A1 BAD Unexpected argument"},
		"too long":        {strings.Repeat("x", maxLine+1), "* BAD Line too long"},
		"line end":        {"A1\r", "* BAD Lines end in CRLF"},
		"bad credentials": {"A1 AUTHENTICATE PLAIN AA==", "A1 BAD Invalid credentials message"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWorld(t).greeted(implicit)
			for range front.MaxBadCommands - 1 {
				c.ask(bad.command, bad.want)
				c.ask("A2 NOOP", "A2 OK NOOP completed") // what makes sense in between mends nothing
			}
			c.ask(bad.command, "* BYE Too many bad commands")
			c.expectEnd()
			c.awaitServed()
		})
	}
}

// TestBadCommandsCountAcrossStartTLS: no more of them before a sign-in than threat model I-28 allows.
func TestBadCommandsCountAcrossStartTLS(t *testing.T) {
	c := newWorld(t).greeted(startTLS)
	for range front.MaxBadCommands - 1 {
		c.ask("A1 XYZZY", "A1"+unknown)
	}
	c.ask("A1 STARTTLS", "A1 OK Begin TLS negotiation now")
	c.handshake()
	c.ask("A1 XYZZY", "* BYE Too many bad commands")
	c.awaitServed()
}
