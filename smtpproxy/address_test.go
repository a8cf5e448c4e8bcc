package smtpproxy

import (
	"testing"

	"postern/auth"
)

// TestByAddress: a client that does not sign in is known by where it comes from, on a listener that says so.
func TestByAddress(t *testing.T) {
	t.Run("known", func(t *testing.T) {
		w := newWorld(t)
		w.door.WithoutAuth = true
		c := w.connect(optional)
		c.hello()
		c.deliver()
		c.deliver()
		if got := w.gate.seen(); len(got) != 1 || got[0].Mechanism != auth.ByAddress || got[0].Login != "" {
			t.Errorf("the gate saw %+v, want one attempt by address", got)
		}
		if got := w.sessions.List(); len(got) != 1 || got[0].Login != "copier-3" {
			t.Errorf("sessions: %+v", got)
		}
	})
	t.Run("or by AUTH", func(t *testing.T) {
		w := newWorld(t)
		w.door.WithoutAuth = true
		c := w.connect(optional)
		c.hello()
		c.ask(goodPlain, signedIn)
		c.deliver()
		if got := w.gate.seen(); len(got) != 1 || got[0].Mechanism != "PLAIN" {
			t.Errorf("the gate saw %+v", got)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		const unknown = "530 5.7.0 Authentication required: this address may not send without it"
		w := newWorld(t)
		w.door.WithoutAuth = true
		w.gate.refusal = &auth.Refusal{Kind: auth.Denied, Reason: auth.UnknownAddress}
		c := w.connect(optional)
		c.hello()
		c.play("MAIL FROM:<a@b.example>", unknown, "RCPT TO:<c@d.example>", badSequence, "MAIL FROM:<a@b.example>", unknown, "MAIL FROM:<a@b.example>", unknown)
		c.expect("421 4.7.0 Too many refused attempts to sign in")
		c.expectEnd()
	})
	t.Run("in trouble", func(t *testing.T) {
		w := newWorld(t)
		w.door.WithoutAuth = true
		w.gate.refusal = &auth.Refusal{Kind: auth.Unavailable, Reason: auth.StoreUnavailable}
		c := w.connect(optional)
		c.hello()
		c.ask("MAIL FROM:<a@b.example>", "451 4.7.0 The gateway cannot do this at the moment, try again later")
	})
	t.Run("not before TLS", func(t *testing.T) {
		w := newWorld(t)
		w.door.WithoutAuth = true
		c := w.connect(startTLS)
		c.hello()
		c.ask("MAIL FROM:<a@b.example>", "530 5.7.0 Must issue a STARTTLS command first")
	})
	t.Run("on another listener", func(t *testing.T) {
		w := newWorld(t)
		c := w.connect(optional)
		c.hello()
		c.ask("MAIL FROM:<a@b.example>", "530 5.7.0 Authentication required")
	})
}
