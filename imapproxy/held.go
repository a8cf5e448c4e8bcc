package imapproxy

import (
	"bytes"
	"fmt"
)

// heldCommand gives a parser what is held of a command: lines and literals.
type heldCommand struct {
	rest []byte // behind the line that was given last
	at   int    // where rest begins
	ends []literalEnds
}

// literalEnds are where a literal begins and ends in the command that is held.
type literalEnds struct{ from, to int }

// wantedLiteral is a literal that the command needs to be judged, and that has not come.
type wantedLiteral struct {
	size  int
	waits bool
}

func (w wantedLiteral) Error() string { return fmt.Sprintf("needs a literal of %d bytes", w.size) }

// nextLine gives the next line without its line end.
func (h *heldCommand) nextLine() []byte {
	line, rest, _ := bytes.Cut(h.rest, []byte("\n"))
	h.at, h.rest = h.at+len(line)+1, rest
	return withoutCR(line)
}

// literal gives the literal behind the line that was given last, and the line behind it.
func (h *heldCommand) literal(size int, waits bool) (literal, rest []byte, err error) {
	if len(h.rest) == 0 {
		return nil, nil, wantedLiteral{size, waits}
	}
	literal = h.rest[:size]
	h.ends = append(h.ends, literalEnds{h.at, h.at + size})
	h.at, h.rest = h.at+size, h.rest[size:]
	return literal, h.nextLine(), nil
}

// wellFormed reports whether a line with its line end is one to everybody who reads it: it has no other line end in it,
// no NUL, and if it ends as if it announced a literal, it does.
func wellFormed(line []byte) bool {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.ContainsAny(text, "\r\n\x00") {
		return false
	}
	literal, ok := announced(text)
	if !ok {
		return !bytes.HasSuffix(text, []byte("}"))
	}
	zero := bytes.HasPrefix(text[bytes.LastIndexByte(text, '{'):], []byte("{0"))
	return literal.size <= maxSize && (literal.size == 0 || !zero) // no leading zeros, which mean octal to some
}

// maxSize is the largest literal in a restricted session, in bytes: every server reads this number as it is.
const maxSize = 1<<31 - 1

// announcedBy is announced for a line with its line end.
func announcedBy(line []byte) (announcement, bool) {
	return announced(withoutCR(bytes.TrimSuffix(line, []byte("\n"))))
}
