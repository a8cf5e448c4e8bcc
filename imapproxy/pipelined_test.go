package imapproxy

import (
	"fmt"
	"strings"
	"testing"
)

// TestI11PipelinedBehindSignIn: what a client sends right behind its credentials arrives once, whole and in order (threat
// model I-11).
func TestI11PipelinedBehindSignIn(t *testing.T) {
	const behind = "A2 SELECT INBOX\r\nA3 UID SEARCH {5+}\r\nhello\r\nA4 FETCH 1:* (FLAGS)\r\nA5 NO"
	long := "A2 APPEND INBOX {100000+}\r\n" + strings.Repeat("0123456789", 10_000) + "\r\nA3 NOOP\r\n"
	plain := "A1 AUTHENTICATE PLAIN " + encode("\x00helpdesk\x00"+goodPassword)
	for name, test := range map[string]struct{ signIn, behind, answer string }{
		"LOGIN":               {login, behind, signedIn},
		"LOGIN with literals": {"A1 LOGIN {8+}\r\nhelpdesk {13+}\r\n" + goodPassword, behind, signedIn},
		"AUTHENTICATE":        {plain, behind, authenticated},
		"LOGIN and much":      {login, long, signedIn},
		"nothing":             {login, "", signedIn},
	} {
		for _, m := range []mode{implicit, optional} {
			t.Run(fmt.Sprint(name, m), func(t *testing.T) {
				w := newWorld(t)
				c := w.greeted(m)
				c.send(test.signIn + "\r\n" + test.behind)
				c.expect(test.answer)
				w.upstream.awaitRelayed(test.behind)
				c.send("OP\r\n")
				w.upstream.awaitRelayed(test.behind + "OP\r\n")
				c.gone()
				if v := w.upstream.awaitOver(0); string(v.relayed) != test.behind+"OP\r\n" {
					t.Errorf("in the end upstream had heard %.200q", v.relayed)
				}
			})
		}
	}
}

// TestI11NothingReachesUpstreamBeforeSignIn: not even a connection (threat model I-11).
func TestI11NothingReachesUpstreamBeforeSignIn(t *testing.T) {
	w := newWorld(t)
	c := w.greeted(implicit)
	c.send("A1 SELECT INBOX\r\nA1 LOGIN helpdesk wrong\r\nA2 SELECT INBOX\r\nA3 AUTHENTICATE PLAIN\r\nA4 SELECT INBOX\r\n")
	c.expect("A1" + unknown + "\n" + denied + "\nA2" + unknown + "\n+ \nA3 BAD Invalid base64")
	c.gone()
	if n := w.upstream.connections(); n != 0 {
		t.Errorf("upstream had %d connections, want none", n)
	}
}

// TestI11AtEverySplit cuts a sign-in with all that is pipelined behind it in two, at each byte: what is behind it arrives
// once and in order where the sign-in is allowed, and not at all where it is not.
func TestI11AtEverySplit(t *testing.T) {
	const behind = "A2 APPEND INBOX {9+}\r\nA3 LOGOUT\r\nA4 NO"
	for name, test := range map[string]struct{ signIn, answer string }{
		"LOGIN":        {login, signedIn},
		"literals":     {"A1 LOGIN {8+}\r\nhelpdesk {13+}\r\n" + goodPassword, signedIn},
		"AUTHENTICATE": {"A1 AUTHENTICATE PLAIN\r\n" + encode("\x00helpdesk\x00"+goodPassword), "+ \n" + authenticated},
		"refused":      {"A1 LOGIN helpdesk wrong", denied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			all := test.signIn + "\r\n" + behind
			for n := 1; n < len(all); n++ {
				c := w.greeted(implicit)
				c.send(all[:n]) // a TLS record each, which is what one Read gives
				c.send(all[n:])
				c.expect(test.answer)
				if name == "refused" {
					c.gone()
					continue
				}
				w.upstream.await("what is behind the sign-in", func(visits []*visit) bool { return len(visits[n-1].relayed) >= len(behind) })
				c.gone()
				if v := w.upstream.awaitOver(n - 1); string(v.relayed) != behind {
					t.Fatalf("cut at %d: upstream heard %q, want %q", n, v.relayed, behind)
				}
			}
			if n := w.upstream.connections(); name == "refused" && n != 0 {
				t.Errorf("upstream had %d connections of clients that were refused", n)
			}
		})
	}
}
