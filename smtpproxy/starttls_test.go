package smtpproxy

import (
	"strings"
	"testing"
)

const readyForTLS = "220 2.0.0 Ready to start TLS"

func TestStartTLS(t *testing.T) {
	w := newWorld(t)
	c := w.connect(startTLS)
	c.hello()
	c.ask("STARTTLS now", "501 5.5.4 The command takes no parameters")
	c.ask("STARTTLS", readyForTLS)
	c.handshake()
	c.ask(goodPlain, "503 5.5.1 EHLO first") // RFC 3207 section 4.2: the EHLO before TLS does not count
	c.send("EHLO copier\r\n")
	if got := c.reply(); strings.Contains(got, "STARTTLS") || !strings.HasSuffix(got, "\n250 AUTH PLAIN LOGIN") {
		t.Errorf("EHLO over TLS: got %q, want AUTH and no STARTTLS", got)
	}
	c.ask("STARTTLS", "503 5.5.1 STARTTLS is not offered here")
	c.ask(goodPlain, signedIn)
}

// TestStartTLSForgetsWhatWasPipelined: commands put behind STARTTLS in clear, by the client or by somebody in between,
// are no commands (RFC 3207 section 4.2).
func TestStartTLSForgetsWhatWasPipelined(t *testing.T) {
	w := newWorld(t)
	c := w.connect(startTLS)
	c.hello()
	c.send("STARTTLS\r\nEHLO attacker\r\n" + goodPlain + "\r\nNOOP\r\nNO")
	c.expect(readyForTLS)
	c.handshake()
	c.ask("NOOP", ok)
	c.ask(goodPlain, "503 5.5.1 EHLO first")
	if got := w.gate.seen(); len(got) != 0 {
		t.Errorf("the gate saw %v", got)
	}
}

func TestStartTLSWithSomethingElseThanTLS(t *testing.T) {
	c := newWorld(t).connect(startTLS)
	c.hello()
	c.ask("STARTTLS", readyForTLS)
	c.send("NOOP\r\nNOOP\r\nNOOP\r\n")
	c.awaitServed()
	rest := make([]byte, 1024)
	n, _ := c.in.Read(rest)
	if strings.Contains(string(rest[:n]), "NOOP") || strings.HasPrefix(string(rest[:n]), "2") || strings.HasPrefix(string(rest[:n]), "4") {
		t.Errorf("got %q, want no SMTP in the middle of a handshake", rest[:n])
	}
}
