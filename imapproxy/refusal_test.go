package imapproxy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
)

// TestI15Refusals: each kind of refusal has its response code (RFC 5530); only a wrong credential is called so (threat model I-15).
func TestI15Refusals(t *testing.T) {
	cause := errors.New("in confidence")
	for name, test := range map[string]struct {
		refusal *auth.Refusal
		want    string
	}{
		"denied":               {&auth.Refusal{Kind: auth.Denied, Reason: auth.WrongPassword, Err: cause}, denied},
		"denied with words":    {&auth.Refusal{Kind: auth.Denied, Say: "no such user"}, denied},
		"limited":              {&auth.Refusal{Kind: auth.Limited, Err: cause}, "A1 NO [LIMIT] Too many sessions at once, try again later"},
		"limited with words":   {&auth.Refusal{Kind: auth.Limited, Say: "Not now"}, "A1 NO [LIMIT] Not now"},
		"unavailable":          {&auth.Refusal{Kind: auth.Unavailable, Err: cause}, unavailable},
		"unavailable in words": {&auth.Refusal{Kind: auth.Unavailable, Say: "In an hour"}, "A1 NO [UNAVAILABLE] In an hour"},
		"blocked":              {&auth.Refusal{Kind: auth.Blocked, Err: cause}, "A1 NO [CONTACTADMIN] The administrator has to act before this mailbox can be opened"},
		"blocked with words":   {&auth.Refusal{Kind: auth.Blocked, Say: "Sign in again"}, "A1 NO [CONTACTADMIN] Sign in again"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.refuse(test.refusal)
			c := w.greeted(implicit)
			c.ask(login, test.want)
			w.gate.refuse(nil)
			c.ask(login, signedIn)
		})
	}
	if got := refusalText(cause); got != "[UNAVAILABLE] "+sayUnavailable {
		t.Errorf("an error that nobody classified: got %q, want it told as temporary", got)
	}
}

// TestI15TokenErrors: who has to act when there is no token.
func TestI15TokenErrors(t *testing.T) {
	for class, want := range map[token.Class]string{
		token.Temporary:     unavailable,
		token.NeedsSignIn:   "A1 NO [CONTACTADMIN] The owner of this mailbox has to sign in to Microsoft again; the password stays as it is",
		token.Misconfigured: "A1 NO [CONTACTADMIN] The gateway's access to Microsoft 365 is not set up right: ask your administrator to look at Postern's log",
	} {
		t.Run(string(class), func(t *testing.T) {
			w := newWorld(t)
			w.tokens.fail(&token.Error{Account: alice, Class: class, Code: "some_error"})
			c := w.greeted(implicit)
			c.ask(login, want)
			if n := w.upstream.connections(); n != 0 {
				t.Errorf("upstream had %d connections without a token", n)
			}
			if left := w.sessions.List(); len(left) != 0 {
				t.Errorf("the register has %v", left)
			}
			w.tokens.fail(nil)
			c.ask(login, signedIn)
		})
	}
}

// TestTooManyRefusals: a connection may guess three times.
func TestTooManyRefusals(t *testing.T) {
	for name, attempt := range map[string][]string{
		"LOGIN":        {"A1 LOGIN helpdesk wrong"},
		"AUTHENTICATE": {"A1 AUTHENTICATE PLAIN", "+ ", encode("\x00helpdesk\x00wrong")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.greeted(implicit)
			for range maxRefusals - 1 {
				c.play(append(slices.Clone(attempt), denied)...)
			}
			c.play(append(slices.Clone(attempt), denied+"\n* BYE Too many refused attempts to sign in")...)
			c.expectEnd()
			c.awaitServed()
			if n := len(w.gate.seen()); n != maxRefusals {
				t.Errorf("the gate had %d attempts, want %d", n, maxRefusals)
			}
		})
	}
}

func TestTooManySessions(t *testing.T) {
	const limit = "A1 NO [LIMIT] Too many sessions at once, try again later"
	w := newWorld(t)
	w.gate.limit = 2
	first, _ := w.signIn(), w.signIn()
	third := w.greeted(implicit)
	third.ask(login, limit)
	if n := w.upstream.connections(); n != 2 {
		t.Errorf("upstream had %d connections, want 2", n)
	}
	events := w.audit.all()
	if e, ok := events[len(events)-1].(audit.SignIn); !ok || e.Reason != string(auth.TooManySessions) {
		t.Errorf("the last event is %+v, want a sign-in refused for too many sessions", events[len(events)-1])
	}
	first.gone()
	third.ask(login, signedIn)
}

// TestSignInIsNotInTheAudit: without its line there is no session.
func TestSignInIsNotInTheAudit(t *testing.T) {
	for _, kind := range []string{"sign-in", "session-begin"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.audit.breakFor(kind)
			c := w.greeted(implicit)
			c.send(login + "\r\nA2 SELECT INBOX\r\n")
			c.expect(unavailable + "\nA2" + unknown)
			if v := w.upstream.awaitOver(0); len(v.relayed) != 0 {
				t.Errorf("upstream heard %q", v.relayed)
			}
			if left := w.sessions.List(); len(left) != 0 {
				t.Errorf("the register has %v", left)
			}
			w.audit.breakFor("")
			c.ask(login, signedIn)
		})
	}
}

// TestEndIsNotInTheAudit: a session that has been is over all the same, and the log says that its end is missing.
func TestEndIsNotInTheAudit(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	w.audit.breakFor("session-end")
	c.gone()
	if !strings.Contains(w.log.String(), "the end of a session is not in the audit log") {
		t.Errorf("the log does not say so:\n%s", w.log)
	}
}

// TestUnwrittenBeginnings: an audit log that cannot be written does not let a connection try for ever.
func TestUnwrittenBeginnings(t *testing.T) {
	w := newWorld(t)
	w.audit.breakFor("session-begin")
	c := w.greeted(implicit)
	for range maxRefusals - 1 {
		c.ask(login, unavailable)
	}
	c.ask(login, unavailable+"\n* BYE Too many refused attempts to sign in")
	c.awaitServed()
}
