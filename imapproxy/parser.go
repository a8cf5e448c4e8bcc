package imapproxy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// syntaxError is a command that cannot be understood. Its text is for the client and never repeats what the client
// sent.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

// errLiteralTooBig is a literal over the parser's bound. It was not read.
var errLiteralTooBig = errors.New("literal too big")

const (
	// maxLine is the longest command line in bytes: an AUTHENTICATE with an initial response fits (RFC 4954 asks
	// for 12288 octets of SMTP; the same clients speak here).
	maxLine = 16 << 10
	// maxLiteral is the longest literal in bytes before sign-in: a user name, a password, a field of ID.
	maxLiteral = 1024
	// maxLiterals is how many literals one command may have before sign-in.
	maxLiterals = 8
	// maxTag is the longest tag in bytes.
	maxTag = 64
)

// parser reads one command of a client that has not signed in (RFC 9051 section 9). The line is its caller's; literals
// are fetched as the grammar comes to them.
type parser struct {
	rest []byte
	// literal answers for a literal of size bytes that the line ends in: it lets the client send it, where the
	// client waits for that, and gives the literal and the line that follows it.
	literal  func(size int, waits bool) (literal, rest []byte, err error)
	literals int
}

// tag reads the tag and the space behind it (RFC 9051: 1*<any ASTRING-CHAR except "+">).
func (p *parser) tag() (string, error) {
	tag := p.take(func(c byte) bool { return isAstringChar(c) && c != '+' })
	if tag == "" || len(tag) > maxTag {
		return "", syntaxError("Invalid tag")
	}
	return tag, p.space()
}

// command reads the name of the command, in upper case.
func (p *parser) command() (string, error) {
	name := p.take(isAtomChar)
	if name == "" {
		return "", syntaxError("No command")
	}
	return strings.ToUpper(name), nil
}

// space reads one space.
func (p *parser) space() error {
	if !p.skip(' ') {
		return syntaxError("Missing argument")
	}
	return nil
}

// end demands that the command ends here.
func (p *parser) end() error {
	if len(p.rest) > 0 {
		return syntaxError("Unexpected argument")
	}
	return nil
}

// astring reads an atom, a quoted string or a literal.
func (p *parser) astring() (string, error) {
	if len(p.rest) > 0 && (p.rest[0] == '"' || p.rest[0] == '{') {
		return p.string()
	}
	if s := p.take(isAstringChar); s != "" {
		return s, nil
	}
	return "", syntaxError("Invalid argument")
}

// string reads a quoted string or a literal.
func (p *parser) string() (string, error) {
	switch {
	case p.skip('"'):
		return p.quoted()
	case p.skip('{'):
		return p.literalString()
	}
	return "", syntaxError("Invalid string")
}

// quoted reads the rest of a quoted string. Only \" and \\ are escapes; CR and LF cannot be here.
func (p *parser) quoted() (string, error) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case c == '\\':
			i++
			if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", syntaxError("Invalid escape in quoted string")
			}
			b.WriteByte(p.rest[i])
		case c == 0:
			return "", syntaxError("NUL in quoted string")
		default:
			b.WriteByte(c)
		}
	}
	return "", syntaxError("Quoted string without end")
}

// literalString reads the rest of a literal: its size, an optional + (RFC 7888), and the bytes behind the line.
func (p *parser) literalString() (string, error) {
	spec, ok := bytes.CutSuffix(p.rest, []byte("}"))
	if !ok {
		return "", syntaxError("Invalid literal")
	}
	digits, waits := spec, true
	if n := len(spec); n > 0 && spec[n-1] == '+' {
		digits, waits = spec[:n-1], false
	}
	size, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil {
		return "", syntaxError("Invalid literal size")
	}
	p.literals++
	if size > maxLiteral || p.literals > maxLiterals {
		return "", fmt.Errorf("%w: %d bytes", errLiteralTooBig, size)
	}
	literal, rest, err := p.literal(int(size), waits)
	if err != nil {
		return "", err
	}
	p.rest = rest
	if bytes.IndexByte(literal, 0) >= 0 {
		return "", syntaxError("NUL in literal")
	}
	return string(literal), nil
}

// skipLiterals reads away what belongs to a command that is not taken: literals that the client sends without being asked
// (RFC 7888), and the lines behind them. They are never commands themselves. A literal that waits is not sent after a
// refusal.
func (p *parser) skipLiterals() error {
	for {
		open := bytes.LastIndexByte(p.rest, '{')
		if open < 0 || !bytes.HasSuffix(p.rest, []byte("+}")) {
			return nil
		}
		digits := string(p.rest[open+1 : len(p.rest)-len("+}")])
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return nil
		}
		size, err := strconv.ParseUint(digits, 10, 31)
		if p.literals++; err != nil || size > maxLiteral || p.literals > maxLiterals {
			return fmt.Errorf("%w: %s bytes", errLiteralTooBig, digits)
		}
		_, rest, err := p.literal(int(size), false)
		if syntax := syntaxError(""); errors.As(err, &syntax) {
			return nil // the line behind it was no line, and is read away
		}
		if err != nil {
			return err
		}
		p.rest = rest
	}
}

// nstring reads a string or NIL, which it gives as the empty string.
func (p *parser) nstring() (string, error) {
	if len(p.rest) >= 3 && strings.EqualFold(string(p.rest[:3]), "NIL") {
		p.rest = p.rest[3:]
		return "", nil
	}
	return p.string()
}

// skip reads c if it is next.
func (p *parser) skip(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// take reads the bytes for which is holds.
func (p *parser) take(is func(byte) bool) string {
	i := 0
	for i < len(p.rest) && is(p.rest[i]) {
		i++
	}
	taken := string(p.rest[:i])
	p.rest = p.rest[i:]
	return taken
}

// isAtomChar is ATOM-CHAR of RFC 9051 section 9: no atom-specials.
func isAtomChar(c byte) bool {
	return c > 0x20 && c < 0x7f && strings.IndexByte(`(){%*"\]`, c) < 0
}

// isAstringChar is ASTRING-CHAR: ATOM-CHAR and the closing bracket.
func isAstringChar(c byte) bool { return isAtomChar(c) || c == ']' }

const (
	// maxIDFields is how many fields RFC 2971 section 3.3 allows an ID command.
	maxIDFields = 30
	// maxIDField is the longest field that is kept, in bytes (RFC 2971: values of at most 1024).
	maxIDField = 128
)

// idFields reads the arguments of ID (RFC 2971): NIL or a list of pairs. Names are in lower case; long values are cut.
func (p *parser) idFields() (map[string]string, error) {
	if err := p.space(); err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	if !p.skip('(') {
		value, err := p.nstring()
		if err == nil && value != "" {
			err = syntaxError("Invalid argument")
		}
		if err != nil {
			return nil, err
		}
		return fields, p.end()
	}
	for !p.skip(')') {
		if len(fields) == maxIDFields {
			return nil, syntaxError("Too many fields")
		}
		name, value, err := p.idField()
		if err != nil {
			return nil, err
		}
		fields[strings.ToLower(name)] = value[:min(len(value), maxIDField)]
		p.skip(' ')
	}
	return fields, p.end()
}

func (p *parser) idField() (name, value string, err error) {
	if name, err = p.string(); err != nil {
		return "", "", err
	}
	if err = p.space(); err != nil {
		return "", "", err
	}
	value, err = p.nstring()
	return name, value, err
}
