package smtpproxy

import (
	"io"

	"postern/internal/queue"
)

// An upstream that does not offer SMTPUTF8 gets no address and no header beyond ASCII. A message that has one is refused for
// good (RFC 6531 section 3.2): nobody can send it on as something else. One that was only announced with SMTPUTF8, and
// needs none of it, goes without the parameter.

var (
	replyUTF8Address = say(550, "5.6.7 Exchange Online does not take addresses beyond ASCII for this message")
	faultUTF8Header  = &fault{"utf8-header", say(550, "5.6.9 Exchange Online does not take a header beyond ASCII for this message")}
)

// takesUTF8 reports whether upstream offers SMTPUTF8.
func (s *submission) takesUTF8() bool {
	_, offered := s.extensions["SMTPUTF8"]
	return offered
}

// mail sends MAIL, with the parameters that upstream knows.
func (s *submission) mail(sender string, parameters []parameter) (reply, error) {
	if !s.takesUTF8() && !isASCIIText(sender) {
		return replyUTF8Address, nil
	}
	return s.complete(mailCommand(s, sender, parameters))
}

// rcpt sends RCPT, with what upstream knows of RFC 3461.
func (s *submission) rcpt(recipient queue.Recipient) (reply, error) {
	if !s.takesUTF8() && !isASCIIText(recipient.Address) {
		return replyUTF8Address, nil
	}
	return s.complete(rcptCommand(s, recipient))
}

// asciiHeader is a message's content that ends in faultUTF8Header where its header goes beyond ASCII.
type asciiHeader struct {
	content io.Reader
	inLine  bool // the present line has a byte: an empty one ends the header
	past    bool // the header has ended
}

// Read gives the next bytes, of which none beyond ASCII is part of the header.
func (a *asciiHeader) Read(p []byte) (int, error) {
	n, err := a.content.Read(p)
	for i := 0; i < n && !a.past; i++ {
		switch b := p[i]; {
		case b >= 0x80:
			return 0, faultUTF8Header
		case b == '\n':
			a.past, a.inLine = !a.inLine, false
		case b != '\r':
			a.inLine = true
		}
	}
	return n, err
}
