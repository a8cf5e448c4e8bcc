package smtpproxy

import (
	"strings"
	"testing"
)

// keywordProbes try each EHLO keyword that depends on the moment: commands and how the answer to the last begins where it
// works.
var keywordProbes = map[string]struct {
	commands []string
	works    string
}{
	"STARTTLS": {[]string{"STARTTLS"}, "220"},
	"AUTH":     {[]string{goodPlain}, "235"},
}

// TestI14OfferedIsWhatWorks tries every keyword on every kind of listener, before and after STARTTLS and after the
// sign-in: it is offered exactly where it works at that moment.
func TestI14OfferedIsWhatWorks(t *testing.T) {
	for name, state := range map[string]struct {
		mode               mode
		upgraded, signedIn bool
	}{
		"implicit TLS":            {implicit, false, false},
		"signed in":               {implicit, false, true},
		"before STARTTLS":         {startTLS, false, false},
		"after STARTTLS":          {startTLS, true, false},
		"signed in over STARTTLS": {startTLS, true, true},
		"in clear, where allowed": {optional, false, false},
		"signed in in clear":      {optional, false, true},
	} {
		for keyword, probe := range keywordProbes {
			t.Run(name+" "+keyword, func(t *testing.T) {
				c := newWorld(t).connect(state.mode)
				c.hello()
				if state.upgraded {
					c.ask("STARTTLS", readyForTLS)
					c.handshake()
					c.send("EHLO copier\r\n")
					c.reply()
				}
				if state.signedIn {
					c.ask(goodPlain, signedIn)
				}
				c.send("EHLO copier\r\n")
				offered := strings.Contains(c.reply(), keyword)
				var got string
				for _, command := range probe.commands {
					c.send(command + "\r\n")
					got = c.reply()
				}
				if strings.HasPrefix(got, probe.works) != offered {
					t.Errorf("offered: %v; the answer to %q is %q", offered, probe.commands, got)
				}
			})
		}
	}
}

// TestI14ExtensionsWork uses every extension that EHLO lists, at once.
func TestI14ExtensionsWork(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	c.ask("MAIL FROM:<scans@contoso.example> SIZE=157286401", "552 5.3.4 Message size exceeds fixed maximum message size")
	c.send("MAIL FROM:<scans@contoso.example> SIZE=21 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x\r\n" +
		"RCPT TO:<bob@contoso.example> NOTIFY=FAILURE ORCPT=rfc822;bob@contoso.example\r\n" +
		"BDAT 21 LAST\r\nSubject: \xc3\xbc\r\n\r\n1234\r\n")
	c.expect(senderOK)
	c.expect(recipientOK)
	c.expect(accepted)
	v := w.upstream.visit(0)
	if len(v.messages) != 1 || !strings.HasSuffix(v.messages[0], "Subject: \xc3\xbc\r\n\r\n1234\r\n.\r\n") {
		t.Errorf("upstream got %q", v.messages)
	}
}
