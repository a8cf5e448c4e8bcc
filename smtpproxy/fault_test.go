package smtpproxy

import (
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/audit"
)

// TestI32PanicEndsOneSession: wherever a fault ends a session, its place in the register, its permit and its connection to
// upstream are given back, no message is completed, and the login's next session is an ordinary one.
func TestI32PanicEndsOneSession(t *testing.T) {
	var broken atomic.Bool // the clock, for the next look at it
	begun := []string{goodPlain, signedIn, "MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK}
	for name, test := range map[string]struct {
		play  []string // before the fault
		fault func(w *world)
		says  string // what the fault comes of
		taken int    // messages that upstream has after it
	}{
		"at the sign-in":             {nil, func(w *world) { w.audit.panicFor("sign-in") }, goodPlain, 0},
		"as the session begins":      {nil, func(w *world) { w.audit.panicFor("session-begin") }, goodPlain, 0},
		"as upstream is opened":      {begun[:2], func(w *world) { w.tokens.panics(true) }, begun[2], 0},
		"as the message comes":       {begun, func(*world) { broken.Store(true) }, "DATA", 0},
		"as a chunk comes":           {begun, func(*world) { broken.Store(true) }, "BDAT 3 LAST\r\nx", 0},
		"as the message is answered": {append(begun, "DATA", goAhead), func(w *world) { w.audit.panicFor("message") }, "x\r\n.", 1},
		"as the session ends":        {begun[:2], func(w *world) { w.audit.panicFor("session-end") }, "QUIT", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.limit, w.limits.Connections, w.faults = 1, 1, true
			w.proxy.Now = func() time.Time {
				if broken.CompareAndSwap(true, false) {
					panic("a fault")
				}
				return noon
			}
			c := w.connect(implicit)
			c.hello()
			c.play(test.play...)
			test.fault(w)
			c.send(test.says + "\r\n")
			c.awaitServed()
			if left := w.sessions.List(); len(left) != 0 {
				t.Errorf("the register has %v", left)
			}
			w.audit.panicFor("")
			w.tokens.panics(false)
			if w.upstream.connections() > 0 {
				if got := len(w.upstream.awaitOver(0).messages); got != test.taken {
					t.Errorf("upstream has %d messages, want %d", got, test.taken)
				}
			}
			w.signIn().deliver()
		})
	}
}

// TestI32FaultIsTheCause: the audit log says of such a session that it was not the client who ended it.
func TestI32FaultIsTheCause(t *testing.T) {
	w := newWorld(t)
	w.faults = true
	c := w.signIn()
	w.tokens.panics(true)
	c.send("MAIL FROM:<scans@contoso.example>\r\n")
	c.awaitServed()
	events := w.audit.all()
	if end, ok := events[len(events)-1].(audit.SessionEnd); !ok || end.Cause != "fault" {
		t.Errorf("the last event is %+v, want the end of a session by a fault", events[len(events)-1])
	}
}
