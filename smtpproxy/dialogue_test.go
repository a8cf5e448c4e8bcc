package smtpproxy

import (
	"strings"
	"testing"
)

func TestGreetingAndExtensions(t *testing.T) {
	const common = "250-SIZE 157286400\n250-PIPELINING\n250-DSN\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-CHUNKING\n"
	for _, test := range []struct {
		name string
		mode mode
		want string
	}{
		{"implicit TLS", implicit, common + "250-SMTPUTF8\n250 AUTH PLAIN LOGIN"},
		{"STARTTLS wanted", startTLS, common + "250-SMTPUTF8\n250 STARTTLS"},
		{"TLS optional", optional, common + "250-SMTPUTF8\n250-STARTTLS\n250 AUTH PLAIN LOGIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t).connect(test.mode)
			c.expect(greeting)
			c.ask("EHLO copier.example", "250-mail.test Hello [127.0.0.1]\n"+test.want)
			c.ask("HELO copier.example", "250 mail.test Hello [127.0.0.1]")
		})
	}
}

// TestCommandsBeforeSignIn has dialogues over implicit TLS, after the greeting: commands and replies by turns.
func TestCommandsBeforeSignIn(t *testing.T) {
	const (
		syntax     = "501 5.5.4 Syntax error in parameters"
		parameters = "501 5.5.4 The command takes no parameters"
		unknown    = "500 5.5.1 Unknown command"
		authFirst  = "530 5.7.0 Authentication required"
		helloFirst = "503 5.5.1 EHLO first"
		helo       = "250 mail.test Hello [127.0.0.1]"
	)
	for _, test := range []struct {
		name     string
		dialogue []string
	}{
		{"verbs in any case", []string{"helo x", helo, "nOOp", ok, "qUIT", bye}},
		{"NOOP with a string", []string{"NOOP whatever it is", ok}},
		{"RSET outside of a transaction", []string{"RSET", ok}},
		{"RSET with a parameter", []string{"RSET now", parameters}},
		{"QUIT with a parameter", []string{"QUIT now", parameters, "QUIT", bye}},
		{"VRFY", []string{"VRFY bob", "252 2.1.5 Cannot verify an address, but will take a message for it"}},
		{"HELP", []string{"HELP", "214 2.0.0 This is a submission server: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT"}},
		{"unknown", []string{"EXPN list", unknown, "TURN", unknown}},
		{"empty line", []string{"", unknown}},
		{"space first", []string{" NOOP", unknown}},
		{"hello without a name", []string{"EHLO", syntax, "HELO ", syntax}},
		{"hello too long", []string{"EHLO " + strings.Repeat("x", 256), syntax, "HELO " + strings.Repeat("x", 255), helo}},
		{"hello that is not ASCII", []string{"EHLO bücher.example", syntax, "EHLO a\x01b", syntax}},
		{"MAIL before EHLO", []string{"MAIL FROM:<a@b.example>", helloFirst}},
		{"AUTH before EHLO", []string{goodPlain, helloFirst, "HELO x", helo, goodPlain, helloFirst}},
		{"MAIL before AUTH", []string{"HELO x", helo, "MAIL FROM:<a@b.example>", authFirst, "MAIL nonsense", authFirst}},
		{"RCPT and DATA out of turn", []string{"HELO x", helo, "RCPT TO:<a@b.example>", badSequence, "DATA", badSequence, "DATA x", parameters}},
		{"STARTTLS over TLS", []string{"STARTTLS", "503 5.5.1 STARTTLS is not offered here"}},
		{"bare line ends", []string{"NOOP\rRSET", "500 5.5.2 Lines end in CRLF", "NOOP", ok}},
		{"white space at the end", []string{"RSET ", ok, "RSET  \t", ok, "HELO x  ", helo, "QUIT  ", bye}}, // RFC 5321 section 4.1.1
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(implicit)
			c.expect(greeting)
			c.play(test.dialogue...)
			c.gone()
			if n := w.upstream.connections(); n != 0 {
				t.Errorf("upstream had %d connections before any sign-in", n)
			}
			if events := w.audit.all(); len(events) != 0 {
				t.Errorf("the audit log has %v", events)
			}
		})
	}
}

func TestLoneLFEndsNoCommand(t *testing.T) {
	c := newWorld(t).connect(implicit)
	c.expect(greeting)
	c.send("NOOP\nNOOP\r\n")
	c.expect("500 5.5.2 Lines end in CRLF")
	c.expect(ok)
}

func TestLineLimit(t *testing.T) {
	c := newWorld(t).connect(implicit)
	c.expect(greeting)
	c.ask("NOOP "+strings.Repeat("x", 12288-len("NOOP ")), ok)
	c.ask("NOOP "+strings.Repeat("x", 12289-len("NOOP ")), "500 5.5.6 Line too long")
	c.ask("NOOP "+strings.Repeat("x", 100_000), "500 5.5.6 Line too long")
	c.ask("NOOP", ok)
}

func TestI28TenBadCommands(t *testing.T) {
	const unknown = "500 5.5.1 Unknown command"
	for _, test := range []struct {
		name string
		bad  string
		want string
	}{
		{"unknown", "XYZZY", unknown},
		{"out of turn", "DATA", badSequence},
		{"too long", strings.Repeat("x", 12289), "500 5.5.6 Line too long"},
		{"bare line end", "a\rb", "500 5.5.2 Lines end in CRLF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t).connect(implicit)
			c.expect(greeting)
			for range 9 {
				c.ask(test.bad, test.want)
				c.ask("NOOP", ok)
			}
			c.ask(test.bad, "421 4.7.0 Too many bad commands")
			c.expectEnd()
		})
	}
}

// TestPipelinedAddressesAreNoBadCommands: what a client pipelined behind a refused MAIL (RFC 2920 section 3.1) is out of
// turn through no fault of its own.
func TestPipelinedAddressesAreNoBadCommands(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("MAIL", "451 4.7.0 Temporary server error. Please try again later.")
	c := w.signIn()
	c.send("MAIL FROM:<scans@contoso.example>\r\n" + strings.Repeat("RCPT TO:<bob@contoso.example>\r\n", 20) + "DATA\r\n")
	c.expect("451 4.7.0 Temporary server error. Please try again later.")
	for range 21 {
		c.expect(badSequence)
	}
	c.ask("NOOP", ok)
}

func TestHTTPHangsUp(t *testing.T) {
	for _, request := range []string{"POST / HTTP/1.1", "GET /x?y HTTP/1.0"} {
		c := newWorld(t).connect(startTLS)
		c.expect(greeting)
		c.send(request + "\r\nHost: mail.test\r\n\r\nEHLO x\r\n")
		c.expectEnd()
	}
}

func TestPipeliningKeepsTheOrder(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("RCPT", "250 2.1.5 first", "550 5.1.10 second", "250 2.1.5 third")
	c := w.connect(implicit)
	c.send("EHLO copier\r\n" + goodPlain + "\r\nMAIL FROM:<scans@contoso.example>\r\n" +
		"RCPT TO:<a@contoso.example>\r\nRCPT TO:<b@contoso.example>\r\nRCPT TO:<c@contoso.example>\r\n" +
		"DATA\r\nSubject: x\r\n\r\ny\r\n.\r\nNOOP\r\nQUIT\r\n")
	c.expect(greeting)
	c.reply()
	for _, want := range []string{signedIn, senderOK, "250 2.1.5 first", "550 5.1.10 second", "250 2.1.5 third", goAhead, accepted, ok, bye} {
		c.expect(want)
	}
	c.expectEnd()
	if got := w.upstream.awaitOver(0).messages; len(got) != 1 || !strings.HasSuffix(got[0], "\r\nSubject: x\r\n\r\ny\r\n.\r\n") {
		t.Errorf("upstream got %q", got)
	}
}
