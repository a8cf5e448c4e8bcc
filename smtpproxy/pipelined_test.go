package smtpproxy

import (
	"strings"
	"testing"
)

// TestI11AtEverySplit cuts a sign-in with a whole message pipelined behind it in two, at each byte: the message arrives
// once and whole where the sign-in is allowed, and where it is not, upstream does not even see a connection. (RFC 4954
// section 4 has AUTH end a pipelined group; clients that go on all the same are served.)
func TestI11AtEverySplit(t *testing.T) {
	const behind = "MAIL FROM:<scans@contoso.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\nX: y\r\n\r\n..\r\n.\r\nQUIT\r\n"
	const authFirst = "530 5.7.0 Authentication required"
	allowed := []string{signedIn, senderOK, recipientOK, goAhead, accepted, bye}
	for name, test := range map[string]struct {
		signIn  string
		answers []string
	}{
		"PLAIN": {goodPlain, allowed},
		"LOGIN": {"AUTH LOGIN\r\n" + encode("copier-3") + "\r\n" + encode(goodPassword), append([]string{askUser, askPassword}, allowed...)},
		"refused": {"AUTH PLAIN " + encode("\x00copier-3\x00wrong"),
			[]string{wrongCredentials, authFirst, badSequence, badSequence}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			all := test.signIn + "\r\n" + behind
			for n := 1; n < len(all); n++ {
				c := w.connect(implicit)
				c.hello()
				c.send(all[:n]) // a TLS record each, which is what one Read gives
				c.send(all[n:])
				for _, want := range test.answers {
					c.expect(want)
				}
				c.gone()
				if name == "refused" {
					continue
				}
				v := w.upstream.visit(0) // one connection serves all messages
				if len(v.messages) != n || !strings.HasSuffix(v.messages[n-1], "\r\nX: y\r\n\r\n..\r\n.\r\n") {
					t.Fatalf("cut at %d: upstream has %d messages, the last %q", n, len(v.messages), v.messages[len(v.messages)-1])
				}
			}
			if n := w.upstream.connections(); name == "refused" && n != 0 {
				t.Errorf("upstream had %d connections of clients that were refused", n)
			}
		})
	}
}
