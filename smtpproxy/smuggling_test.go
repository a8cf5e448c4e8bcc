package smtpproxy

import (
	"bytes"
	"strings"
	"testing"
)

// falseNULs are endings with a NUL in them, which some server reads as the end of its text. Here a NUL is a byte as any other:
// none of them is an end, and all of them go on as they came.
var falseNULs = []string{"\r\n.\x00\r\n", "\r\n\x00.\r\n", "\r\n.\r\x00\n\r\n", "\x00\r\n..\r\n"}

// TestI06NULEndsNothing: a message with a NUL around a dot arrives whole, or is refused for its bare line end, and what is in it
// is no command.
func TestI06NULEndsNothing(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	for _, ending := range falseNULs {
		content := "Subject: x\r\n\r\nhello" + ending + "MAIL FROM:<evil@contoso.example>\r\n.\r\n"
		c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead)
		c.send(content)
		if strings.Contains(ending, "\r\x00") {
			c.expect(bareRefused)
			c.ask("NOOP", ok)
			continue
		}
		c.expect(accepted)
		c.ask("NOOP", ok)
		v := w.upstream.visit(w.upstream.connections() - 1)
		if got := v.messages[len(v.messages)-1]; !strings.HasSuffix(got, content) {
			t.Errorf("%q: upstream got %q", ending, got)
		}
	}
}

// TestI06LenientListenersSmuggleNothing: a listener that repairs line ends within a message takes each false end for text, or
// refuses the message; it sends on one message, with line ends of CRLF alone and an end at its end alone, wherever it was cut.
func TestI06LenientListenersSmuggleNothing(t *testing.T) {
	for _, name := range []string{"device", "ancient"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.door.Profile = Profiles[name]
			c := w.signIn()
			for _, s := range smuggled {
				head := "From: scans@contoso.example\r\n\r\nhello"
				content := head + s.ending + "MAIL FROM:<evil@contoso.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\nevil\r\n.\r\n"
				for cut := range len(s.ending) + 1 {
					c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead)
					c.send(content[:len(head)+cut])
					c.send(content[len(head)+cut:])
					reply := c.reply()
					c.ask("NOOP", ok) // all of it has been read
					v := w.upstream.visit(w.upstream.connections() - 1)
					if reply == bareRefused {
						v = w.upstream.awaitOver(w.upstream.connections() - 1) // it may not have heard yet what it was sent
						if rest := bytes.ReplaceAll(v.data, []byte("\r\n"), nil); laxEnd.Match(v.data) || bytes.ContainsAny(rest, "\r\n") {
							t.Errorf("%s cut at %d: refused, and upstream got %q", s.name, cut, v.data)
						}
						continue
					}
					if reply != accepted || name == "device" || strings.Contains(strings.ReplaceAll(s.ending, "\r\n", ""), "\r") {
						t.Fatalf("%s cut at %d: got %q", s.name, cut, reply)
					}
					got := v.messages[len(v.messages)-1]
					body := strings.TrimSuffix(got, "\r\n.\r\n")
					if rest := strings.ReplaceAll(body, "\r\n", ""); body == got || laxEnd.MatchString(body) || strings.ContainsAny(rest, "\r\n") || !strings.HasSuffix(body, "\r\nevil") {
						t.Errorf("%s cut at %d: upstream got %q", s.name, cut, got)
					}
				}
			}
		})
	}
}
