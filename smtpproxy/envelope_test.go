package smtpproxy

import (
	"slices"
	"strings"
	"testing"

	"postern/internal/audit"
)

const (
	syntaxError = "501 5.5.4 Syntax error in parameters"
	noSuchMail  = "555 5.5.4 Unsupported MAIL parameter"
)

// TestMail has, for what follows MAIL, the client's reply and what upstream heard of it; empty for nothing.
func TestMail(t *testing.T) {
	for _, test := range []struct{ argument, reply, upstream string }{
		{"FROM:<a@b.example>", senderOK, "FROM:<a@b.example>"},
		{"from:<a@b.example>", senderOK, "FROM:<a@b.example>"},
		{"FROM:<a@b.example>  ", senderOK, "FROM:<a@b.example>"},
		{"FROM:<>", senderOK, "FROM:<>"},
		{"FROM:<a@b.example> SIZE=1000", senderOK, "FROM:<a@b.example> SIZE=2024"},
		{"FROM:<a@b.example> size=0 body=8bitmime", senderOK, "FROM:<a@b.example> SIZE=1024 BODY=8bitmime"},
		{"FROM:<a@b.example> BODY=7BIT", senderOK, "FROM:<a@b.example> BODY=7BIT"},
		{"FROM:<ü@b.example> SMTPUTF8", senderOK, "FROM:<ü@b.example> SMTPUTF8"},
		{"FROM:<a@b.example> RET=HDRS ENVID=x1", senderOK, "FROM:<a@b.example> RET=HDRS ENVID=x1"},
		{"FROM:<a@b.example> AUTH=<>", senderOK, "FROM:<a@b.example>"},
		{"FROM:<a@b.example> SIZE=157286400", senderOK, "FROM:<a@b.example> SIZE=157287424"},
		{"FROM:<a@b.example> SIZE=157286401", "552 5.3.4 Message size exceeds fixed maximum message size", ""},
		{"FROM:<a@b.example> SIZE=99999999999999999999", syntaxError, ""},
		{"FROM:<a@b.example> SIZE=-1", syntaxError, ""},
		{"FROM:<a@b.example> SIZE", syntaxError, ""},
		{"FROM:<a@b.example> SIZE=1 SIZE=2", syntaxError, ""},
		{"FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4 Unsupported BODY type", ""},
		{"FROM:<a@b.example> BODY", "555 5.5.4 Unsupported BODY type", ""},
		{"FROM:<a@b.example> MT-PRIORITY=3", noSuchMail, ""},
		{"FROM:<a@b.example> REQUIRETLS", noSuchMail, ""},
		{"FROM:<a@b.example>SIZE=1", syntaxError, ""},
		{"FROM:a@b.example", syntaxError, ""},
		{"FROM:<a>", syntaxError, ""},
		{"TO:<a@b.example>", syntaxError, ""},
		{"", syntaxError, ""},
	} {
		t.Run(test.argument, func(t *testing.T) {
			w := newWorld(t)
			c := w.signIn()
			c.ask(strings.TrimSuffix("MAIL "+test.argument, " "), test.reply)
			var heard string
			if w.upstream.connections() > 0 {
				heard = strings.TrimPrefix(w.upstream.visit(0).commands[2], "MAIL ")
			}
			if heard != test.upstream {
				t.Errorf("upstream heard %q, want %q", heard, test.upstream)
			}
		})
	}
}

// TestParametersThatUpstreamDoesNotKnow are not handed on.
func TestParametersThatUpstreamDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("EHLO", "250 up.example Hello")
	c := w.signIn()
	c.ask("MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME RET=FULL", senderOK)
	c.ask("RCPT TO:<c@d.example> NOTIFY=NEVER", recipientOK)
	want := []string{"EHLO mail.test", "AUTH XOAUTH2", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"}
	if got := w.upstream.visit(0).commands; !slices.Equal(got, want) {
		t.Errorf("upstream heard %q, want %q", got, want)
	}
}

// TestRcpt is as TestMail, after a MAIL.
func TestRcpt(t *testing.T) {
	const noSuch = "555 5.5.4 Unsupported RCPT parameter"
	for _, test := range []struct{ argument, reply, upstream string }{
		{"TO:<a@b.example>", recipientOK, "TO:<a@b.example>"},
		{"to:<\"a b\"@b.example>", recipientOK, "TO:<\"a b\"@b.example>"},
		{"TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.example", recipientOK,
			"TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.example"},
		{"TO:<a@b.example> NOTIFY", syntaxError, ""},
		{"TO:<a@b.example> SIZE=1", noSuch, ""},
		{"TO:<a@b.example> NOTIFY=NEVER RRVS=2", noSuch, ""},
		{"TO:<>", syntaxError, ""},
		{"TO:<Postmaster>", syntaxError, ""},
		{"FROM:<a@b.example>", syntaxError, ""},
		{"", syntaxError, ""},
	} {
		t.Run(test.argument, func(t *testing.T) {
			w := newWorld(t)
			c := w.signIn()
			c.ask("MAIL FROM:<a@b.example>", senderOK)
			c.ask(strings.TrimSuffix("RCPT "+test.argument, " "), test.reply)
			var heard string
			if commands := w.upstream.visit(0).commands; len(commands) > 3 {
				heard = strings.TrimPrefix(commands[3], "RCPT ")
			}
			if heard != test.upstream {
				t.Errorf("upstream heard %q, want %q", heard, test.upstream)
			}
		})
	}
}

func TestThousandRecipientsAndNoMore(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	c.ask("MAIL FROM:<scans@contoso.example>", senderOK)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.send(strings.Repeat("RCPT TO:<bob@contoso.example>\r\n", 1001))
	}()
	for range 1000 {
		c.expect(recipientOK)
	}
	c.expect("452 4.5.3 Too many recipients")
	<-sent
	c.ask("DATA", goAhead)
	c.ask("x\r\n.", accepted)
	if got := w.audit.messages(); len(got) != 1 || len(got[0].Recipients) != 1000 {
		t.Errorf("the audit log has %d messages, want one with 1000 recipients", len(got))
	}
}

func TestSequence(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	c.play("RCPT TO:<b@contoso.example>", badSequence, "DATA", badSequence,
		"MAIL FROM:<a@contoso.example>", senderOK, "MAIL FROM:<a@contoso.example>", badSequence, goodPlain, badSequence,
		"DATA", "554 5.5.1 No valid recipients", "RCPT TO:<b@contoso.example>", recipientOK, "DATA x", "501 5.5.4 The command takes no parameters",
		"DATA", goAhead, "x\r\n.", accepted, "DATA", badSequence)
	w.expectMessages(audit.Message{Outcome: audit.Allowed, Sender: "a@contoso.example", Recipients: []string{"b@contoso.example"}, Size: 6, Reply: accepted})
}

// TestGivingUp: RSET, EHLO and HELO end a transaction, here and upstream, and upstream is kept for the next.
func TestGivingUp(t *testing.T) {
	for _, command := range []string{"RSET", "EHLO again", "HELO again"} {
		t.Run(command, func(t *testing.T) {
			w := newWorld(t)
			c := w.readyForData()
			c.send(command + "\r\n")
			if got := c.reply(); !strings.HasPrefix(got, "250") {
				t.Fatalf("got %q", got)
			}
			c.ask("DATA", badSequence)
			c.ask("MAIL FROM:<other@contoso.example>", senderOK)
			want := []string{"RSET", "MAIL FROM:<other@contoso.example>"}
			if got := w.upstream.visit(0).commands; !slices.Equal(got[len(got)-2:], want) {
				t.Errorf("upstream heard %q, want %q at the end", got, want)
			}
			w.expectMessages()
		})
	}
}

func TestGivingUpWhereUpstreamDoesNotReset(t *testing.T) {
	for _, reply := range []string{"421 4.4.2 Connection dropped", "500 5.5.1 no", hangUp} {
		w := newWorld(t)
		w.upstream.script("RSET", reply)
		c := w.readyForData()
		c.ask("RSET", ok)
		c.ask("MAIL FROM:<other@contoso.example>", senderOK)
		if n := w.upstream.connections(); n != 2 {
			t.Errorf("RSET answered by %q: %d connections to upstream, want a new one", reply, n)
		}
	}
}

// TestAllRecipientsRefused is one line in the audit log, however the transaction ends.
func TestAllRecipientsRefused(t *testing.T) {
	const refused = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found"
	for _, end := range []string{"RSET", "QUIT", "EHLO x", ""} {
		t.Run(end, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script("RCPT", "550 5.1.1 first", refused)
			c := w.signIn()
			c.play("MAIL FROM:<a@contoso.example>", senderOK, "RCPT TO:<b@contoso.example>", "550 5.1.1 first",
				"RCPT TO:<c@contoso.example>", refused, "DATA", "554 5.5.1 No valid recipients")
			if end != "" {
				c.send(end + "\r\n")
				c.reply()
			}
			c.gone()
			w.expectMessages(audit.Message{Outcome: audit.Refused, Reason: "recipients-refused", Sender: "a@contoso.example", Reply: refused})
		})
	}
}

// TestSomeRecipientsRefused and then given up is no message at all.
func TestSomeRecipientsRefused(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("RCPT", "250 2.1.5 first", "550 5.1.1 second")
	c := w.signIn()
	c.play("MAIL FROM:<a@contoso.example>", senderOK, "RCPT TO:<b@contoso.example>", "250 2.1.5 first",
		"RCPT TO:<c@contoso.example>", "550 5.1.1 second", "RSET", ok)
	w.expectMessages()
}
