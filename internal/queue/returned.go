package queue

import (
	"bytes"
	"io"
	"strings"
)

// maxReturned is the largest message in bytes that goes back with a report whole, where its sender asked for that. Of a
// larger one the header goes back, as RFC 3461 section 6.2 leaves to who reports.
const maxReturned = 256 << 10

// returned is the part of a report that gives a message back to its sender.
type returned struct {
	kind, encoding string // Content-Type and Content-Transfer-Encoding
	text           []byte
}

// returned reads what goes back with a report: all of a message that failed with RET=FULL, and otherwise its header (RFC
// 3461 section 4.3).
func (m *Message) returned(kind reportKind, content io.Reader) (returned, error) {
	if kind != failed || !strings.EqualFold(m.Ret, "FULL") || m.Size > maxReturned {
		text, err := header(content)
		return returned{"text/rfc822-headers", "quoted-printable", text}, err
	}
	stuffed, err := io.ReadAll(content)
	if err != nil {
		return returned{}, err
	}
	r := returned{"message/rfc822", "7bit", unstuff(stuffed)}
	if !isASCII(string(r.text)) { // a message within a message may not be encoded (RFC 2046 section 5.2.1)
		r.encoding = "8bit"
	}
	if head, _, _ := bytes.Cut(r.text, []byte("\r\n\r\n")); !isASCII(string(head)) { // RFC 6533 section 4
		r.kind = "message/global"
	}
	return r, nil
}

// unstuff undoes [stuff]: it gives a message without its end, and with the dots as they were.
func unstuff(content []byte) []byte {
	var text []byte
	for line := range bytes.Lines(bytes.TrimSuffix(content, []byte(".\r\n"))) {
		text = append(text, bytes.TrimPrefix(line, []byte("."))...)
	}
	return text
}
