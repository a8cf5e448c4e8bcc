package smtpproxy

import (
	"testing"

	"postern/internal/audit"
	"postern/internal/session"
)

const stopping = "421 4.3.2 The gateway is stopping, try again in a moment"

func TestStop(t *testing.T) {
	for name, arrange := range map[string]func(w *world) *client{
		"before EHLO":      func(w *world) *client { c := w.connect(implicit); c.expect(greeting); return c },
		"in clear":         func(w *world) *client { c := w.connect(startTLS); c.hello(); return c },
		"in an exchange":   func(w *world) *client { c := w.connect(implicit); c.hello(); c.ask("AUTH LOGIN", askUser); return c },
		"signed in":        func(w *world) *client { return w.signIn() },
		"in a transaction": func(w *world) *client { return w.readyForData() },
		"between messages": func(w *world) *client { c := w.signIn(); c.deliver(); return c },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := arrange(w)
			w.stop()
			c.expect(stopping)
			c.expectEnd()
			c.awaitServed()
			for _, event := range w.audit.all() {
				if end, ended := event.(audit.SessionEnd); ended && end.Cause != "stopped" {
					t.Errorf("the session's end has the cause %q, want stopped", end.Cause)
				}
			}
		})
	}
}

// TestStopDuringStartTLS: in the middle of a handshake nothing can be said, and the connection just ends.
func TestStopDuringStartTLS(t *testing.T) {
	w := newWorld(t)
	c := w.connect(startTLS)
	c.hello()
	c.ask("STARTTLS", readyForTLS)
	w.stop()
	c.expectEnd()
	c.awaitServed()
}

// TestCutOff ends a session at once, whatever it does, with the cause in the audit log, and completes nothing.
func TestCutOff(t *testing.T) {
	for name, arrange := range map[string]func(w *world) *client{
		"idle":             func(w *world) *client { return w.signIn() },
		"in a transaction": func(w *world) *client { return w.readyForData() },
		"between messages": func(w *world) *client { c := w.signIn(); c.deliver(); return c },
		"in a message": func(w *world) *client {
			c := w.readyForData()
			c.ask("DATA", goAhead)
			c.send("x\r\n.")
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := arrange(w)
			messages := 0
			if w.upstream.connections() > 0 {
				messages = len(w.upstream.visit(0).messages)
			}
			if n := w.sessions.Cut("password-revoked", func(s session.Info) bool { return s.Password == "pw-1" }); n != 1 {
				t.Fatalf("%d sessions cut, want 1", n)
			}
			c.awaitServed()
			if _, err := c.in.ReadByte(); err == nil {
				t.Error("the client heard something more")
			}
			events := w.audit.all()
			if end, ok := events[len(events)-1].(audit.SessionEnd); !ok || end.Cause != "password-revoked" {
				t.Errorf("the last event is %+v, want the session's end with its cause", events[len(events)-1])
			}
			if w.upstream.connections() > 0 {
				if v := w.upstream.awaitOver(0); len(v.messages) != messages {
					t.Errorf("upstream got %q", v.messages)
				}
			}
			if got := w.sessions.List(); len(got) != 0 {
				t.Errorf("the register has %v", got)
			}
		})
	}
}
