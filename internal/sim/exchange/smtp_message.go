package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-message/textproto"

	"postern/internal/sim/tenant"
)

// pathOf reads "FROM:<address> parameters" or "TO:<address> parameters".
func pathOf(rest, prefix string) (address string, parameters []string, ok bool) {
	if len(rest) < len(prefix) || !strings.EqualFold(rest[:len(prefix)], prefix) {
		return "", nil, false
	}
	inside, after, ok := strings.Cut(strings.TrimSpace(rest[len(prefix):]), ">")
	address, bracket := strings.CutPrefix(inside, "<")
	return address, strings.Fields(after), ok && bracket
}

// fault lets a fault strike that was ordered at a point of the transaction, for the mailbox or one of other names, and
// reports whether it has answered.
func (m *smtpSession) fault(point tenant.Point, names ...string) (answered bool, err error) {
	reply, drop := m.server.strike(point, append(names, m.mailbox)...)
	switch {
	case drop:
		return true, errBye
	case reply != "":
		return true, m.refuse(reply)
	}
	return false, nil
}

// refuse sends a whole reply; after 421 the connection is closed.
func (m *smtpSession) refuse(reply string) error {
	if err := m.say("%s", reply); err != nil {
		return err
	}
	if strings.HasPrefix(reply, "421") {
		return errors.Join(m.out.Flush(), errBye)
	}
	return nil
}

func (m *smtpSession) mail(rest string) error {
	switch {
	case m.hello == "":
		return m.say("503 5.5.2 Send hello first")
	case !m.secured:
		return m.say("530 5.7.0 Must issue a STARTTLS command first")
	case m.mailbox == "":
		return m.say("530 5.7.57 Client not authenticated to send mail. %s", m.trailer())
	case m.inMail:
		return m.say("503 5.5.2 Sender already specified")
	}
	sender, parameters, ok := pathOf(rest, "FROM:")
	if !ok {
		return m.say("501 5.1.7 Invalid address")
	}
	for _, parameter := range parameters {
		if value, ok := strings.CutPrefix(strings.ToUpper(parameter), "SIZE="); ok {
			if size, err := strconv.ParseInt(value, 10, 64); err != nil || size > maxMessage {
				return m.say("552 5.3.4 Message size exceeds fixed maximum message size")
			}
		}
	}
	if answered, err := m.fault(tenant.SMTPMail); answered {
		return err
	}
	m.sender, m.inMail = sender, true
	return m.say("250 2.1.0 Sender OK")
}

// rcpt takes every recipient: client submission looks none up (reference B.4).
func (m *smtpSession) rcpt(rest string) error {
	if !m.inMail {
		return m.say("503 5.5.2 Need mail command")
	}
	recipient, _, ok := pathOf(rest, "TO:")
	if !ok || !strings.Contains(recipient, "@") {
		return m.say("501 5.1.3 Invalid address")
	}
	if len(m.recipients) >= maxRecipients {
		return m.say("452 4.5.3 Too many recipients")
	}
	if answered, err := m.fault(tenant.SMTPRcpt, recipient); answered {
		return err
	}
	m.recipients = append(m.recipients, recipient)
	return m.say("250 2.1.5 Recipient OK")
}

func (m *smtpSession) data() error {
	if len(m.recipients) == 0 {
		return m.say("503 5.5.2 Need rcpt command")
	}
	if answered, err := m.fault(tenant.SMTPData); answered {
		return err
	}
	_ = m.say("354 Start mail input; end with <CRLF>.<CRLF>")
	if err := m.out.Flush(); err != nil {
		return err
	}
	crowded, end := m.server.submission.begin(m.mailbox)
	defer end()
	content, bare, err := readData(m.in, maxMessage, func() { _ = m.conn.SetDeadline(time.Now().Add(smtpIdle)) })
	switch {
	case errors.Is(err, errTooBig):
		m.reset()
		return m.say("552 5.3.4 Message size exceeds fixed maximum message size")
	case err != nil:
		return err
	case bare:
		m.reset()
		return m.say("550 5.6.11 The message contains bare line feeds: invalid characters")
	}
	return m.submit(content, crowded)
}

// bdat takes a message in chunks (RFC 3030).
func (m *smtpSession) bdat(rest string) error {
	var content []byte
	if err := m.out.Flush(); err != nil {
		return err
	}
	crowded, end := m.server.submission.begin(m.mailbox)
	defer end()
	for {
		fields := strings.Fields(rest)
		if len(fields) == 0 || len(m.recipients) == 0 {
			return m.say("503 5.5.2 Need rcpt command")
		}
		size, err := strconv.Atoi(fields[0])
		if err != nil || size < 0 || len(content)+size > maxMessage {
			return m.refuse("421 4.3.2 Bad chunk")
		}
		chunk, err := m.in.ReadLiteral(size)
		if err != nil {
			return err
		}
		content = append(content, chunk...)
		if len(fields) > 1 && strings.EqualFold(fields[1], "LAST") {
			return m.submit(content, crowded)
		}
		_ = m.say("250 2.0.0 %d octets received", size)
		if err := m.out.Flush(); err != nil {
			return err
		}
		line, err := m.in.ReadLine()
		if err != nil {
			return err
		}
		verb, after, _ := strings.Cut(string(line), " ")
		if rest = after; !strings.EqualFold(verb, "BDAT") {
			m.reset()
			return m.say("503 5.5.2 Bad sequence of commands")
		}
	}
}

// submit decides about a message that has come whole, as Exchange does: at the end of it.
func (m *smtpSession) submit(content []byte, crowded bool) error {
	defer m.reset()
	if answered, err := m.fault(tenant.SMTPEnd); answered {
		return err
	}
	header, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(content)))
	from := ""
	if err == nil {
		from = headerAddress(header.Get("From"))
	}
	switch {
	case crowded:
		return m.say("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=%s]", host)
	case from == "":
		return m.say("550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant")
	}
	for _, sender := range []string{m.sender, from} {
		if sender != "" && !m.server.config.Tenant.MaySendAs(m.mailbox, sender) {
			return m.say("554 5.2.252 SendAsDenied; %s not allowed to send as %s; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message [BeginDiagnosticData]Cannot submit message. 0.35250:0A00DE00[EndDiagnosticData] [Hostname=%s]", m.mailbox, sender, host)
		}
	}
	if refusal := m.server.submission.admit(m.mailbox, len(m.recipients), time.Now()); refusal != "" {
		return m.refuse(refusal)
	}
	id := header.Get("Message-Id")
	if id == "" {
		id = "<" + newID(16) + "@" + host + ">"
		content = append([]byte("Message-ID: "+id+"\r\n"), content...)
	}
	m.server.deliver(m.mailbox, m.sender, m.recipients, withoutBcc(content))
	if answered, err := m.fault(tenant.SMTPSent); answered {
		return err
	}
	return m.say("250 2.0.0 OK %s [Hostname=%s]", id, host)
}

// headerAddress gives the address of a From field; empty when there is none, or not exactly one.
func headerAddress(field string) string {
	list, err := mail.ParseAddressList(field)
	if err != nil || len(list) != 1 {
		return ""
	}
	return list[0].Address
}

// withoutBcc takes the Bcc field out of a header.
func withoutBcc(content []byte) []byte {
	header, body, found := bytes.Cut(content, []byte("\r\n\r\n"))
	lines := bytes.Split(header, []byte("\r\n"))
	kept, dropping := lines[:0], false
	for _, line := range lines {
		if len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			dropping = strings.EqualFold(string(name), "Bcc")
		}
		if !dropping {
			kept = append(kept, line)
		}
	}
	if len(kept) == len(lines) || !found {
		return content
	}
	return bytes.Join([][]byte{bytes.Join(kept, []byte("\r\n")), body}, []byte("\r\n\r\n"))
}

// deliver stores a submitted message: in the sender's Sent Items, and with every recipient who is in the tenant.
func (s *Server) deliver(mailbox, sender string, recipients []string, content []byte) {
	defer s.store.lock()()
	now := time.Now()
	s.store.append(s.store.mailbox(mailbox).folder("Sent Items"), content, seenFlag, now)
	for _, recipient := range recipients {
		if box, ok := s.config.Tenant.Mailbox(recipient); ok {
			s.store.append(s.store.mailbox(box.Address).folder("INBOX"), content, 0, now)
		} else {
			s.store.outside = append(s.store.outside, Outside{sender, recipient, content})
		}
	}
}

// errTooBig is a message over the limit; it has been read to its end.
var errTooBig = errors.New("message too big")

// readData reads a message to CRLF "." CRLF, and takes the dots away that the client doubled. It reports bare CRs and
// LFs. alive is called for every portion that comes.
func readData(in io.Reader, most int, alive func()) (content []byte, bare bool, err error) {
	source, ok := in.(interface {
		io.Reader
		Unread([]byte)
	})
	if !ok {
		return nil, false, fmt.Errorf("%T cannot take bytes back", in)
	}
	buffer := make([]byte, 64<<10)
	raw := []byte("\r\n")
	searched := 0
	tooBig := false
	for {
		alive()
		n, err := source.Read(buffer)
		if err != nil {
			return nil, false, err
		}
		raw = append(raw, buffer[:n]...)
		if end := bytes.Index(raw[searched:], []byte("\r\n.\r\n")); end >= 0 {
			end += searched
			source.Unread(bytes.Clone(raw[end+5:]))
			raw = raw[:end+2]
			break
		}
		searched = max(0, len(raw)-4)
		if len(raw) > most {
			tooBig = true
			raw = append(raw[:0], raw[searched:]...)
			searched = 0
		}
	}
	if tooBig {
		return nil, false, errTooBig
	}
	bare = hasBare(raw)
	content = bytes.ReplaceAll(raw, []byte("\r\n."), []byte("\r\n"))[2:]
	return content, bare, nil
}

// hasBare reports whether a CR or an LF is not part of CRLF.
func hasBare(b []byte) bool {
	return bytes.Count(b, []byte("\n")) != bytes.Count(b, []byte("\r\n")) || bytes.Count(b, []byte("\r")) != bytes.Count(b, []byte("\r\n"))
}
