package smtpproxy

import (
	"bytes"
	"errors"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/audit"
)

const bareRefused = "550 5.6.11 The message has lines that do not end in CRLF, or a bare CR or LF within one"

// traceLine is what the gateway puts in front of a message from [client.hello] over TLS.
const traceLine = "Received: from copier ([127.0.0.1])\r\n\tby mail.test (Postern) with ESMTPSA id s-1;\r\n" +
	"\tTue, 24 Nov 2026 12:00:00 +0100\r\n"

func TestReceivedLine(t *testing.T) {
	for _, test := range []struct {
		name, hello, from, with, parameters string
		mode                                mode
	}{
		{"TLS", "copier", "copier", "ESMTPSA", "", implicit},
		{"in clear", "copier", "copier", "ESMTPA", "", optional},
		{"SMTPUTF8", "copier", "copier", "UTF8SMTPSA", " SMTPUTF8", implicit},
		{"SMTPUTF8 in clear", "copier", "copier", "UTF8SMTPA", " SMTPUTF8", optional},
		{"address literal", "[192.0.2.1]", "[192.0.2.1]", "ESMTPSA", "", implicit},
		{"name that is none", "my copier (2nd floor)", "unknown", "ESMTPSA", "", implicit},
		{"literal with a zone", "[fe80::1%x) by evil (]", "unknown", "ESMTPSA", "", implicit},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(test.mode)
			c.expect(greeting)
			c.send("EHLO " + test.hello + "\r\n")
			c.reply()
			c.play(goodPlain, signedIn, "MAIL FROM:<scans@contoso.example>"+test.parameters, senderOK,
				"RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead, ".", accepted)
			want := "Received: from " + test.from + " ([127.0.0.1])\r\n\tby mail.test (Postern) with " + test.with + " id s-1;\r\n" +
				"\tTue, 24 Nov 2026 12:00:00 +0100\r\n.\r\n"
			if got := w.upstream.visit(0).messages; len(got) != 1 || got[0] != want {
				t.Errorf("upstream got  %q\nwant %q", got, want)
			}
		})
	}
}

// laxEnd is every end of a message that some server might see.
var laxEnd = regexp.MustCompile(`[\r\n]\.[\r\n]`)

// TestI06NothingIsSmuggled sends each false end in two portions cut at every byte. It is refused, what follows it is no
// command, and upstream has seen neither an end nor a bare CR or LF, as strictly or as laxly as one may read (threat
// model I-05, I-06).
func TestI06NothingIsSmuggled(t *testing.T) {
	for _, s := range smuggled {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.signIn()
			message := "Subject: x\r\n\r\nhello" + s.ending + "MAIL FROM:<evil@contoso.example>\r\nRCPT TO:<bob@contoso.example>\r\nDATA\r\nevil\r\n.\r\n"
			begin := strings.Index(message, "hello") + len("hello")
			for n := range len(s.ending) + 1 {
				c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead)
				c.send(message[:begin+n]) // a TLS record each, which is what one Read gives
				c.send(message[begin+n:])
				c.expect(bareRefused)
				c.ask("NOOP", ok)
				v := w.upstream.awaitOver(n)
				rest := bytes.ReplaceAll(v.data, []byte("\r\n"), nil)
				if len(v.messages) > 0 || laxEnd.Match(v.data) || bytes.ContainsAny(rest, "\r\n") {
					t.Fatalf("cut at %d: upstream got %q, messages %q", n, v.data, v.messages)
				}
			}
			for _, m := range w.audit.messages() {
				if m.Outcome != audit.Refused || m.Reason != "bare-line-end" || m.Reply != bareRefused {
					t.Errorf("audit: %+v", m)
				}
			}
		})
	}
}

// TestI05EveryMessageArrives: whatever its bytes and however they come, a valid message arrives byte for byte behind one
// Received line, its doubled dots doubled still, and the command behind it is a command.
func TestI05EveryMessageArrives(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	line := rapid.StringOfN(rapid.RuneFrom([]rune{'.', 'a', ' ', '\t', 0, 0xff, 'ü'}), 0, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for _, text := range rapid.SliceOfN(line, 0, 12).Draw(t, "lines") {
			if strings.HasPrefix(text, ".") {
				text = "." + text // RFC 5321 section 4.5.2
			}
			b.WriteString(text + "\r\n")
		}
		message := b.String() + ".\r\n"
		c.play("MAIL FROM:<scans@contoso.example> BODY=8BITMIME", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead)
		for rest := message + "NOOP\r\n"; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "portion")
			c.send(rest[:n])
			rest = rest[n:]
		}
		c.expect(accepted)
		c.expect(ok)
		v := w.upstream.visit(0)
		if got := v.messages[len(v.messages)-1]; got != traceLine+message {
			t.Fatalf("got  %q\nwant %q", got, traceLine+message)
		}
	})
	if n := w.upstream.connections(); n != 1 {
		t.Errorf("%d connections to upstream, want 1", n)
	}
}

// TestLongLines: a line as long as a block, and longer, is nothing special.
func TestLongLines(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7} {
		c := w.readyForData()
		c.ask("DATA", goAhead)
		message := "Subject: long\r\n\r\n" + strings.Repeat("x", n) + "\r\n.\r\n"
		c.ask(strings.TrimSuffix(message, "\r\n"), accepted)
		c.gone()
		if v := w.upstream.awaitOver(w.upstream.connections() - 1); v.messages[0] != traceLine+message {
			t.Errorf("a line of %d bytes did not arrive", n)
		}
	}
}

// TestLargeMessageTakesNoMemory: 30 MB pass in a few blocks, client and upstream included.
func TestLargeMessageTakesNoMemory(t *testing.T) {
	const size = 30 << 20
	bound := uint64(4 << 20)
	if raceDetector {
		bound = 4 * size
	}
	w := newWorld(t)
	w.upstream.forget()
	c := w.readyForData()
	c.ask("DATA", goAhead)
	lines := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1024))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.send("Subject: x\r\n\r\n")
	for sent := 0; sent < size; sent += len(lines) {
		if _, err := c.conn.Write(lines); err != nil {
			t.Fatal(err)
		}
	}
	c.ask(".", accepted)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > bound {
		t.Errorf("a message of %d MB allocated %d kB in all, want less than %d kB", size>>20, got>>10, bound>>10)
	}
	if got := w.audit.messages(); len(got) != 1 || got[0].Size != size+17 {
		t.Errorf("audit: %+v", got)
	}
}

func TestTooBig(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 150 MB")
	}
	const tooBig = "552 5.3.4 Message size exceeds fixed maximum message size"
	w := newWorld(t)
	w.upstream.forget()
	c := w.readyForData()
	c.ask("DATA", goAhead)
	lines := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 16<<10))
	c.send("Subject: x\r\n\r\n")
	for sent := 0; sent <= MaxSize; sent += len(lines) {
		if _, err := c.conn.Write(lines); err != nil {
			t.Fatal(err)
		}
	}
	c.ask(".", tooBig)
	if v := w.upstream.awaitOver(0); len(v.messages) > 0 {
		t.Error("upstream took the message")
	}
	c.deliver()
	if got := w.audit.messages(); len(got) != 2 || got[0].Reason != "too-big" || got[0].Reply != tooBig {
		t.Errorf("audit: %+v", got)
	}
}

// TestI12ClientVanishes in the middle of its message: upstream sees no end, and no QUIT in the message either (I-12).
func TestI12ClientVanishes(t *testing.T) {
	for name, vanish := range map[string]func(c *client){
		"orderly":   func(c *client) { _ = c.conn.Close() },
		"below TLS": func(c *client) { closeSocket(c.conn) },
		"by reset": func(c *client) {
			socket := c.conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
			_ = socket.SetLinger(0)
			_ = socket.Close()
		},
	} {
		for _, sent := range []string{"", "Subject: x\r\n", "x\r\n.", "x\r\n.\r"} {
			t.Run(name+" after "+sent, func(t *testing.T) {
				w := newWorld(t)
				c := w.readyForData()
				c.ask("DATA", goAhead)
				c.send(sent)
				vanish(c)
				c.awaitServed()
				v := w.upstream.awaitOver(0)
				if len(v.messages) > 0 || laxEnd.Match(v.data) || bytes.Contains(v.data, []byte("QUIT")) {
					t.Errorf("upstream got %q", v.data)
				}
				w.expectClientLost()
			})
		}
	}
}

// expectClientLost demands the one line of a message whose client is lost.
func (w *world) expectClientLost() {
	w.t.Helper()
	got := w.audit.messages()
	if len(got) != 1 || got[0].Outcome != audit.Refused || got[0].Reason != "client-lost" || got[0].Detail == "" {
		w.t.Errorf("audit: %+v, want one message with its client lost", got)
	}
}

// deaf is a connection that cannot be written to any more once it is to carry a 354.
type deaf struct{ net.Conn }

func (d deaf) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("354")) {
		return 0, errors.New("connection reset by peer")
	}
	return d.Conn.Write(p)
}

// TestI12ClientVanishesBeforeItsMessage: upstream waits for the message, and gets no QUIT for one.
func TestI12ClientVanishesBeforeItsMessage(t *testing.T) {
	w := newWorld(t)
	w.wrap = func(conn net.Conn) net.Conn { return deaf{conn} }
	c := w.connect(optional)
	c.hello()
	c.play(goodPlain, signedIn, "MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
	c.send("DATA\r\n")
	c.awaitServed()
	if v := w.upstream.awaitOver(0); len(v.data) > 0 {
		t.Errorf("upstream got %q for a message", v.data)
	}
	w.expectClientLost()
}

// TestI12UpstreamDiesInTheMessage: the client is told once its message is at its end, and the next goes another way.
func TestI12UpstreamDiesInTheMessage(t *testing.T) {
	w := newWorld(t)
	c := w.readyForData()
	c.ask("DATA", goAhead)
	c.send("\r\nfirst line\r\n")
	w.upstream.await("the first line", func(visits []*visit) bool { return bytes.Contains(visits[0].data, []byte("first line")) })
	w.upstream.hangUpAll()
	w.upstream.awaitOver(0)
	for range 200 {
		c.send(strings.Repeat("x", 8000) + "\r\n")
	}
	c.ask(".", broken)
	c.deliver()
	got := w.audit.messages()
	if len(got) != 2 || got[0].Reason != "upstream-unavailable" || got[0].Size != 14+200*8002+3 || got[1].Outcome != audit.Allowed {
		t.Errorf("audit: %+v", got)
	}
}

// TestAuditOfAMessageFails: the client hears the truth all the same, or it would send the message twice.
func TestAuditOfAMessageFails(t *testing.T) {
	w := newWorld(t)
	w.audit.broken = "message"
	w.signIn().deliver()
	if !strings.Contains(w.log.String(), "a message is not in the audit log") {
		t.Error("the log does not say that the audit log has a gap")
	}
}
