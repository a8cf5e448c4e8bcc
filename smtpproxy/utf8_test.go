package smtpproxy

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestUpstreamWithoutUTF8: what needs SMTPUTF8 is refused for good, and what was only announced with it goes without
// (RFC 6531 section 3.2).
func TestUpstreamWithoutUTF8(t *testing.T) {
	const address, header = "550 5.6.7 Exchange Online does not take addresses beyond ASCII for this message", "550 5.6.9 Exchange Online does not take a header beyond ASCII for this message"
	const mail, rcpt = "MAIL FROM:<scans@contoso.example> SMTPUTF8", "RCPT TO:<bob@contoso.example>"
	for name, test := range map[string]struct {
		steps    []string
		upstream []string // what it hears behind its AUTH
	}{
		"the sender": {[]string{"MAIL FROM:<ü@b.example> SMTPUTF8", address}, []string{"RSET"}},
		"a recipient": {[]string{mail, senderOK, "RCPT TO:<ü@b.example>", address, rcpt, recipientOK, "DATA", goAhead, "x\r\n.", accepted},
			[]string{"MAIL FROM:<scans@contoso.example>", rcpt, "DATA"}},
		"the header": {[]string{mail, senderOK, rcpt, recipientOK, "DATA", goAhead, "Subject: ü\r\n\r\nx\r\n.", header},
			[]string{"MAIL FROM:<scans@contoso.example>", rcpt, "DATA"}},
		"nothing": {[]string{mail, senderOK, rcpt, recipientOK, "DATA", goAhead, "Subject: u\r\n\r\nü\r\n.", accepted},
			[]string{"MAIL FROM:<scans@contoso.example>", rcpt, "DATA"}},
	} {
		for _, way := range []string{direct, autoMode} {
			t.Run(name+", "+way, func(t *testing.T) {
				w := newWorld(t)
				w.gate.send.Delivery = way
				w.upstream.script("EHLO", "250-up.example Hello\n250 8BITMIME")
				c := w.signIn()
				c.play(test.steps...)
				if got := w.upstream.visit(0).commands[2:]; !slices.Equal(got, test.upstream) {
					t.Errorf("upstream heard %q, want %q", got, test.upstream)
				}
				if len(w.entries()) != 0 {
					t.Errorf("in the queue: %+v", w.entries())
				}
			})
		}
	}
}

// TestQueueWithUpstreamWithoutUTF8: the same for what is queued, of which the sender gets a report.
func TestQueueWithUpstreamWithoutUTF8(t *testing.T) {
	for name, test := range map[string]struct{ recipient, content, status string }{
		"a recipient": {"ü@b.example", "Subject: u\r\n\r\nx\r\n.", "5.6.7"},
		"the header":  {"bob@contoso.example", "Subject: ü\r\n\r\nx\r\n.", "5.6.9"},
		"nothing":     {"bob@contoso.example", "Subject: u\r\n\r\nü\r\n.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.send.Delivery = queued
			for range 3 {
				w.upstream.script("EHLO", "250-up.example Hello\n250 8BITMIME")
			}
			c := w.signIn()
			c.play("MAIL FROM:<scans@contoso.example> SMTPUTF8", senderOK, "RCPT TO:<"+test.recipient+">", recipientOK, "DATA", goAhead)
			c.send(test.content + "\r\n")
			c.expectQueued()
			w.queue.Start(w.proxy)
			w.awaitEmpty()
			var all []string
			w.upstream.await("a message", func(visits []*visit) bool {
				for _, v := range visits {
					all = append(all, v.messages...)
				}
				return len(all) > 0
			})
			if got := all[len(all)-1]; test.status != "" && !strings.Contains(got, "\r\nStatus: "+test.status+"\r\n") || test.status == "" && !strings.HasSuffix(got, test.content+"\r\n") {
				t.Errorf("upstream got\n%s\nwant a report with status %q, or the message", got, test.status)
			}
		})
	}
}

// TestASCIIHeader finds the end of the header, however its bytes come.
func TestASCIIHeader(t *testing.T) {
	for text, want := range map[string]error{
		"Subject: a\r\n\r\nü": nil, "\r\nü": nil, "Subject: ü\r\n\r\nx": faultUTF8Header, "Subject: a\r\nX: ü": faultUTF8Header, "a": nil,
	} {
		for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader} {
			got, err := io.ReadAll(&asciiHeader{content: cut(strings.NewReader(text))})
			if err != want || err == nil && string(got) != text {
				t.Errorf("%q: got %q, %v; want %v", text, got, err, want)
			}
		}
	}
}
