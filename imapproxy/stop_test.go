package imapproxy

import (
	"testing"

	"postern/internal/session"
)

const stopping = "* BYE The gateway is stopping, try again in a moment"

// TestStop: a client that has not signed in is told, wherever it is.
func TestStop(t *testing.T) {
	for name, arrange := range map[string]func(w *world) *client{
		"after the greeting": func(w *world) *client { return w.greeted(implicit) },
		"in clear":           func(w *world) *client { return w.greeted(startTLS) },
		"after STARTTLS": func(w *world) *client {
			c := w.greeted(startTLS)
			c.ask("A1 STARTTLS", beginTLS)
			c.handshake()
			c.ask("A1 NOOP", "A1 OK NOOP completed")
			return c
		},
		"in an exchange": func(w *world) *client {
			c := w.greeted(implicit)
			c.ask("A1 AUTHENTICATE PLAIN", "+ ")
			return c
		},
		"in a literal": func(w *world) *client {
			c := w.greeted(implicit)
			c.ask("A1 LOGIN {5}", "+ Ready for 5 bytes")
			c.send("al")
			return c
		},
		"after a refusal": func(w *world) *client {
			c := w.greeted(implicit)
			c.ask("A1 LOGIN helpdesk wrong", denied)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := arrange(w)
			w.stop()
			c.expect(stopping)
			c.expectEnd()
			c.awaitServed()
		})
	}
}

// TestStopWhileOpening: an attempt under way is given up as temporary.
func TestStopWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("STATUS", silent)
	c := w.greeted(implicit)
	c.send(login + "\r\n")
	w.upstream.await("the probe", func(visits []*visit) bool { return len(visits) > 0 && len(visits[0].commands) > 1 })
	w.stop()
	c.expect(unavailable + "\n" + stopping)
	c.expectEnd()
	w.upstream.awaitOver(0)
}

// TestStopLeavesSessionsAlone: a session that has begun goes on, until the register cuts it off (design, invariant 7).
func TestStopLeavesSessionsAlone(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	w.stop()
	c.send("A2 NOOP\r\n")
	w.upstream.awaitRelayed("A2 NOOP\r\n")
	w.upstream.say(0, "A2 OK NOOP completed.\r\n")
	c.expect("A2 OK NOOP completed.")
	w.sessions.Cut("stopped", func(session.Info) bool { return true })
	c.awaitServed()
}

// TestStopAsTheSessionBegins: the stop comes between the decision and the session.
func TestStopAsTheSessionBegins(t *testing.T) {
	w := newWorld(t)
	w.audit.onRecord["session-begin"] = w.stop
	c := w.signIn()
	c.send("A2 NOOP\r\n")
	w.upstream.awaitRelayed("A2 NOOP\r\n")
	c.gone()
}

// TestStopDuringStartTLS: the stop looks at the connection while STARTTLS changes it. The race detector judges.
func TestStopDuringStartTLS(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(startTLS)
	c.ask("A1 STARTTLS", beginTLS)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	_ = c.conn.Close()
	c.awaitServed()
	<-stopped
}
