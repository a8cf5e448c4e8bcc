package queue

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
	"time"

	"postern/internal/store"
)

// FuzzRecord: a record is read as what it is, or refused; what is read goes out as commands of one line.
func FuzzRecord(f *testing.F) {
	m := &Message{Submitter: copier, Sender: "alice@contoso.example", UTF8: true, Body: "8BITMIME", Ret: "HDRS", EnvID: "a+2Bb",
		Recipients: []Recipient{{Address: "bob@b.example", Notify: "FAILURE,DELAY", ORcpt: "rfc822;bob@b.example"}}}
	record, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte(`{"recipients":[{"address":"a\r\nDATA"}],"submitter":{"login":"x","user":"y"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		m, err := decodeRecord(record)
		if err != nil {
			return
		}
		for _, r := range m.Recipients {
			if r.Address == "" || strings.ContainsAny(m.Sender+m.EnvID+m.Ret+m.Body+r.Address+r.Notify+r.ORcpt, "\r\n\x00") {
				t.Fatalf("%q was read as %+v", record, m)
			}
		}
		again, err := m.encode()
		if err != nil {
			return // it is larger when it is written anew
		}
		if _, err := decodeRecord(again); err != nil {
			t.Fatalf("%q was read, and not again: %v", record, err)
		}
	})
}

// FuzzReport: whatever upstream, the client and the message say, the report is one message on the wire, with a header
// that a mail program can read, and no line of a stranger's in its own header.
func FuzzReport(f *testing.F) {
	f.Add("alice@contoso.example", "bob@b.example", "rfc822;bob@b.example", "550 5.1.1 no", "Subject: x\r\n")
	f.Add("älice@b.example", "bøb@b.example", ";", "", ".\r\n.\r\n")
	f.Add("a@b", "c@d", "x;\r\nBcc: e@f", "550 5.7.1 \r\n.\r\nMAIL FROM:<>", strings.Repeat("y", 3000))
	f.Fuzz(func(t *testing.T, sender, recipient, orcpt, word, original string) {
		if strings.ContainsFunc(sender, func(r rune) bool { return r < 0x20 || r == 0x7f }) || sender == "" {
			return // decodeRecord refuses it
		}
		for _, kind := range []reportKind{failed, delayed} {
			m := &Message{ID: "id", Submitter: copier, Sender: sender, EnvID: orcpt, Ret: "FULL", Recipients: []Recipient{{Address: recipient, ORcpt: orcpt}}}
			back, err := m.returned(kind, bytes.NewReader(stuff([]byte(original))))
			if err != nil {
				t.Fatal(err)
			}
			about := reportAbout{domain: "mail.test", kind: kind, message: m, numbers: []int{0},
				words: map[int]store.QueuedRecipient{0: {Reply: word}}, original: back, next: noon, now: noon.Add(time.Hour)}
			content, err := about.compose("report")
			if err != nil {
				continue
			}
			if !bytes.HasSuffix(content, []byte("\r\n.\r\n")) || bytes.Count(content, []byte("\r\n.\r\n")) != 1 {
				t.Fatalf("it does not end once:\n%q", content)
			}
			if bare := bytes.ReplaceAll(content, []byte("\r\n"), nil); bytes.ContainsAny(bare, "\r\n") {
				t.Fatalf("a bare line end:\n%q", content)
			}
			parsed, err := mail.ReadMessage(bytes.NewReader(content))
			if err != nil {
				t.Fatalf("%v:\n%q", err, content)
			}
			if parsed.Header.Get("Bcc") != "" || parsed.Header.Get("Auto-Submitted") != "auto-replied" {
				t.Fatalf("header: %v", parsed.Header)
			}
		}
	})
}

// FuzzHeader: the header of any content is found within its bounds.
func FuzzHeader(f *testing.F) {
	f.Add("Subject: x\r\n\r\nbody\r\n.\r\n")
	f.Add("..dot\r\n.\r\n")
	f.Add(strings.Repeat("x", maxHeader+10))
	f.Fuzz(func(t *testing.T, text string) {
		h, err := header(strings.NewReader(text))
		if err != nil || len(h) > maxHeader {
			t.Fatalf("%d bytes, %v", len(h), err)
		}
	})
}

// FuzzClassify: every reply has a class, and 5yz of no quota is for good.
func FuzzClassify(f *testing.F) {
	f.Add(451, "4.7.500", "451 4.7.500 Server busy")
	f.Add(554, "5.2.0", "554 5.2.0 SubmissionQuotaExceededException")
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		class := Classify(Reply{code, enhanced, text})
		if class.String() == "" || code/100 == 4 && !class.Temporary() {
			t.Fatalf("%d is %v", code, class)
		}
	})
}
