package imapproxy

import (
	"strings"
	"testing"

	"postern/internal/audit"
)

// TestI32PanicInTheDialogue: what a session held before a fault is given back, so that its login is not short of it.
func TestI32PanicInTheDialogue(t *testing.T) {
	for _, kind := range []string{"sign-in", "session-begin"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.gate.limit = 1
			w.faults = true
			w.audit.during(kind, func() { panic("a fault") })
			c := w.greeted(implicit)
			c.send(login + "\r\n")
			c.awaitServed()
			w.upstream.awaitOver(0)
			if left := w.sessions.List(); len(left) != 0 {
				t.Errorf("the register has %v", left)
			}
			w.audit.during(kind, nil)
			w.signIn().gone()
		})
	}
}

// TestI32PanicAtTheEnd: a fault in the last audit line of a session is that session's alone.
func TestI32PanicAtTheEnd(t *testing.T) {
	w := newWorld(t)
	w.gate.limit = 1
	c := w.signIn()
	w.audit.during("session-end", func() { panic("a fault") })
	c.gone()
	w.audit.during("session-end", nil)
	if !strings.Contains(w.log.String(), "please report it") {
		t.Errorf("the log says nothing of the fault:\n%s", w.log)
	}
	w.signIn().gone()
	if end, ok := w.audit.all()[len(w.audit.all())-1].(audit.SessionEnd); !ok || end.Cause != "client-closed" {
		t.Errorf("the next session left %+v in the audit log", w.audit.all())
	}
}
