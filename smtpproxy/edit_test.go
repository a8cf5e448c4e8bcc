package smtpproxy

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
	"postern/internal/config"
)

const mailbox = "scans@contoso.example"

// device is an edit as a copier's message has it, with its destination.
func device(mode string) (*edit, *bytes.Buffer) {
	var out bytes.Buffer
	return &edit{to: &out, trace: "Received: x\r\n", domain: "mail.test", now: noon, profile: Profiles["device"], eightBit: true,
		senders: senders{mode: mode, mailbox: mailbox, own: []string{mailbox, "info@contoso.example", "*@fabrikam.example"}}}, &out
}

// random is what is not the same in each run.
var random = regexp.MustCompile(`<[A-Z2-7]{26}@mail\.test>`)

// through has a message edited in portions of n bytes.
func through(e *edit, message string, n int) error {
	for at := 0; at < len(message); at += n {
		if _, err := e.Write([]byte(message[at:min(at+n, len(message))])); err != nil {
			return err
		}
	}
	return nil
}

const (
	identified = "Message-ID: <1@x>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0100\r\n"
	body       = "\r\nFrom: in the body\r\n..\r\n.\r\n"
)

// TestSendersInTheHeader: who stands in From and Sender, and what comes of it. The reason is empty where it passes.
func TestSendersInTheHeader(t *testing.T) {
	const forbidden = "sender-forbidden"
	for _, test := range []struct {
		name, mode, header, want, reason string
	}{
		{"own", "pass", "From: " + mailbox + "\r\n", "From: " + mailbox + "\r\n", ""},
		{"own in capitals", "pass", "From: SCANS@Contoso.Example\r\n", "From: SCANS@Contoso.Example\r\n", ""},
		{"an alias", "pass", "From: Info <info@contoso.example>\r\n", "From: Info <info@contoso.example>\r\n", ""},
		{"an alias's domain", "pass", "FROM : any@fabrikam.example\r\n", "FROM : any@fabrikam.example\r\n", ""},
		{"several of its own", "pass", "From: " + mailbox + ",\r\n info@contoso.example\r\n", "From: " + mailbox + ",\r\n info@contoso.example\r\n", ""},
		{"somebody else", "pass", "From: ceo@contoso.example\r\n", "", forbidden},
		{"somebody else beside its own", "pass", "From: " + mailbox + ", ceo@contoso.example\r\n", "", forbidden},
		{"somebody else as Sender", "pass", "From: " + mailbox + "\r\nSender: ceo@contoso.example\r\n", "", forbidden},
		{"two fields", "pass", "From: " + mailbox + "\r\nFrom: " + mailbox + "\r\n", "", forbidden},
		{"two readings", "pass", "From: ceo@contoso.example <" + mailbox + ">\r\n", "", forbidden},
		{"hidden by a dot", "pass", "From: " + mailbox + "\r\n.From: ceo@contoso.example\r\n", "", forbidden},
		{"a dot hides another domain", "pass", "From: a@b.fabrikam.example\r\n", "", forbidden},
		{"no address", "pass", "From: Copier\r\n", "", forbidden},
		{"the mailbox", "refuse", "From: " + mailbox + "\r\n", "From: " + mailbox + "\r\n", ""},
		{"an alias where the mailbox is due", "refuse", "From: info@contoso.example\r\n", "", forbidden},
		{"own, to be rewritten", "rewrite", "From: info@contoso.example\r\n", "From: info@contoso.example\r\n", ""},
		{"somebody else, rewritten", "rewrite", "From: Anna <anna@contoso.example>\r\n",
			"Reply-To: <anna@contoso.example>\r\nFrom: \"Anna\" <" + mailbox + ">\r\n", ""},
		{"with a Reply-To", "rewrite", "From: anna@contoso.example\r\nReply-To: x@y.example\r\n", "From: <" + mailbox + ">\r\nReply-To: x@y.example\r\n", ""},
		{"Sender goes", "rewrite", "Sender: a@b.example\r\nFrom: b@b.example\r\n", "Reply-To: <b@b.example>\r\nFrom: <" + mailbox + ">\r\n", ""},
		{"two authors", "rewrite", "From: A <a@b.example>, B <b@b.example>\r\n",
			"Reply-To: <a@b.example>,\r\n\t<b@b.example>\r\nFrom: \"A\" <" + mailbox + ">\r\n", ""},
		{"no address, rewritten", "rewrite", "From: Copier\r\n", "From: <" + mailbox + ">\r\n", ""},
		{"a name that is an address", "rewrite", "From: \"ceo@contoso.example\" <a@b.example>\r\n", "Reply-To: <a@b.example>\r\nFrom: <" + mailbox + ">\r\n", ""},
		{"a name beyond ASCII", "rewrite", "From: =?utf-8?q?B=C3=BCro?= <a@b.example>\r\n",
			"Reply-To: <a@b.example>\r\nFrom: =?utf-8?q?B=C3=BCro?= <" + mailbox + ">\r\n", ""},
		{"two fields, rewritten", "rewrite", "From: a@b.example\r\nX: y\r\nFrom: c@d.example\r\n", "From: <" + mailbox + ">\r\nX: y\r\n", ""},
	} {
		t.Run(test.mode+" "+test.name, func(t *testing.T) {
			for _, n := range []int{1, 7, 1000} {
				e, out := device(test.mode)
				err := through(e, identified+test.header+body, n)
				var f *fault
				if errors.As(err, &f); test.reason != "" {
					if f == nil || f.reason != test.reason || !strings.Contains(f.reply.text(), mailbox) || out.Len() > 0 {
						t.Fatalf("got %v and %q, want it refused for %s, and the mailbox named", err, out, test.reason)
					}
					continue
				}
				want := "Received: x\r\n" + identified + test.want + body
				if strings.HasPrefix(test.want, "Reply-To: <") {
					first, rest, _ := strings.Cut(test.want, "\r\nFrom")
					want = "Received: x\r\n" + first + "\r\n" + identified + "From" + rest + body
				}
				if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
					t.Fatalf("%v (-want +got):\n%s", err, diff)
				}
			}
		})
	}
}

// TestI10BccGoesNoFurther: whoever gets the message cannot see who got it besides (threat model I-10).
func TestI10BccGoesNoFurther(t *testing.T) {
	for _, name := range []string{"strict", "device"} {
		e, out := device("pass")
		e.profile = Profiles[name]
		err := through(e, identified+"Bcc: a@b.example,\r\n c@d.example\r\nFrom: "+mailbox+"\r\nbcc : e@f.example\r\n.Bcc: g@h.example\r\nResent-Bcc: i@j.example\r\n"+body, 9)
		if want := "Received: x\r\n" + identified + "From: " + mailbox + "\r\n" + body; out.String() != want || err != nil {
			t.Errorf("%s: %v, got %q, want %q", name, err, out, want)
		}
	}
}

// TestMissingFields are supplied for devices, and the header that a message does not have.
func TestMissingFields(t *testing.T) {
	const all = "From: <" + mailbox + ">\r\nDate: Tue, 24 Nov 2026 12:00:00 +0100\r\nMessage-ID: RANDOM\r\n"
	for _, test := range []struct{ name, message, want string }{
		{"all", "Subject: x\r\n" + body, all + "Subject: x\r\n" + body},
		{"none", identified + "From: " + mailbox + "\r\n" + body, identified + "From: " + mailbox + "\r\n" + body},
		{"no header", body, all + body},
		{"a text and no header", "Toner low\r\nFrom: ceo@contoso.example\r\n.\r\n", all + "\r\nToner low\r\nFrom: ceo@contoso.example\r\n.\r\n"},
		{"nothing", ".\r\n", all + "\r\n.\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, out := device("rewrite")
			err := through(e, test.message, 5)
			got := random.ReplaceAllString(out.String(), "RANDOM")
			if diff := cmp.Diff("Received: x\r\n"+test.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestStrictChangesNoByte but for Bcc and the line in front, whatever the header is like; yet a From behind a stray line
// counts, since some receivers read on.
func TestStrictChangesNoByte(t *testing.T) {
	for _, message := range []string{
		".\r\n", "\r\n.\r\n", "text\r\n.\r\n", "Subject: x\r\n.\r\n", " x\r\nSubject : y\r\n\tz\r\n<stray>\r\n\r\nbody\r\n.\r\n",
		"stray\r\nFrom: " + mailbox + "\r\n\r\nFrom: x\r\n.\r\n",
	} {
		e, out := device("pass")
		e.profile = Profile{}
		if err := through(e, message, 3); err != nil || out.String() != "Received: x\r\n"+message {
			t.Errorf("%v, got %q, want %q", err, out, message)
		}
	}
	e, _ := device("pass")
	e.profile = Profile{}
	if err := through(e, "stray\r\nFrom: ceo@contoso.example\r\n\r\n.\r\n", 3); err == nil {
		t.Error("a forged From behind a stray line passed")
	}
}

func TestRefusedMessages(t *testing.T) {
	for _, test := range []struct {
		name, message string
		want          *fault
	}{
		{"header too large", strings.Repeat("X: "+strings.Repeat("x", 500)+"\r\n", 600), faultHeader},
		{"loop", strings.Repeat("Received: x\r\n", maxHops+1) + "\r\n.\r\n", faultLoop},
		{"8 bit in the body", "X: y\r\n\r\n" + strings.Repeat("x", 13) + "ü\r\n.\r\n", faultEightBit},
		{"8 bit in the header", "X: ü\r\n\r\n.\r\n", faultEightBit},
	} {
		for _, n := range []int{7, 1 << 20} {
			e, _ := device("pass")
			e.eightBit = false
			if err := through(e, test.message, n); !errors.Is(err, error(test.want)) {
				t.Errorf("%s: got %v, want %v", test.name, err, test.want)
			}
		}
	}
}

// TestSenderOfTheEnvelope: what MAIL says, and what upstream hears; empty for nothing.
func TestSenderOfTheEnvelope(t *testing.T) {
	const forbidden = "550 5.7.60 Not allowed to send as this sender: the sender address must be " + mailbox
	for _, test := range []struct{ mode, sender, reply, upstream string }{
		{"", mailbox, senderOK, mailbox},
		{"pass", "INFO@b.example", senderOK, "INFO@b.example"},
		{"pass", "x@elsewhere.example", forbidden, "none"},
		{"pass", "", senderOK, ""},
		{"refuse", "Scans@contoso.example", senderOK, "Scans@contoso.example"},
		{"refuse", "info@b.example", forbidden, "none"},
		{"rewrite", "x@elsewhere.example", senderOK, mailbox},
		{"rewrite", "info@b.example", senderOK, "info@b.example"},
		{"rewrite", "", senderOK, ""},
	} {
		t.Run(test.mode+" "+test.sender, func(t *testing.T) {
			w := newWorld(t)
			w.gate.send = config.Send{From: test.mode}
			c := w.signIn()
			c.ask("MAIL FROM:<"+test.sender+">", test.reply)
			heard := "none"
			if w.upstream.connections() > 0 {
				heard = strings.TrimSuffix(strings.TrimPrefix(w.upstream.visit(0).commands[2], "MAIL FROM:<"), ">")
			}
			if heard != test.upstream {
				t.Errorf("upstream heard %q, want %q", heard, test.upstream)
			}
			if test.reply == forbidden {
				w.expectMessages(audit.Message{Outcome: audit.Refused, Reason: "sender-forbidden", Sender: test.sender, Reply: forbidden})
			}
		})
	}
}

// TestForgedFrom is found in the header, when upstream waits for the message: it is hung up on, and the next one passes.
func TestForgedFrom(t *testing.T) {
	const forbidden = "550 5.7.60 Not allowed to send as this sender: the sender address must be " + mailbox
	w := newWorld(t)
	c := w.readyForData()
	c.play("DATA", goAhead, "From: ceo@elsewhere.example\r\n\r\nx\r\n.", forbidden)
	if v := w.upstream.awaitOver(0); len(v.data) > 0 {
		t.Errorf("upstream got %q", v.data)
	}
	c.deliver()
}

func TestRecipientsOfThePolicy(t *testing.T) {
	const forbidden = "550 5.7.1 This login may not send to this recipient"
	w := newWorld(t)
	w.gate.send = config.Send{Recipients: []string{"*@contoso.example", "one@b.example"}}
	c := w.signIn()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<Bob@Contoso.example>", recipientOK, "RCPT TO:<ONE@b.example>", recipientOK,
		"RCPT TO:<two@b.example>", forbidden, "RCPT TO:<x@sub.contoso.example>", forbidden, `RCPT TO:<"x@contoso.example"@b.example>`, forbidden)
	if got := w.upstream.visit(0).commands; len(got) != 5 {
		t.Errorf("upstream heard %q", got)
	}
}

func TestSizeOfThePolicy(t *testing.T) {
	const tooBig = "552 5.3.4 Message size exceeds fixed maximum message size"
	w := newWorld(t)
	w.gate.send = config.Send{MaxSize: 1000}
	c := w.signIn()
	c.send("EHLO copier\r\n")
	if got := c.reply(); !strings.Contains(got, "250-SIZE 1000\n") {
		t.Errorf("EHLO: got %q, want the size of the policy", got)
	}
	c.play("MAIL FROM:<scans@contoso.example> SIZE=1001", tooBig, "MAIL FROM:<scans@contoso.example> SIZE=1000", senderOK,
		"RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead, "\r\n"+strings.Repeat("x", 1000)+"\r\n.", tooBig)
	c.deliver()
}
