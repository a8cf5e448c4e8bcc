package exchange

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"postern/internal/sim/tenant"
	"postern/internal/wire"
)

func (w *world) smtp() *peer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.server.SMTPAddress())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.peer(conn)
}

// reply reads a reply and gives its last line.
func (p *peer) reply() string {
	for {
		if line := p.read(); len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// secured gives a client behind STARTTLS, greeted.
func (w *world) secured() *peer {
	p := w.smtp()
	p.want("220 *")
	p.send("EHLO client")
	p.reply()
	p.send("STARTTLS")
	p.want("220 2.0.0 SMTP server ready")
	p = w.peer(tls.Client(p.conn, w.client))
	p.send("EHLO client")
	p.reply()
	return p
}

func (w *world) sender(user, token string) *peer {
	p := w.secured()
	p.send("AUTH XOAUTH2 " + xoauth2(user, token))
	p.want("235 2.7.0 Authentication successful")
	return p
}

func (p *peer) submit(from, to, message string) string {
	p.send("MAIL FROM:<"+from+">", "RCPT TO:<"+to+">", "DATA")
	p.want("250 2.1.0 Sender OK", "250 2.1.5 Recipient OK", "354 *")
	p.send(message, ".")
	return p.reply()
}

func TestSMTPDialogue(t *testing.T) {
	w := start(t, nil)
	p := w.smtp()
	p.want("220 " + host + " Microsoft ESMTP MAIL Service ready at *")
	p.send("EHLO client")
	p.want("250-"+host+" Hello [127.0.0.1]", "250-SIZE 157286400", "250-PIPELINING", "250-DSN", "250-ENHANCEDSTATUSCODES", "250-STARTTLS",
		"250-8BITMIME", "250-BINARYMIME", "250-CHUNKING", "250 SMTPUTF8")
	p.send("MAIL FROM:<a@b.example>")
	p.want("530 5.7.0 Must issue a STARTTLS command first")
	q := w.secured()
	q.send("MAIL FROM:<a@b.example>", "AUTH PLAIN AGEAYg==")
	q.want("530 5.7.57 Client not authenticated to send mail. [*", "504 5.7.4 Unrecognized authentication type [*")
	q.send("AUTH LOGIN")
	q.want("334 VXNlcm5hbWU6")
	q.send("eA==")
	q.want("334 UGFzc3dvcmQ6")
	q.send("eA==")
	q.want("535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [*")
	q.send("AUTH XOAUTH2")
	q.want("334 ")
	q.send(xoauth2("alice@contoso.example", "alice"))
	q.want("235 2.7.0 Authentication successful")
	q.send("NOOP", "RSET", "QUIT")
	q.want("250 2.0.0 OK", "250 2.0.0 Resetting", "221 2.0.0 Service closing transmission channel", "EOF")
}

func TestSMTPAuthRefusals(t *testing.T) {
	w := start(t, nil)
	yes, no := true, false
	for _, test := range []struct {
		name, user, token, want string
		arrange                 func()
	}{
		{"bad token", "alice@contoso.example", "unknown", "535 5.7.3 Authentication unsuccessful [*", nil},
		{"no permission", "bob@contoso.example", "alice", "535 5.7.3 Authentication unsuccessful [*", nil},
		{"tenant switch", "alice@contoso.example", "alice", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [*",
			func() { w.tenant.DisableSMTPAuth(true) }},
		{"mailbox wins over tenant", "alice@contoso.example", "alice", "235 2.7.0 Authentication successful",
			func() {
				w.tenant.UpdateMailbox("alice@contoso.example", func(m *tenant.Mailbox) { m.SMTPAuthDisabled = &no })
			}},
		{"mailbox switch", "alice@contoso.example", "alice", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. *",
			func() {
				w.tenant.UpdateMailbox("alice@contoso.example", func(m *tenant.Mailbox) { m.SMTPAuthDisabled = &yes })
			}},
		{"ordered", "scans@contoso.example", "app", "454 4.7.0 Temporary authentication failure",
			func() {
				w.tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPAuth, Reply: "454 4.7.0 Temporary authentication failure"})
			}},
	} {
		if test.arrange != nil {
			test.arrange()
		}
		p := w.secured()
		p.send("AUTH XOAUTH2 " + xoauth2(test.user, test.token))
		t.Log(test.name)
		p.want(test.want)
	}
}

func TestSMTPMessageIsStoredAndSent(t *testing.T) {
	w := start(t, nil)
	p := w.sender("scans@contoso.example", "app")
	const message = "From: scans@contoso.example\r\nBcc: secret@contoso.example\r\nMessage-ID: <7@x>\r\n\r\n..dot\r\nend"
	if got := p.submit("scans@contoso.example", "alice@contoso.example", message); got != "250 2.0.0 OK <7@x> [Hostname="+host+"]" {
		t.Fatalf("got %q", got)
	}
	want := "From: scans@contoso.example\r\nMessage-ID: <7@x>\r\n\r\n.dot\r\nend\r\n"
	for _, place := range [][2]string{{"scans@contoso.example", "Sent Items"}, {"alice@contoso.example", "INBOX"}} {
		if got := w.server.Messages(place[0], place[1]); len(got) != 1 || string(got[0]) != want {
			t.Errorf("%s of %s: got %q, want %q", place[1], place[0], got, want)
		}
	}
	p.submit("scans@contoso.example", "friend@elsewhere.example", "From: scans@contoso.example\r\n\r\nx")
	if got := w.server.Outside(); len(got) != 1 || got[0].Recipient != "friend@elsewhere.example" {
		t.Errorf("outside: %+v", got)
	}
}

func TestSMTPRefusalsAtTheEndOfTheMessage(t *testing.T) {
	w := start(t, nil)
	p := w.sender("alice@contoso.example", "alice")
	for _, test := range []struct{ name, from, message, want string }{
		{"From of another", "alice@contoso.example", "From: bob@contoso.example\r\n\r\nx", "554 5.2.252 SendAsDenied; alice@contoso.example not allowed to send as bob@contoso.example; "},
		{"MAIL FROM of another", "bob@contoso.example", "From: alice@contoso.example\r\n\r\nx", "554 5.2.252 SendAsDenied; "},
		{"no From", "alice@contoso.example", "Subject: x\r\n\r\nx", "550 5.7.512 "},
		{"bare LF", "alice@contoso.example", "From: alice@contoso.example\n\r\nx", "550 5.6.11 "},
		{"alias", "al@contoso.example", "From: al@contoso.example\r\n\r\nx", "250 2.0.0 OK "},
		{"Send As", "helpdesk@contoso.example", "From: helpdesk@contoso.example\r\n\r\nx", "250 2.0.0 OK "},
	} {
		if got := p.submit(test.from, "bob@contoso.example", test.message); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	p.send("MAIL FROM:<alice@contoso.example> SIZE=157286401")
	p.want("552 5.3.4 *")
}

func TestSMTPLimits(t *testing.T) {
	w := start(t, func(c *Config) { c.Limits = Limits{PerMinute: 3, RecipientsPerDay: 2} })
	p := w.sender("alice@contoso.example", "alice")
	const message = "From: alice@contoso.example\r\n\r\nx"
	for n, want := range []string{"250 ", "250 ", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"} {
		if got := p.submit("alice@contoso.example", "bob@contoso.example", message); !strings.HasPrefix(got, want) {
			t.Errorf("message %d: got %q, want %q", n+1, got, want)
		}
	}
	w = start(t, func(c *Config) { c.Limits = Limits{PerMinute: 1} })
	p = w.sender("alice@contoso.example", "alice")
	p.submit("alice@contoso.example", "bob@contoso.example", message)
	if got := p.submit("alice@contoso.example", "bob@contoso.example", message); !strings.HasPrefix(got, "421 4.4.2 Message submission rate") {
		t.Errorf("got %q", got)
	}
}

func TestSMTPFourthConnectionIsRefusedAtTheEnd(t *testing.T) {
	w := start(t, nil)
	peers := make([]*peer, 4)
	for n := range peers {
		peers[n] = w.sender("alice@contoso.example", "alice")
		peers[n].send("MAIL FROM:<alice@contoso.example>", "RCPT TO:<bob@contoso.example>", "DATA")
		peers[n].want("250 *", "250 *", "354 *")
	}
	want := []string{"250 *", "250 *", "250 *", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending *"}
	for n := len(peers) - 1; n >= 0; n-- {
		peers[n].send("From: alice@contoso.example", "", "x", ".")
		peers[n].want(want[n])
	}
	if got := w.server.HighestConcurrency(); got != 4 {
		t.Errorf("highest concurrency %d, want 4", got)
	}
}

func TestSMTPBDAT(t *testing.T) {
	w := start(t, nil)
	p := w.sender("alice@contoso.example", "alice")
	p.send("MAIL FROM:<alice@contoso.example>", "RCPT TO:<bob@contoso.example>", "BDAT 11")
	p.want("250 *", "250 *")
	if _, err := io.WriteString(p.conn, "From: aliceBDAT 22 LAST\r\n@contoso.example\r\n\r\nhi"); err != nil {
		t.Fatal(err)
	}
	p.want("250 2.0.0 11 octets received", "250 2.0.0 OK *")
	if got := w.server.Messages("bob@contoso.example", "INBOX"); len(got) != 1 || !strings.HasSuffix(string(got[0]), "\r\n\r\nhi") {
		t.Errorf("got %q", got)
	}
}

func TestSMTPDropAfterTheMessageIsStored(t *testing.T) {
	w := start(t, nil)
	w.tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPSent, Drop: true, Times: 1})
	p := w.sender("alice@contoso.example", "alice")
	if got := p.submit("alice@contoso.example", "bob@contoso.example", "From: alice@contoso.example\r\n\r\nx"); got != "EOF" {
		t.Errorf("got %q, want the connection dropped", got)
	}
	if got := len(w.server.Messages("bob@contoso.example", "INBOX")); got != 1 {
		t.Errorf("%d messages stored, want 1", got)
	}
}

func TestReadData(t *testing.T) {
	for _, test := range []struct {
		input, want string
		bare        bool
	}{
		{".\r\n", "", false},
		{"a\r\n.\r\n", "a\r\n", false},
		{"..a\r\n..\r\n.b\r\n.\r\n", ".a\r\n.\r\nb\r\n", false},
		{"a\n.\n\r\n.\r\n", "a\n.\n\r\n", true},
		{"a\r.\r\n.\r\n", "a\r.\r\n", true},
	} {
		for _, source := range []io.Reader{strings.NewReader(test.input + "QUIT\r\n"), iotest.OneByteReader(strings.NewReader(test.input + "QUIT\r\n"))} {
			in := wire.NewReader(source, 100)
			content, bare, err := readData(in, 1000, func() {})
			if string(content) != test.want || bare != test.bare || err != nil {
				t.Errorf("%q: got %q, %v, %v", test.input, content, bare, err)
			}
			if line, err := in.ReadLine(); string(line) != "QUIT" || err != nil {
				t.Errorf("%q: behind it %q, %v", test.input, line, err)
			}
		}
	}
	in := wire.NewReader(strings.NewReader(strings.Repeat("x", 200<<10)+"\r\n.\r\nQUIT\r\n"), 100)
	if _, _, err := readData(in, 1000, func() {}); err != errTooBig {
		t.Errorf("got %v, want %v", err, errTooBig)
	}
	if line, _ := in.ReadLine(); string(line) != "QUIT" {
		t.Errorf("behind a message that is too big: %q", line)
	}
}

func FuzzReadData(f *testing.F) {
	f.Add([]byte("..a\r\n.\r\n"))
	f.Add([]byte("a\r\n.\n.\r\n.\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		content, _, err := readData(wire.NewReader(bytes.NewReader(input), 100), 1<<20, func() {})
		if err == nil && bytes.Contains(append([]byte("\r\n"), content...), []byte("\r\n.\r\n")) && !bytes.Contains(append([]byte("\r\n"), input...), []byte("\r\n..")) {
			t.Fatalf("%q gave %q", input, content)
		}
	})
}

// parseEverything runs the parsers over a client's bytes.
func parseEverything(input []byte) {
	in := wire.NewReader(bytes.NewReader(input), maxCommand)
	for {
		c, err := readCommand(in, func() error { return nil })
		if c == nil {
			return
		}
		if err != nil {
			continue
		}
		again := *c
		_ = c.space()
		_, _, _ = fetchItems(c, true)
		c = &again
		second := *c
		_ = c.space()
		_, _ = criteria(c, 0)
		_, _ = second.argument()
		_, _ = second.flagNames()
		_, _ = second.literal()
	}
}
