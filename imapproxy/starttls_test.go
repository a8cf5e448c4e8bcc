package imapproxy

import (
	"strings"
	"testing"
)

const beginTLS = "A1 OK Begin TLS negotiation now"

func TestStartTLS(t *testing.T) {
	for _, m := range []mode{startTLS, optional} {
		w := newWorld(t)
		c := w.greeted(m)
		c.ask("A1 STARTTLS", beginTLS)
		c.handshake()
		c.ask("A1 CAPABILITY", "* CAPABILITY "+offersTLS+"\nA1 OK CAPABILITY completed")
		c.ask("A1 STARTTLS", "A1 BAD STARTTLS is not offered here")
		c.ask(login, signedIn)
		if got := w.gate.seen()[0].TLS; got == 0 {
			t.Error("the gate was told of a connection in clear")
		}
		c.send("A2 SELECT INBOX\r\n")
		w.upstream.awaitRelayed("A2 SELECT INBOX\r\n")
		w.upstream.say(0, "A2 OK\r\n")
		c.expect("A2 OK")
	}
}

// TestStartTLSForgetsWhatWasPipelined: commands put behind STARTTLS in clear, by the client or by somebody in between,
// are no commands (RFC 9051 section 6.2.1).
func TestStartTLSForgetsWhatWasPipelined(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(startTLS)
	c.send("A1 STARTTLS\r\nA2 NOOP\r\n" + login + "\r\nA3 NO")
	c.expect(beginTLS)
	c.handshake()
	c.ask("A4 NOOP", "A4 OK NOOP completed")
	if got := w.gate.seen(); len(got) != 0 {
		t.Errorf("the gate had %d attempts, want none", len(got))
	}
}

// TestStartTLSForgetsTheID: what was said in clear may have been said by anybody.
func TestStartTLSForgetsTheID(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(startTLS)
	c.ask(`A1 ID ("name" "Forged")`, idDone)
	c.ask("A1 STARTTLS", beginTLS)
	c.handshake()
	c.ask("A1 LOGIN helpdesk wrong", denied)
	c.ask(`A1 ID ("name" "Mutt")`, idDone)
	c.ask("A1 LOGIN helpdesk wrong", denied)
	seen := w.gate.seen()
	if seen[0].Client != "" || seen[1].Client != "Mutt" {
		t.Errorf("the gate hears of the clients %q and %q, want none and Mutt", seen[0].Client, seen[1].Client)
	}
}

// TestStartTLSWithSomethingElseThanTLS: in the middle of a handshake there is no IMAP.
func TestStartTLSWithSomethingElseThanTLS(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(startTLS)
	c.ask("A1 STARTTLS", beginTLS)
	c.send("A2 NOOP\r\nA3 NOOP\r\nA4 NOOP\r\n")
	c.awaitServed()
	expectNoIMAP(t, c)
}

func expectNoIMAP(t *testing.T, c *client) {
	t.Helper()
	rest := make([]byte, 1024)
	n, _ := c.in.Read(rest)
	if said := string(rest[:n]); strings.Contains(said, "BYE") || strings.Contains(said, "NOOP") {
		t.Errorf("got %q, want no IMAP in the middle of a handshake", said)
	}
}
