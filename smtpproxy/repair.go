package smtpproxy

// repair is the framing of listeners that forgive lines that end in LF alone: every line goes on with CRLF. A CR without
// its LF is forgiven nowhere.
//
// From a client that ends its commands in CRLF, a message ends at CRLF "." CRLF and nowhere else, as ever. A dot behind a
// bare LF stands at the start of a line once that is repaired, where it did not for the client: it gets its second dot,
// so that nothing within the message is its end, here or upstream (threat model I-06).
type repair struct {
	// lines: the client ended DATA itself in LF, and so ends all its lines: LF is as good as CRLF to it.
	lines bool

	state endState
	bare  bool
	out   []byte
}

// afterLF is behind a bare LF, in addition to the states of [endOfData].
const afterLF endState = 100

// take implements framing. It holds nothing back in p.
func (r *repair) take(p []byte, _ int) (portion []byte, used int, ended bool) {
	r.out = r.out[:0]
	for i, b := range p {
		if r.next(b) {
			return r.out, i + 1, true
		}
	}
	return r.out, len(p), false
}

func (r *repair) undecided() int { return 0 }

func (r *repair) isBare() bool { return r.bare }

// next takes a byte, and reports whether it ends the message. A CR goes out with its LF.
func (r *repair) next(b byte) (ended bool) {
	switch {
	case b == '\n':
		return r.endLine()
	case r.state == afterCR, r.state == afterDotCR: // a CR, and no LF
		r.bare = true
		r.state = inLine
	case b == '\r' && r.state == afterDot:
		r.state = afterDotCR
	case b == '\r':
		r.state = afterCR
	case b == '.' && r.state == lineStart:
		r.state = afterDot
		r.out = append(r.out, '.')
	case b == '.' && r.state == afterLF:
		r.state = inLine
		r.out = append(r.out, '.', '.')
	default:
		r.state = inLine
		r.out = append(r.out, b)
	}
	return false
}

// endLine takes an LF.
func (r *repair) endLine() (ended bool) {
	whole := r.state == afterCR || r.state == afterDotCR
	if r.state == afterDotCR || r.state == afterDot && r.lines {
		ended = true
	} else if r.state == afterDot { // "." and a bare LF: a line of text
		r.out = append(r.out, '.')
	}
	r.out = append(r.out, '\r', '\n')
	r.state = afterLF
	if whole || r.lines {
		r.state = lineStart
	}
	return ended
}
