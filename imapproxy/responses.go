package imapproxy

import (
	"bytes"
	"slices"
	"strings"
)

// responses follows what upstream sends from response to response: it knows where lines and literals end (RFC 9051
// section 2.2.2), and nothing of what is in them.
type responses struct {
	place    place
	untagged bool   // the response may hold a literal
	kept     []byte // of the line, for the announcement at its end
	literal  int64  // bytes of a literal that are still to come
}

// place is where in upstream's responses the next byte belongs.
type place int

const (
	atStart place = iota // of a response; whoever has found out of which kind it is sets untagged and inLine
	inLine
	inLiteral
)

// through goes to the end of the line or the literal, or of p, and gives how far that is.
func (r *responses) through(p []byte) int {
	if r.place == inLiteral {
		n := int(min(r.literal, int64(len(p))))
		if r.literal -= int64(n); r.literal == 0 {
			r.place = inLine
		}
		return n
	}
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		r.kept = keep(r.kept, p)
		return len(p)
	}
	line := withoutCR(p[:end])
	if len(r.kept) > 0 {
		_, line = edges(keep(r.kept, p[:end]))
	}
	r.place = atStart
	if literal, ok := announced(line); ok && r.untagged {
		r.literal, r.place = literal.size, inLiteral
		if literal.size == 0 {
			r.place = inLine
		}
	}
	r.kept = r.kept[:0]
	return end + 1
}

// isStatus reports whether the second word of an untagged response makes it a status. The text of one may look as if it
// ended in a literal, and does not (RFC 9051 section 9, resp-text).
func isStatus(word string) bool {
	return slices.Contains([]string{"OK", "NO", "BAD", "BYE", "PREAUTH"}, strings.ToUpper(word))
}
