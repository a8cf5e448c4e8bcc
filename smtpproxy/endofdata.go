package smtpproxy

import "bytes"

// endOfData finds where a message ends (RFC 5321 section 4.1.1.4): at CRLF "." CRLF and nowhere else, however its bytes
// come in portions. The dots that the client doubled stay doubled, since upstream undoes it.
//
// It also finds a bare CR or LF, which one server takes for a line end and the next does not: through that difference
// one message becomes two. No message that has one is passed on.
//
// The zero value is at the start of a message.
type endOfData struct {
	state endState
	bare  bool // a bare CR or LF has been seen
}

// endState is where in a line the next byte is.
type endState uint8

const (
	lineStart endState = iota // after CRLF, and at the start of the message
	afterDot                  // behind a dot at the start of a line
	afterDotCR
	inLine
	afterCR
)

// scan looks at the next portion. It gives the number of bytes of it that belong to the message, the end itself
// included, and whether the message has ended.
//
// It goes from LF to LF and sees to it that a CR stands before each. If there are as many CRs then as LFs, none of them is bare:
// counting both is much faster than looking at each.
func (e *endOfData) scan(p []byte) (n int, ended bool) {
	begun := e.undecided()
	n, ended = e.advance(p)
	if crs := begun + bytes.Count(p[:n], cr); crs != bytes.Count(p[:n], lf)+e.undecided() {
		e.bare = true
	}
	return n, ended
}

var cr, lf = []byte{'\r'}, []byte{'\n'}

// advance goes through the next portion, up to the end of the message. A bare CR within a line it does not see.
func (e *endOfData) advance(p []byte) (n int, ended bool) {
	for n < len(p) {
		switch e.state {
		case inLine:
			n += e.skipLine(p[n:])
			continue
		case lineStart:
			if p[n] == '.' {
				e.state = afterDot
			} else {
				e.within(p[n])
			}
		case afterDot:
			if p[n] == '\r' {
				e.state = afterDotCR
			} else {
				e.within(p[n])
			}
		case afterDotCR:
			if p[n] == '\n' {
				e.state = lineStart
				return n + 1, true
			}
			e.bare = true
			e.within(p[n])
		case afterCR:
			if p[n] == '\n' {
				e.state = lineStart
			} else {
				e.bare = true
				e.within(p[n])
			}
		}
		n++
	}
	return n, false
}

// undecided is the number of bytes at the end of what has been scanned, at most one, of which it is not known yet
// whether they are bare: a CR whose LF has not come.
func (e *endOfData) undecided() int {
	if e.state == afterCR || e.state == afterDotCR {
		return 1
	}
	return 0
}

// within takes a byte that is no part of a line end begun earlier.
func (e *endOfData) within(b byte) {
	switch b {
	case '\r':
		e.state = afterCR
	case '\n':
		e.bare = true
		e.state = inLine
	default:
		e.state = inLine
	}
}

// skipLine passes over the rest of a line and its LF; without one, over all of it but a CR at its end, which may have its LF
// still to come.
func (e *endOfData) skipLine(p []byte) int {
	n := bytes.IndexByte(p, '\n')
	switch {
	case n < 0 && p[len(p)-1] == '\r':
		e.state = afterCR
		return len(p)
	case n < 0:
		return len(p)
	case n == 0 || p[n-1] != '\r':
		e.bare = true
		return n + 1
	}
	e.state = lineStart
	return n + 1
}
