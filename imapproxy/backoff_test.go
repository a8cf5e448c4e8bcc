package imapproxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/auth/token"
)

var inbox = upstreamMailbox{"contoso", "helpdesk@contoso.example"}

// pausing is a backoff with a clock that the test sets.
type pausing struct {
	*backoff
	t   *testing.T
	now time.Time
}

func newPausing(t *testing.T) *pausing {
	p := &pausing{t: t, now: noon}
	p.backoff = newBackoff(func() time.Time { return p.now })
	return p
}

// said has upstream say a line to somebody who opens the mailbox.
func (p *pausing) said(line string) {
	p.note(inbox, fmt.Errorf("IMAP at x: %w", upstreamSaid(line, "alice@contoso.com")))
}

// paused demands that the mailbox is left alone for at least the time, and for a fifth longer at most.
func (p *pausing) paused(what string, want time.Duration) {
	p.t.Helper()
	begin := p.now
	if want > 0 {
		p.now = begin.Add(want - time.Nanosecond)
		err := p.check(inbox)
		var refusal *auth.Refusal
		if !errors.As(err, &refusal) || refusal.Kind != auth.Unavailable || refusal.Reason != auth.UpstreamUnavailable || refusal.Say == "" {
			p.t.Errorf("%s: just before %v got %v, want a temporary refusal with words", what, want, err)
		}
	}
	p.now = begin.Add(want + want/5 + 1)
	if err := p.check(inbox); err != nil {
		p.t.Errorf("%s: after %v got %v, want it over", what, p.now.Sub(begin), err)
	}
	p.now = begin
}

func TestUpstreamIsLeftAloneAsItWants(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"A2 BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds":   92415 * time.Millisecond,
		"A2 NO Request is throttled. Suggested Backoff Time: 1 milliseconds":        time.Millisecond,
		"A1 NO request is throttled. suggested backoff time: 1500 milliseconds":     1500 * time.Millisecond,
		"A2 BAD Request is throttled. Suggested Backoff Time: 300001 milliseconds":  5 * time.Minute,
		"A2 BAD Suggested Backoff Time: 999999999999 milliseconds":                  5 * time.Minute,
		"A2 BAD Request is throttled. Suggested Backoff Time: soon":                 time.Minute,
		"A2 NO Server Unavailable. 15":                                              time.Minute,
		"* BYE Server Unavailable. 15":                                              time.Minute,
		"A2 NO [UNAVAILABLE] try again":                                             0,
		"* BYE Connection closed. 14":                                               0,
		"A2 BAD Request is throttled. Suggested Backoff Time: 0 milliseconds":       0,
		"A2 BAD Request is throttled. Suggested Backoff Time: -5 milliseconds":      time.Minute,
		"A2 BAD User is authenticated but not connected.":                           0, // the first time
		"A2 BAD Suggested Backoff Time: 99999999999999999999999999999 milliseconds": 0,
	} {
		p := newPausing(t)
		p.said(line)
		p.paused(line, want)
	}
}

// Who has mended the tenant is not told the old answer by us; a device that tries for ever is kept off all the same.
func TestNotConnectedPausesShortlyAndAtTheSecondTime(t *testing.T) {
	const line = "A2 BAD User is authenticated but not connected."
	p := newPausing(t)
	p.said(line)
	p.paused("once", 0)
	p.said(line)
	p.paused("twice", 10*time.Second)
	p.now = noon.Add(20 * time.Second)
	p.said(line)
	p.paused("again", 10*time.Second)

	p.now = noon.Add(time.Hour)
	p.said(line)
	p.paused("an hour later", 0)
	p.note(inbox, nil) // mended
	p.said(line)
	p.paused("after a success", 0)
}

func TestOnlyTheMailboxIsLeftAlone(t *testing.T) {
	p := newPausing(t)
	p.said("A2 NO Server Unavailable. 15")
	for _, other := range []upstreamMailbox{{"contoso", "alice@contoso.example"}, {"fabrikam", inbox.user}} {
		if err := p.check(other); err != nil {
			t.Errorf("%v: %v", other, err)
		}
	}
	// Trouble that is not upstream's wish changes nothing, and a success ends it.
	p.note(inbox, errors.New("connection reset"))
	p.note(inbox, token.ErrRefused)
	if p.check(inbox) == nil {
		t.Error("another trouble ended the pause")
	}
	p.note(inbox, nil)
	if err := p.check(inbox); err != nil {
		t.Error("a success did not end it:", err)
	}
}

func TestPausedMailboxesAreBounded(t *testing.T) {
	p := newPausing(t)
	busy := upstreamSaid("A2 NO Server Unavailable. 15", "alice@contoso.com")
	for i := range 3 * maxPaused / 2 {
		p.note(upstreamMailbox{"contoso", fmt.Sprint(i)}, busy)
	}
	if got := len(p.backoff.paused); got != maxPaused {
		t.Errorf("%d are remembered, want %d", got, maxPaused)
	}
	p.now = noon.Add(time.Hour)
	p.said("A2 NO Server Unavailable. 15")
	if got := len(p.backoff.paused); got != 1 {
		t.Errorf("%d are remembered once the others are over, want 1", got)
	}
}

// The whole way: the client hears at once that it is temporary, and upstream is not asked again before the time is over.
func TestPausedMailboxIsRefusedWithoutUpstream(t *testing.T) {
	for command, reply := range map[string]string{
		"STATUS":       "TAG BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds",
		"AUTHENTICATE": "TAG NO Server Unavailable. 15",
		"greeting":     "* BYE Server Unavailable. 15",
	} {
		t.Run(command, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(command, reply)
			c := w.greeted(implicit)
			c.ask(login, unavailable)
			c.send(login + "\r\n")
			if got := c.line(); !strings.HasPrefix(got, "A1 NO [UNAVAILABLE] Exchange Online wants a pause for this mailbox, try again in ") {
				t.Fatalf("got %q", got)
			}
			if n := w.upstream.connections(); n != 1 {
				t.Errorf("upstream was asked %d times, want once", n)
			}
			if n := len(w.sessions.List()); n != 0 {
				t.Errorf("%d sessions in the register, want none", n)
			}
			w.pass(6 * time.Minute)
			c.ask(login, signedIn)
			c.gone()
		})
	}
}

func TestMailboxLimitIsToldBeforeUpstreamIsAsked(t *testing.T) {
	w := newWorld(t)
	upstream := w.upstreams["contoso"]
	upstream.Sessions = 1
	w.upstreams["contoso"] = upstream
	first := w.signIn()
	second := w.greeted(implicit)
	second.ask(login, "A1 NO [LIMIT] Too many sessions at once, try again later")
	if n := w.upstream.connections(); n != 1 {
		t.Errorf("upstream was asked %d times, want once", n)
	}
	first.gone()
	second.ask(login, signedIn)
	second.gone()
}

// A limit on strangers ends where a client has signed in, and not with a refusal.
func TestSignInIsToldToTheListener(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(implicit)
	c.ask("A1 LOGIN helpdesk wrong", denied)
	if n := w.signIns.Load(); n != 0 {
		t.Errorf("a refused client counts as signed in")
	}
	c.ask(login, signedIn)
	if n := w.signIns.Load(); n != 1 {
		t.Errorf("told %d times of one sign-in", n)
	}
	c.gone()
}

// TestWhatUpstreamSaidNamesTheMailbox: the command that the log has can be copied as it is.
func TestWhatUpstreamSaidNamesTheMailbox(t *testing.T) {
	const want = "Get-CASMailbox scans@contoso.com | fl ImapEnabled"
	if got := upstreamSaid("A2 BAD User is authenticated but not connected.", "scans@contoso.com").Error(); !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
