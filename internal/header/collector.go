package header

import "bytes"

// Collector gathers the header block of a message that comes in portions, however they are cut. The portions are of the
// wire: every line end is CRLF and the message ends with its dot. The zero value is at the start of a message.
//
// A stray line is no field and continues none. Some receivers take it for the body's first line; others pass it over and
// read on, so that a field behind it counts to them. A collector stops there, or with KeepStray goes on to the empty line.
type Collector struct {
	// KeepStray has stray lines be part of the block, as fields without a name.
	KeepStray bool

	held []byte // what has come so far, in memory of the collector's own
	line int    // where in it the line begins that is not whole yet
	any  bool   // there is a line already
}

// Add takes the next portion. Once the block has come whole, done is true, rest is what stands behind the block,
// beginning with what ended it, and the collector is of no more use. Block and rest are valid while p is.
//
// Errors: [ErrTooLarge].
func (c *Collector) Add(p []byte) (block Block, rest []byte, done bool, err error) {
	text := p
	if c.held != nil {
		c.held = append(c.held, p...)
		text = c.held
	}
	for {
		lf := bytes.IndexByte(text[c.line:], '\n')
		if lf < 0 || c.line+lf >= MaxBlock {
			break
		}
		next := c.line + lf + 1
		ending, ended := c.look(text[c.line:next])
		if ended {
			return Block{Fields: fields(text[:c.line]), Ending: ending}, text[c.line:], true, nil
		}
		c.line = next
	}
	if len(text) > MaxBlock {
		return Block{}, nil, false, ErrTooLarge
	}
	if c.held == nil {
		c.held = append(make([]byte, 0, 2*len(p)), p...)
	}
	return Block{}, nil, false, nil
}

// look reports whether a whole line ends the block, and how.
func (c *Collector) look(line []byte) (Ending, bool) {
	switch logical := unstuff(line); {
	case string(line) == ".\r\n":
		return Message, true
	case string(line) == "\r\n":
		return Blank, true
	case c.KeepStray:
	case logical[0] == ' ' || logical[0] == '\t':
		if !c.any {
			return Stray, true
		}
	case fieldName(logical) == "":
		return Stray, true
	}
	c.any = true
	return 0, false
}

// fieldName gives the name of the field that a line begins; empty for a stray line. White space before the colon
// is obsolete syntax (RFC 5322 section 4.5) that receivers understand.
func fieldName(line []byte) string {
	name, _, found := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !found || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return string(name)
}

// fields cuts a block of whole lines into its fields.
func fields(text []byte) []Field {
	var list []Field
	start := 0
	for at := 0; at < len(text); {
		next := at + bytes.IndexByte(text[at:], '\n') + 1
		if logical := unstuff(text[at:next]); at == 0 || logical[0] != ' ' && logical[0] != '\t' {
			start = at
			list = append(list, Field{Name: fieldName(logical)})
		}
		list[len(list)-1].raw = text[start:next:next]
		at = next
	}
	return list
}
