package smtpproxy

import (
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"postern/auth"
	"postern/auth/token"
	"postern/certs"
	"postern/internal/audit"
	"postern/internal/diagnosis"
	"postern/internal/sasl"
	"postern/internal/secret"
)

const (
	unreachable = "451 4.4.1 Exchange Online cannot be reached at the moment, try again later"
	broken      = "451 4.4.2 The connection to Exchange Online broke, try again later"
)

// deliver sends a message with the body x over a connection that is signed in.
func (c *client) deliver() {
	c.t.Helper()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead, "x\r\n.", accepted)
}

// delivered and refused are the audit's lines for such a message.
var delivered = audit.Message{Outcome: audit.Allowed, Sender: "scans@contoso.example", Recipients: []string{"bob@contoso.example"}, Size: 6, Reply: accepted}

func refused(reason, reply string) audit.Message {
	return audit.Message{Outcome: audit.Refused, Reason: reason, Sender: "scans@contoso.example", Recipients: []string{"bob@contoso.example"}, Reply: reply}
}

func TestUpstreamHears(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	c.deliver()
	c.deliver()
	c.ask("QUIT", bye)
	v := w.upstream.awaitOver(0)
	message := []string{"MAIL FROM:<scans@contoso.example>", "RCPT TO:<bob@contoso.example>", "DATA"}
	want := slices.Concat([]string{"EHLO mail.test", "AUTH XOAUTH2"}, message, message, []string{"QUIT"})
	if !slices.Equal(v.commands, want) {
		t.Errorf("upstream heard\n%q, want\n%q", v.commands, want)
	}
	if v.user != "scans@contoso.example" || v.token != firstToken {
		t.Errorf("XOAUTH2 of %q with %q", v.user, v.token)
	}
	if n := w.upstream.connections(); n != 1 || w.tokens.uses != 1 {
		t.Errorf("%d connections with %d tokens for two messages, want one", n, w.tokens.uses)
	}
	w.expectMessages(delivered, delivered)
}

// TestKeptConnectionThatIsDead: the client does not hear of it.
func TestKeptConnectionThatIsDead(t *testing.T) {
	for name, kill := range map[string]func(w *world){
		"closed":       func(w *world) { w.upstream.hangUpAll(); w.upstream.awaitOver(0) },
		"hangs up":     func(w *world) { w.upstream.script("MAIL", hangUp) },
		"says 421":     func(w *world) { w.upstream.script("MAIL", "421 4.4.1 Connection timed out.") },
		"says garbage": func(w *world) { w.upstream.script("MAIL", "what?") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.signIn()
			c.deliver()
			kill(w)
			c.deliver()
			if n := w.upstream.connections(); n != 2 {
				t.Errorf("%d connections to upstream, want 2", n)
			}
			w.expectMessages(delivered, delivered)
		})
	}
}

// TestRepliesWordForWord: what upstream answers is what the client hears, and the session goes on.
func TestRepliesWordForWord(t *testing.T) {
	const sendAs = "554 5.2.252 SendAsDenied; A not allowed to send as B; STOREDRV.Submission.Exception:SendAsDeniedException [Hostname=X]"
	for _, test := range []struct {
		verb, reply string
		want        audit.Message
	}{
		{"MAIL", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", audit.Message{Reason: "sender-refused"}},
		{"MAIL", "451-4.7.500 Server busy.\n451 4.7.500 Please try again later", audit.Message{Reason: "sender-refused"}},
		{"DATA", "451 4.7.0 Temporary server error", audit.Message{Reason: "upstream-refused"}},
		{"DATA", "554 5.5.1 no", audit.Message{Reason: "upstream-refused"}},
		{".", sendAs, audit.Message{Reason: "upstream-refused", Size: 6}},
		{".", "432 4.3.2 Concurrent connections limit exceeded. [Hostname=X]", audit.Message{Reason: "upstream-refused", Size: 6}},
		{".", "554-5.6.0 first\n554-second\n554", audit.Message{Reason: "upstream-refused", Size: 6}},
		{".", "421 4.4.2 Message submission rate for this client has exceeded the configured limit", audit.Message{Reason: "upstream-refused", Size: 6}},
	} {
		t.Run(test.verb+" "+test.reply, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(test.verb, test.reply)
			c := w.signIn()
			steps := []string{"MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead, "x\r\n.", accepted}
			verbs := []string{"MAIL", "RCPT", "DATA", "."}
			for i := 0; ; i++ {
				if verbs[i] == test.verb {
					c.send(steps[2*i] + "\r\n")
					break
				}
				c.ask(steps[2*i], steps[2*i+1])
			}
			want := test.reply
			if strings.HasSuffix(want, "\n554") {
				want += " " // RFC 5321 section 4.2 allows a lone code; with its space it is the same
			}
			meant, known := diagnosis.SMTP(strings.ReplaceAll(want, "\n", " / "), diagnosis.Subject{Mailbox: mailbox, Sender: mailbox})
			if known {
				test.want.Detail = meant.String()
			}
			if known && want[0] == '5' { // upstream's own words come first
				code, words, _ := strings.Cut(want, " ")
				enhanced, _, _ := strings.Cut(words, " ")
				c.expect(code + "-" + words + "\n" + code + " " + enhanced + " " + meant.Short)
			} else {
				c.expect(want)
			}
			w.forgetPace()
			c.deliver()
			test.want.Outcome, test.want.Sender = audit.Refused, "scans@contoso.example"
			if test.verb != "MAIL" {
				test.want.Recipients = []string{"bob@contoso.example"}
			}
			test.want.Reply = (reply{lines: strings.Split(want, "\n")}).join()
			w.expectMessages(test.want, delivered)
		})
	}
}

// join gives replies as they were scripted in the form in which the audit has them.
func (r reply) join() string {
	text := r.lines[0][:3]
	for i, line := range r.lines {
		if i > 0 {
			text += " /"
		}
		text += " " + line[4:]
	}
	return text
}

// TestDataRefused: upstream is still in the transaction, and must not be when the next message comes.
func TestDataRefused(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("DATA", "451 4.7.0 Temporary server error")
	c := w.readyForData()
	c.ask("DATA", "451 4.7.0 Temporary server error")
	c.deliver()
	if n := w.upstream.connections(); n > 1 {
		return // that is another way
	}
	if got := w.upstream.visit(0).commands; got[5] != "RSET" {
		t.Errorf("upstream heard %q, want RSET behind the refused DATA", got)
	}
}

// TestI15UpstreamBreaksOff at any step is temporary, and the next message goes over a new connection.
func TestI15UpstreamBreaksOff(t *testing.T) {
	for _, test := range []struct{ verb, reply string }{
		{"RCPT", hangUp}, {"RCPT", "421 4.3.2 Service not available"}, {"RCPT", "garbage"}, {"RCPT", "354 go on"},
		{"DATA", hangUp}, {"DATA", "421 4.3.2 Service not available"}, {"DATA", "250 2.0.0 OK"}, {"DATA", "334 what"},
		{".", hangUp}, {".", "garbage"}, {".", "354 more"}, {".", "250-2.0.0 OK\n550 no"}, {".", "250 a\x1b[2J"},
		{".", "250-" + strings.Repeat("x\n250-", 100) + "x\n250 x"}, {".", "250 " + strings.Repeat("x", 5000)},
	} {
		t.Run(test.verb+" "+test.reply[:min(30, len(test.reply))], func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(test.verb, test.reply)
			c := w.signIn()
			want := refused("upstream-unavailable", broken)
			c.ask("MAIL FROM:<scans@contoso.example>", senderOK)
			switch test.verb {
			case "RCPT":
				c.ask("RCPT TO:<bob@contoso.example>", broken)
				want.Recipients = nil
			case "DATA":
				c.play("RCPT TO:<bob@contoso.example>", recipientOK, "DATA", broken)
			default:
				c.play("RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead, "x\r\n.", broken)
				want.Size = 6
			}
			c.deliver()
			got := w.audit.messages()
			if len(got) == 2 {
				want.Detail = got[0].Detail // the wording of the network's errors is not ours
			}
			w.expectMessages(want, delivered)
			if n := w.upstream.connections(); n != 2 {
				t.Errorf("%d connections to upstream, want 2", n)
			}
		})
	}
}

// TestReplyThatIsNotASCII is one all the same, or an accepted message would be sent twice.
func TestReplyThatIsNotASCII(t *testing.T) {
	w := newWorld(t)
	w.upstream.script(".", "250 2.0.0 gr\u00fc\u00dfe \xff")
	c := w.readyForData()
	c.ask("DATA", goAhead)
	c.ask("x\r\n.", "250 2.0.0 gr??e ?")
}

func TestTokenRefusedOnce(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("AUTH", "535 5.7.3 Authentication unsuccessful [X 2026-11-24T11:00:00.000Z 08DC]")
	w.signIn().deliver()
	if want := []string{firstToken, secondToken}; !slices.Equal(w.tokens.given, want) {
		t.Errorf("tokens given: %q, want %q", w.tokens.given, want)
	}
	if got := w.upstream.visit(1); got.token != secondToken {
		t.Errorf("the message went with %q, want %q", got.token, secondToken)
	}
	w.expectMessages(delivered)
}

// TestSignInUpstreamRefused has the replies of reference B.4 to AUTH, the client's reply, and the tokens used up.
func TestSignInUpstreamRefused(t *testing.T) {
	const badToken = "451 4.3.5 Exchange Online does not accept the gateway's token for this mailbox: ask your administrator to look at Postern's log"
	for _, test := range []struct {
		name    string
		replies []string
		want    string
		reason  auth.Reason
		tokens  int
	}{
		{"token twice", []string{"535 5.7.3 Authentication unsuccessful", "535 5.7.3 Authentication unsuccessful"}, badToken, auth.UpstreamRefused, 2},
		{"no enhanced code", []string{"535 no", "535 no"}, badToken, auth.UpstreamRefused, 2},
		{"tenant", []string{"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information."},
			"451 4.3.5 SMTP AUTH is off in the tenant: an administrator allows it with Set-CASMailbox", auth.Misconfigured, 1},
		{"mailbox", []string{"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled"},
			"451 4.3.5 SMTP AUTH is off for this mailbox: an administrator allows it with Set-CASMailbox", auth.Misconfigured, 1},
		{"Conditional Access", []string{"535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator."},
			"451 4.3.5 A Conditional Access policy of the tenant does not let the gateway in", auth.Misconfigured, 1},
		{"security defaults", []string{"535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator."},
			"451 4.3.5 The tenant's security defaults do not let the gateway in", auth.Misconfigured, 1},
		{"user= is no address", []string{"501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid"},
			"451 4.3.5 Exchange Online does not know this mailbox: check the gateway's configuration", auth.Misconfigured, 1},
		{"temporary", []string{"454 4.7.0 Temporary authentication failure"}, unreachable, auth.UpstreamUnavailable, 1},
		{"421", []string{"421 4.7.66 TLS 1.0 and 1.1 are not supported."}, unreachable, auth.UpstreamUnavailable, 1},
		{"hangs up", []string{hangUp}, unreachable, auth.UpstreamUnavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script("AUTH", test.replies...)
			c := w.signIn()
			c.ask("MAIL FROM:<scans@contoso.example>", test.want)
			if got := len(w.tokens.given); got != test.tokens {
				t.Errorf("%d tokens were used, want %d", got, test.tokens)
			}
			w.expectRefusedMail(test.reason, test.want)
			c.deliver() // it is not held against the next message
		})
	}
}

// expectRefusedMail demands one line in the audit log, of a MAIL for which upstream could not be opened.
func (w *world) expectRefusedMail(reason auth.Reason, reply string) {
	w.t.Helper()
	got := w.audit.messages()
	if len(got) != 1 || got[0].Detail == "" {
		w.t.Fatalf("the audit log has the messages %+v, want one with its cause", got)
	}
	w.expectMessages(audit.Message{Outcome: audit.Refused, Reason: string(reason), Detail: got[0].Detail, Sender: "scans@contoso.example", Reply: reply})
}

// TestErrorInGooglesWay: a challenge that describes the error wants an empty response before the refusal (reference B.1).
func TestErrorInGooglesWay(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("AUTH", "334 eyJzdGF0dXMiOiI0MDAifQ==")
	w.upstream.script("", "535 5.7.3 Authentication unsuccessful")
	w.signIn().deliver()
	if got := w.upstream.visit(0).commands; len(got) != 3 || got[2] != "" {
		t.Errorf("upstream heard %q, want an empty line last", got)
	}
}

// TestI17NoTokenForWhoIsNotUpstream is temporary, and no token goes to what is not a verified submission server (I-17).
func TestI17NoTokenForWhoIsNotUpstream(t *testing.T) {
	down := func(w *world) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		_ = listener.Close()
		w.upstreams["contoso"] = Upstream{Address: listener.Addr().String(), TLS: clientTLS()}
	}
	says := func(verb, reply string) func(*world) { return func(w *world) { w.upstream.script(verb, reply) } }
	for name, arrange := range map[string]func(w *world){
		"down":                   down,
		"greeting 421":           says("greeting", "421 4.3.2 The maximum number of concurrent connections has exceeded a limit"),
		"greeting 554":           says("greeting", "554 no"),
		"greeting malformed":     says("greeting", "SSH-2.0-OpenSSH"),
		"no greeting":            says("greeting", hangUp),
		"EHLO refused":           says("EHLO in clear", "502 no"),
		"no STARTTLS":            says("EHLO in clear", "250-up.example\n250 AUTH XOAUTH2"),
		"STARTTLS refused":       says("STARTTLS", "454 4.7.0 TLS not available"),
		"EHLO over TLS refused":  says("EHLO", "421 no"),
		"unknown authority":      func(w *world) { w.distrust("127.0.0.1", nil) },
		"certificate of another": func(w *world) { w.distrust("other.example", authority()) },
		"no such provider":       func(w *world) { delete(w.upstreams, "contoso") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			arrange(w)
			c := w.signIn()
			c.ask("MAIL FROM:<scans@contoso.example>", unreachable)
			c.ask("NOOP", ok)
			w.expectRefusedMail(auth.UpstreamUnavailable, unreachable)
			if w.upstream.connections() > 0 {
				if v := w.upstream.awaitOver(0); v.token != "" {
					t.Errorf("upstream was given %q", v.token)
				}
			}
		})
	}
}

// distrust makes the gateway expect a server of another name, or one that another authority vouches for.
func (w *world) distrust(name string, a *certs.Authority) {
	if a == nil {
		var err error
		if a, err = certs.NewAuthority("somebody else"); err != nil {
			w.t.Fatal(err)
		}
	}
	up := w.upstreams["contoso"]
	up.TLS = certs.UpstreamTLS(name, a.Roots())
	w.upstreams["contoso"] = up
}

// TestUpstreamAheadOfItsHandshake: what comes in clear behind the reply to STARTTLS is no part of the dialogue.
func TestUpstreamAheadOfItsHandshake(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("STARTTLS", "220 2.0.0 SMTP server ready\n250-evil.example\n250 AUTH PLAIN")
	w.signIn().deliver()
}

func TestI15NoToken(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		want   string
		reason auth.Reason
	}{
		{"temporary", &token.Error{Account: copier, Class: token.Temporary, Code: "temporarily_unavailable"},
			"451 4.7.0 Microsoft's sign-in service cannot be reached at the moment, try again later", auth.TokenUnavailable},
		{"sign-in needed", &token.Error{Account: copier, Class: token.NeedsSignIn, Code: "invalid_grant"},
			"451 4.7.0 The owner of this mailbox has to sign in to Microsoft again; the password stays as it is", auth.SignInNeeded},
		{"misconfigured", &token.Error{Account: copier, Class: token.Misconfigured, Code: "invalid_client"},
			"451 4.3.5 The gateway's access to Microsoft 365 is not set up right: ask your administrator to look at Postern's log", auth.Misconfigured},
		{"anything else", errors.New("no idea"), unreachable, auth.UpstreamUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.tokens.fail(test.err)
			c := w.signIn()
			c.ask("MAIL FROM:<scans@contoso.example>", test.want)
			w.expectRefusedMail(test.reason, test.want)
			w.tokens.fail(nil)
			c.deliver()
		})
	}
}

// TestUpstreamThatRepeatsTheToken is not quoted with it: not in the audit log, and not to the client.
func TestUpstreamThatRepeatsTheToken(t *testing.T) {
	message := xoauth2Message(t, firstToken)
	w := newWorld(t)
	w.upstream.script("AUTH", "550 5.7.1 you said "+message+" with "+firstToken)
	w.signIn().ask("MAIL FROM:<scans@contoso.example>",
		"451 4.3.5 Exchange Online does not let the gateway send for this mailbox: ask your administrator to look at Postern's log")
	got := w.audit.messages()
	if len(got) != 1 || strings.Contains(got[0].Detail, message) || strings.Contains(got[0].Detail, firstToken) ||
		!strings.Contains(got[0].Detail, "you said [redacted] with [redacted]") {
		t.Errorf("the audit log has %+v", got)
	}

	w = newWorld(t)
	w.upstream.script("RCPT", "550 5.1.1 "+firstToken)
	c := w.signIn()
	c.ask("MAIL FROM:<scans@contoso.example>", "250 2.1.0 Sender OK")
	c.ask("RCPT TO:<alice@contoso.example>", "550 5.1.1 [redacted]")
}

func xoauth2Message(t *testing.T, token string) string {
	t.Helper()
	message, err := sasl.XOAUTH2("scans@contoso.example", secret.New(token))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(message)
}
