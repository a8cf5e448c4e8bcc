package queue

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"postern/internal/store"
)

// reportKind is what a report says happened: the Action of RFC 3464 section 2.3.3.
type reportKind string

const (
	failed  reportKind = "failed"
	delayed reportKind = "delayed"
)

// wants reports whether the client asked to hear of FAILURE or DELAY of a recipient. It did if it said nothing (RFC 3461
// sections 4.1 and 5).
func (r Recipient) wants(what string) bool {
	if r.Notify == "" {
		return true
	}
	for word := range strings.SplitSeq(strings.ToUpper(r.Notify), ",") {
		if word == what {
			return true
		}
	}
	return false
}

// newReport makes the delivery status notification (RFC 3464) about some recipients of a message, to its sender. It goes
// out as a message of the same submitter, since upstream takes none from anybody else for this mailbox: with the
// mailbox as its reverse-path, where RFC 3464 section 2 wants an empty one, and marked as what nobody may answer.
// Recipients that the report is not about are not in it.
func (q *Queue) newReport(row store.QueuedMessage, m *Message, kind reportKind, numbers []int, changes map[int]store.QueuedRecipient, next, now time.Time) (store.Report, error) {
	original, err := m.returned(kind, q.content(q.cut, row))
	if err != nil {
		return store.Report{}, err
	}
	about := reportAbout{domain: q.config.Domain, kind: kind, message: m, numbers: numbers, words: changes, original: original, next: next, now: now}
	report := &Message{ID: newID(now), Submitter: m.Submitter, Session: m.Session, Sender: m.Submitter.User, Report: true,
		Recipients: []Recipient{{Address: m.Sender, Notify: "NEVER"}}, UTF8: !isASCII(m.Sender + m.Submitter.User), Accepted: now}
	content, err := about.compose(report.ID)
	if err != nil {
		return store.Report{}, err
	}
	report.Size = int64(len(content))
	if !isASCII(string(content)) {
		report.Body = "8BITMIME"
	}
	var parts []store.Part
	for n := 0; len(content) > 0; n++ {
		size := min(len(content), store.PartSize)
		parts = append(parts, store.Part{Number: n, Content: content[:size]})
		content = content[size:]
	}
	reported, err := report.row(len(parts), "", "a report about "+m.ID, now)
	return store.Report{Message: reported, Parts: parts}, err
}

// reportAbout is what a report is made of.
type reportAbout struct {
	domain    string
	kind      reportKind
	message   *Message
	numbers   []int // of the recipients that it is about
	words     map[int]store.QueuedRecipient
	original  returned
	next, now time.Time
}

// compose writes the report as it goes to upstream.
func (a *reportAbout) compose(id string) ([]byte, error) {
	var text bytes.Buffer
	var h message.Header
	h.SetContentType("multipart/report", map[string]string{"report-type": "delivery-status"})
	h.Set("MIME-Version", "1.0")
	h.Set("Auto-Submitted", "auto-replied") // RFC 3834 section 5
	h.Set("Message-ID", "<"+id+"@"+a.domain+">")
	h.Set("Subject", map[reportKind]string{failed: "Undelivered mail", delayed: "Delayed mail"}[a.kind])
	h.Set("To", "<"+a.message.Sender+">")
	h.Set("From", `"Mail delivery (Postern)" <`+a.message.Submitter.User+">")
	h.Set("Date", a.now.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	w, err := message.CreateWriter(&text, h)
	if err != nil {
		return nil, err
	}
	status := "message/delivery-status"
	if !isASCII(a.status()) { // RFC 6533
		status = "message/global-delivery-status"
	}
	for _, part := range []struct{ kind, encoding, content string }{
		{"text/plain; charset=utf-8", "quoted-printable", a.humanText()},
		{status, "7bit", a.status()},
		{a.original.kind, a.original.encoding, string(a.original.text)},
	} {
		if part.kind == "message/global-delivery-status" {
			part.encoding = "8bit"
		}
		if err := addPart(w, part.kind, part.encoding, part.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return stuff(text.Bytes()), nil
}

func addPart(w *message.Writer, kind, encoding, content string) error {
	var h message.Header
	h.Set("Content-Type", kind)
	h.Set("Content-Transfer-Encoding", encoding)
	part, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(part, content); err != nil {
		return err
	}
	return part.Close()
}

// humanText is the part of the report that people read.
func (a *reportAbout) humanText() string {
	var b strings.Builder
	if a.kind == failed {
		b.WriteString("Your message could not be delivered to:\r\n\r\n")
	} else {
		b.WriteString("Your message has not been delivered yet. There is nothing that you have to do: it is tried again for four\r\nand a half days. It waits for:\r\n\r\n")
	}
	for _, number := range a.numbers {
		fmt.Fprintf(&b, "  %s\r\n    %s\r\n", printableLine(a.message.Recipients[number].Address), printableLine(a.words[number].Reply))
	}
	fmt.Fprintf(&b, "\r\nIt was accepted on %s by %s under the id %s.\r\n", a.message.Accepted.Format("Mon, 2 Jan 2006 15:04 -0700"), a.domain, a.message.ID)
	return b.String()
}

// status is the part of the report that programs read (RFC 3464 section 2).
func (a *reportAbout) status() string {
	var b bytes.Buffer
	var whole textproto.Header
	// A header grows at its begin.
	whole.Add("Arrival-Date", a.message.Accepted.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	whole.Add("X-Postern-Queue-ID", a.message.ID)
	whole.Add("Reporting-MTA", "dns; "+a.domain)
	if a.message.EnvID != "" {
		whole.Add("Original-Envelope-Id", printableLine(decodeXtext(a.message.EnvID))) // RFC 3461 section 6.3
	}
	_ = textproto.WriteHeader(&b, whole)
	for _, number := range a.numbers {
		recipient, word := a.message.Recipients[number], printableLine(a.words[number].Reply)
		var h textproto.Header
		if a.kind == delayed {
			h.Add("Will-Retry-Until", a.message.Accepted.Add(patience).Format("Mon, 2 Jan 2006 15:04:05 -0700"))
		}
		h.Add("Last-Attempt-Date", a.now.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
		h.Add("Diagnostic-Code", "smtp; "+word)
		h.Add("Status", statusOf(word, a.kind))
		h.Add("Action", string(a.kind))
		h.Add("Final-Recipient", addressType(recipient.Address)+"; "+printableLine(recipient.Address))
		if kind, original, ok := strings.Cut(recipient.ORcpt, ";"); ok {
			h.Add("Original-Recipient", printableLine(kind)+"; "+printableLine(decodeXtext(original)))
		}
		_ = textproto.WriteHeader(&b, h)
	}
	return strings.TrimSuffix(b.String(), "\r\n")
}

// decodeXtext undoes xtext (RFC 3461 section 4): + and two hexadecimal digits are a byte. What is none of that stays.
func decodeXtext(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "+")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		text = after
		if len(after) >= 2 {
			if code, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(code))
				text = after[2:]
				continue
			}
		}
		b.WriteByte('+')
	}
}

func addressType(address string) string {
	if isASCII(address) {
		return "rfc822"
	}
	return "utf-8"
}

// statusOf gives the status code (RFC 3463) of a word of upstream's, or what stands for one that has none: what was given
// up waiting has timed out (4.4.7).
func statusOf(word string, kind reportKind) string {
	fields := strings.Fields(word)
	if len(fields) > 1 && strings.Count(fields[1], ".") == 2 && strings.Trim(fields[1], "0123456789.") == "" {
		if kind == delayed || fields[1][0] != '4' {
			return fields[1]
		}
	}
	if kind == delayed {
		return "4.4.7"
	}
	if len(fields) > 0 && len(fields[0]) == 3 && fields[0][0] == '5' {
		return "5.0.0"
	}
	return "5.4.7"
}

// maxLine bounds what strangers say in a line of a report, in bytes.
const maxLine = 800

// printableLine makes a text that came from elsewhere one that cannot begin a line of its own.
func printableLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	for len(text) > maxLine {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// stuff makes a text the content of a message: lines end in CRLF, a dot at the start of one is doubled, and CRLF "." CRLF
// is at its end (RFC 5321 section 4.5.2).
func stuff(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if bytes.HasPrefix(line, []byte(".")) {
			out.WriteByte('.')
		}
		out.Write(bytes.ReplaceAll(line, []byte("\r"), []byte(" ")))
		out.WriteString("\r\n")
	}
	out.WriteString(".\r\n")
	return out.Bytes()
}
