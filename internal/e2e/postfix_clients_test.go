package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// senders are what programs and people send mail with. Each sends letter(user's mailbox, itself, subject, trickyBody) over
// STARTTLS; swaks and git write the message in ways of their own, see want.
var senders = []struct {
	name string
	send func(t *testing.T, g *gateway, user login, subject, message string)
	// want gives what arrives for a message; nil where that is the message.
	want func(message string) string
}{
	{name: "curl", send: curlSends},
	{name: "msmtp", send: msmtpSends},
	{name: "python", send: pythonSends},
	{name: "swaks", send: swaksSends, want: func(message string) string { return message + "\r\n" }}, // it ends its data with an empty line
}

func curlSends(t *testing.T, g *gateway, user login, _, message string) {
	t.Helper()
	command{path: need(t, "curl"), args: []string{"--silent", "--show-error", "--max-time", "60", "--cacert", g.CAFile, "--ssl-reqd",
		"--user", user.Login + ":" + user.Password, "--mail-from", user.Mailbox, "--mail-rcpt", user.Mailbox,
		"--upload-file", write(t, t.TempDir(), "message.eml", message), "smtp://" + byName(t, g.Submission) + "/curl.example"}}.must(t)
}

func msmtpSends(t *testing.T, g *gateway, user login, _, message string) {
	t.Helper()
	home := t.TempDir()
	config := write(t, home, "msmtprc", fmt.Sprintf("account default\nhost localhost\nport %s\ntls on\ntls_starttls on\ntls_trust_file %s\n"+
		"auth plain\nuser %s\npassword %q\nfrom %s\nlogfile -\n", port(t, g.Submission), g.CAFile, user.Login, user.Password, user.Mailbox))
	command{path: need(t, "msmtp"), args: []string{"--file=" + config, "--read-recipients"}, home: home,
		stdin: strings.ReplaceAll(message, "\r\n", "\n")}.must(t)
}

func swaksSends(t *testing.T, g *gateway, user login, _, message string) {
	t.Helper()
	command{path: needSwaks(t), args: append(swaksArgs(t, g, false, "PLAIN", user), "--from", user.Mailbox, "--to", user.Mailbox,
		"--data", "@"+write(t, t.TempDir(), "message.eml", strings.ReplaceAll(message, "\r\n", "\n")))}.must(t)
}

// oneMessageScript sends a message with smtplib, which pipelines nothing and announces 8-bit characters and UTF-8 by itself.
const oneMessageScript = `
import json, smtplib, ssl, sys
job = json.load(sys.stdin)
server = smtplib.SMTP("localhost", int(job["smtp"]), "python.example", timeout=60)
server.starttls(context=ssl.create_default_context(cafile=job["ca_file"]))
server.login(job["login"], job["password"])
server.sendmail(job["mailbox"], [job["mailbox"]], job["message"].replace("SUBJECT", %q).encode())
server.quit()
`

func pythonSends(t *testing.T, g *gateway, user login, subject, _ string) {
	t.Helper()
	runPython(t, g, user, fmt.Sprintf(oneMessageScript, subject))
}

// TestPostfixUpstream has a real Postfix be the upstream, so that the simulator's idea of SMTP is not the only judge: with
// every client, and by every way of delivery, the bytes that were accepted arrive with one Received field in front.
func TestPostfixUpstream(t *testing.T) {
	t.Parallel()
	w := overPostfix(t)
	for _, client := range senders {
		t.Run(client.name, func(t *testing.T) {
			for _, name := range []string{"alice@contoso.example", "auto", "queued"} {
				user := w.gateway.named(t, name)
				subject := client.name + "." + strings.ReplaceAll(name, "@", ".")
				message := letter(user.Mailbox, user.Mailbox, subject, trickyBody)
				client.send(t, w.gateway, user, subject, message)
				if client.want != nil {
					message = client.want(message)
				}
				w.postfix.whole(t, subject, message)
			}
		})
	}
	t.Run("git", func(t *testing.T) {
		git := needGitSendEmail(t)
		user := alice(t, w.gateway)
		patch := sendPatch(t, git, w.gateway, user, "PATCH postfix")
		if got := w.postfix.arrived(t, "[PATCH postfix] greet from Cologne"); !strings.HasSuffix(got, patch) {
			t.Errorf("got\n%q\nwant at its end\n%q", got, patch)
		}
	})
	t.Run("big", func(t *testing.T) {
		user := w.gateway.named(t, "queued")
		message := strings.ReplaceAll(big("8 MB through Postfix", 8<<20), "scans@", "alice@")
		submit(t, w.gateway, user, user.Mailbox, message)
		w.postfix.whole(t, "8 MB through Postfix", message)
	})
	t.Run("another mailbox stays shut", func(t *testing.T) {
		before := len(w.deployment.audit(t))
		l := w.gateway.signIn(t, w.gateway.named(t, "scans-reader"), "smtp")[0]
		l.say(t, "451 4.3.5 ", "MAIL FROM:<scans@contoso.example>")
		if got := refusals(w.deployment.audit(t), before); len(got) != 1 || got[0].Reason != "misconfigured" {
			t.Errorf("got refusals %+v in the audit log, want one for misconfigured", got)
		}
	})
	seen := w.postfix.dovecot.tokens.seen()
	if len(seen) == 0 {
		t.Fatal("Dovecot asked about no token")
	}
	l := secretsOf(w.sim, w.gateway)
	for _, token := range seen {
		l.add("access token", token)
	}
	l.in(t, "what Postfix says", []byte(w.postfix.stdout.String()+w.postfix.stderr.String()))
}

// TestPostfixExtensions goes through what EHLO offers, with Postfix at the other end.
func TestPostfixExtensions(t *testing.T) {
	t.Parallel()
	w := overPostfix(t)
	g, p := w.gateway, w.postfix
	for _, name := range []string{"alice@contoso.example", "auto", "queued"} {
		user := g.named(t, name)
		l := g.signIn(t, user, "smtp")[0]
		short := strings.ReplaceAll(name, "@", ".")
		envelope := "MAIL FROM:<" + user.Mailbox + ">%s\r\nRCPT TO:<" + user.Mailbox + ">%s\r\n"

		t.Run(short+" PIPELINING, SIZE, 8BITMIME", func(t *testing.T) {
			subject := "eight.bits." + short
			message := letter(user.Mailbox, user.Mailbox, subject, "Gr\u00fc\u00dfe\r\n.\u00e9\r\n")
			group := fmt.Sprintf(envelope, fmt.Sprintf(" BODY=8BITMIME SIZE=%d", len(message)), "") + "DATA"
			l.say(t, "354", group)
			l.say(t, "250 2.0.0", strings.ReplaceAll(message, "\r\n.", "\r\n..")+".")
			p.whole(t, subject, message)
		})
		t.Run(short+" SMTPUTF8", func(t *testing.T) {
			subject := "utf8." + short
			message := letter(user.Mailbox, "j\u00f6rg@fabrikam.example", subject, "Gr\u00fc\u00dfe\r\n")
			l.say(t, "250 2.1.0", "MAIL FROM:<"+user.Mailbox+"> BODY=8BITMIME SMTPUTF8")
			l.say(t, "250 2.1.5", "RCPT TO:<j\u00f6rg@fabrikam.example>")
			l.say(t, "354", "DATA")
			l.say(t, "250 2.0.0", message+".")
			p.whole(t, subject, message)
		})
		t.Run(short+" CHUNKING", func(t *testing.T) {
			subject := "chunks." + short
			message := letter(user.Mailbox, user.Mailbox, subject, trickyBody)
			half := len(message) / 2
			l.say(t, "250 2.1.5", strings.TrimSuffix(fmt.Sprintf(envelope, "", ""), "\r\n"))
			l.chunk(t, message[:half], false)
			l.chunk(t, message[half:], true)
			p.whole(t, subject, message)
		})
		t.Run(short+" DSN", func(t *testing.T) {
			subject := "dsn." + short
			message := letter(user.Mailbox, user.Mailbox, subject, "body\r\n")
			id := "QQ+2B" + strings.ToUpper(short[:1])
			l.say(t, "250 2.1.5", strings.TrimSuffix(fmt.Sprintf(envelope, " RET=HDRS ENVID="+id, " NOTIFY=SUCCESS ORCPT=rfc822;original+2B@contoso.example"), "\r\n"))
			l.say(t, "354", "DATA")
			l.say(t, "250 2.0.0", message+".")
			p.whole(t, subject, message)
			eventually(t, deliveryTime, "Postfix's report of success", func() error {
				for _, report := range p.subject(t, "Successful Mail Delivery Report") {
					if strings.Contains(report, "Original-Envelope-Id: "+strings.ReplaceAll(id, "+2B", "+")) && strings.Contains(report, "original+@contoso.example") {
						return nil
					}
				}
				return fmt.Errorf("no report with the envelope id %s among\n%s", id, strings.Join(p.subject(t, "Successful Mail Delivery Report"), "\n----\n"))
			})
		})
		t.Run(short+" ENHANCEDSTATUSCODES", func(t *testing.T) {
			l.say(t, "250 2.1.0", "MAIL FROM:<"+user.Mailbox+">")
			if name != "queued" {
				l.say(t, "554 5.7.1 <nobody@contoso.example>: Recipient address rejected", "RCPT TO:<nobody@contoso.example>")
				l.say(t, "250 2.0.0", "RSET")
				return
			}
			l.say(t, "250 2.1.5", "RCPT TO:<nobody@contoso.example>")
			l.say(t, "354", "DATA")
			l.say(t, "250 2.0.0", letter(user.Mailbox, "nobody@contoso.example", "refused", "body\r\n")+".")
			if got := p.arrived(t, "Undelivered mail"); !strings.Contains(got, "\r\nStatus: 5.7.1\r\n") {
				t.Errorf("got report\n%s\nwant Status: 5.7.1", got)
			}
		})
	}
}

// chunk sends a chunk by BDAT.
func (l *liveSession) chunk(t *testing.T, content string, last bool) {
	t.Helper()
	word := ""
	if last {
		word = " LAST"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "BDAT %d%s\r\n%s", len(content), word, content)
	if _, err := l.conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	l.say(t, "250 2.0.0")
}
