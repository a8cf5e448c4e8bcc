package imapproxy

import (
	"slices"
	"strings"
	"testing"
)

// capabilityProbes try each capability that there is before the sign-in: a command that needs it, and how the answer
// begins where it works.
var capabilityProbes = map[string]struct{ command, works string }{
	"IMAP4rev1":     {"P NOOP", "P OK"},
	"ID":            {"P ID NIL", "* ID"},
	"LITERAL+":      {"P ID (\"name\" {3+}\r\nabc)", "* ID"},
	"SASL-IR":       {"P AUTHENTICATE PLAIN =", "P BAD Invalid credentials message"},
	"AUTH=PLAIN":    {"P AUTHENTICATE PLAIN", "+ "},
	"AUTH=LOGIN":    {"P AUTHENTICATE LOGIN", "+ VXNlcm5hbWU6"},
	"STARTTLS":      {"P STARTTLS", "P OK"},
	"LOGINDISABLED": {"P LOGIN helpdesk wrong", "P NO [PRIVACYREQUIRED]"},
}

// TestI14OfferedIsWhatWorks tries every capability on every kind of listener, before and after STARTTLS: it is offered
// exactly where it works at that moment.
func TestI14OfferedIsWhatWorks(t *testing.T) {
	for name, state := range map[string]struct {
		mode     mode
		upgraded bool
	}{
		"implicit TLS":                    {implicit, false},
		"before STARTTLS":                 {startTLS, false},
		"after STARTTLS":                  {startTLS, true},
		"in clear, where allowed":         {optional, false},
		"STARTTLS where it is not a must": {optional, true},
	} {
		for capability, probe := range capabilityProbes {
			t.Run(name+" "+capability, func(t *testing.T) {
				w := newWorld(t)
				c := w.greeted(state.mode)
				if state.upgraded {
					c.ask("A1 STARTTLS", beginTLS)
					c.handshake()
				}
				c.send("A2 CAPABILITY\r\n")
				offered := slices.Contains(strings.Fields(c.line()), capability)
				c.expect("A2 OK CAPABILITY completed")
				c.send(probe.command + "\r\n")
				if got := c.line(); strings.HasPrefix(got, probe.works) != offered {
					t.Errorf("offered: %v; the answer to %q is %q", offered, probe.command, got)
				}
			})
		}
	}
}

// TestI14SignInIsOverOnceItIsDone: nothing that belongs to signing in is offered to who has signed in, whatever upstream
// lists.
func TestI14SignInIsOverOnceItIsDone(t *testing.T) {
	for _, m := range []mode{implicit, optional} {
		w := newWorld(t)
		var offers []string
		for capability := range capabilityProbes {
			offers = append(offers, capability)
		}
		w.upstream.script("CAPABILITY", "* CAPABILITY IDLE "+strings.Join(offers, " ")+"\nTAG OK done")
		c := w.greeted(m)
		c.send(login + "\r\n")
		_, list, _ := strings.Cut(c.line(), "[CAPABILITY ")
		list, _, _ = strings.Cut(list, "]")
		got := strings.Fields(list)
		slices.Sort(got)
		if want := []string{"ID", "IDLE", "IMAP4rev1", "LITERAL+"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		c.gone()
	}
}
