package smtpproxy

import (
	"slices"
	"strconv"
	"strings"
)

// reply is an SMTP reply (RFC 5321 section 4.2): a code and its lines of text, without their line ends. Each line of a
// reply of ours begins with an enhanced status code (RFC 3463) where one is due.
type reply struct {
	code  int
	lines []string
	// upstream says that it is upstream's, word for word.
	upstream bool
}

// say makes a reply of one line.
func say(code int, text string) reply { return reply{code: code, lines: []string{text}} }

// wire gives the reply as it is sent.
func (r reply) wire() string {
	var b strings.Builder
	for i, line := range r.lines {
		b.WriteString(strconv.Itoa(r.code))
		if i == len(r.lines)-1 {
			b.WriteByte(' ')
		} else {
			b.WriteByte('-')
		}
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	return b.String()
}

// and gives the reply with one line more, which has the same enhanced status code (RFC 2034 section 4).
func (r reply) and(line string) reply {
	if code := r.enhanced(); code != "" {
		line = code + " " + line
	}
	r.lines = append(slices.Clone(r.lines), line)
	return r
}

// text gives the reply in one line, for the log and the audit.
func (r reply) text() string { return strconv.Itoa(r.code) + " " + strings.Join(r.lines, " / ") }

// positive reports whether the reply is a positive completion, 2yz.
func (r reply) positive() bool { return r.code/100 == 2 }

// enhanced gives the enhanced status code that the reply begins with, such as 5.7.3; empty when there is none.
func (r reply) enhanced() string {
	code, _, _ := strings.Cut(r.lines[0], " ")
	if strings.Count(code, ".") == 2 {
		return code
	}
	return ""
}

// The replies that more than one place gives.
var (
	replyOK                 = say(250, "2.0.0 OK")
	replySenderOK           = say(250, "2.1.0 Sender OK")
	replyRecipientOK        = say(250, "2.1.5 Recipient OK")
	replySequence           = say(503, "5.5.1 Bad sequence of commands")
	replyNoRecipients       = say(554, "5.5.1 No valid recipients")
	replySyntax             = say(501, "5.5.4 Syntax error in parameters")
	replyLineTooLong        = say(500, "5.5.6 Line too long")
	replyUnknown            = say(500, "5.5.1 Unknown command")
	replyNoParameters       = say(501, "5.5.4 The command takes no parameters")
	replyTLSFirst           = say(530, "5.7.0 Must issue a STARTTLS command first")
	replyAuthFirst          = say(530, "5.7.0 Authentication required")
	replyTooManyBad         = say(421, "4.7.0 Too many bad commands")
	replyTooSlow            = say(421, "4.4.2 Too slow, closing the connection")
	replyStopping           = say(421, "4.3.2 The gateway is stopping, try again in a moment")
	replyTooBig             = say(552, "5.3.4 Message size exceeds fixed maximum message size")
	replyRecipientForbidden = say(550, "5.7.1 This login may not send to this recipient")
	replyBareLineEnd        = say(550, "5.6.11 The message has lines that do not end in CRLF, or a bare CR or LF within one")
	replyUpstreamBroken     = say(451, "4.4.2 The connection to Exchange Online broke, try again later")
	replyTrouble            = say(451, "4.3.0 The gateway cannot do this at the moment, try again later")
)
