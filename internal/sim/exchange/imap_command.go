package exchange

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postern/internal/wire"
)

const (
	// maxCommand is the longest command line in bytes; on-premises Exchange's default (reference C).
	maxCommand = 10240
	// maxLiteral is the largest literal in bytes: a message of 150 MiB.
	maxLiteral = 150 << 20
)

// errArgument is a command whose arguments are wrong.
var errArgument = errors.New("Command Argument Error. 11") //nolint:staticcheck // Exchange's words, for the wire

// command is one command as it came: its line, in which the literals are left out, and the literals.
type command struct {
	tag, name string
	rest      []byte   // what has not been parsed; "{n}\r\n" stands for a literal
	literals  [][]byte // that have not been parsed
}

// literalEnd is the announcement of a literal at the end of a line (RFC 3501 section 4.3, RFC 7888).
var literalEnd = regexp.MustCompile(`\{([0-9]{1,9})(\+?)\}$`)

// readCommand reads a command with its literals. ready lets the client send a literal for which it waits.
func readCommand(in *wire.Reader, ready func() error) (*command, error) {
	c := &command{}
	for {
		line, err := in.ReadLine()
		if err != nil {
			return nil, err
		}
		if len(c.rest)+len(line) > maxCommand {
			return nil, wire.ErrLineTooLong
		}
		c.rest = append(c.rest, line...)
		announced := literalEnd.FindSubmatch(line)
		if announced == nil {
			return c, c.begin()
		}
		size, _ := strconv.Atoi(string(announced[1]))
		if size > maxLiteral {
			return nil, wire.ErrLineTooLong
		}
		if len(announced[2]) == 0 {
			if err := ready(); err != nil {
				return nil, err
			}
		}
		literal, err := in.ReadLiteral(size)
		if err != nil {
			return nil, err
		}
		c.rest = append(c.rest, '\r', '\n')
		c.literals = append(c.literals, literal)
	}
}

// begin parses the tag and the name.
func (c *command) begin() error {
	var ok bool
	if c.tag, ok = c.word(); !ok {
		return errArgument
	}
	if !c.skip(' ') {
		return errArgument
	}
	c.name, ok = c.word()
	c.name = strings.ToUpper(c.name)
	if !ok {
		return errArgument
	}
	return nil
}

// word takes an atom.
func (c *command) word() (string, bool) {
	i := 0
	for i < len(c.rest) && c.rest[i] > ' ' && c.rest[i] < 0x7f && bytes.IndexByte([]byte(`(){%*"\]`), c.rest[i]) < 0 {
		i++
	}
	word := string(c.rest[:i])
	c.rest = c.rest[i:]
	return word, i > 0
}

func (c *command) skip(b byte) bool {
	if len(c.rest) == 0 || c.rest[0] != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// space demands a space, and end that there is nothing more.
func (c *command) space() error { return c.demand(c.skip(' ')) }
func (c *command) end() error   { return c.demand(len(c.rest) == 0) }

func (c *command) demand(ok bool) error {
	if !ok {
		return errArgument
	}
	return nil
}

// argument reads a space and an astring.
func (c *command) argument() (string, error) {
	if err := c.space(); err != nil {
		return "", err
	}
	return c.astring()
}

// astring reads an atom, a quoted string or a literal.
func (c *command) astring() (string, error) {
	if s, ok, err := c.string(); ok || err != nil {
		return s, err
	}
	return c.pattern(`(){%*"\`)
}

// pattern reads a word of any characters but those named, spaces and controls.
func (c *command) pattern(without string) (string, error) {
	i := 0
	for i < len(c.rest) && c.rest[i] > ' ' && c.rest[i] != 0x7f && strings.IndexByte(without, c.rest[i]) < 0 {
		i++
	}
	s := string(c.rest[:i])
	c.rest = c.rest[i:]
	return s, c.demand(i > 0)
}

// string reads a quoted string or a literal, if one is next.
func (c *command) string() (s string, ok bool, err error) {
	if len(c.rest) == 0 {
		return "", false, nil
	}
	switch c.rest[0] {
	case '"':
		s, err = c.quoted()
		return s, true, err
	case '{':
		literal, err := c.literal()
		return string(literal), true, err
	}
	return "", false, nil
}

func (c *command) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(c.rest); i++ {
		switch c.rest[i] {
		case '"':
			c.rest = c.rest[i+1:]
			return b.String(), nil
		case '\\':
			if i++; i == len(c.rest) {
				return "", errArgument
			}
		}
		b.WriteByte(c.rest[i])
	}
	return "", errArgument
}

func (c *command) literal() ([]byte, error) {
	end := bytes.Index(c.rest, []byte("}\r\n"))
	if !bytes.HasPrefix(c.rest, []byte("{")) || end < 0 || len(c.literals) == 0 {
		return nil, errArgument
	}
	literal := c.literals[0]
	c.rest, c.literals = c.rest[end+len("}\r\n"):], c.literals[1:]
	return literal, nil
}

// list reads "(" words ")", each by read.
func (c *command) list(read func() error) error {
	if !c.skip('(') {
		return errArgument
	}
	for first := true; !c.skip(')'); first = false {
		if !first {
			if err := c.space(); err != nil {
				return err
			}
		}
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// flagNames reads a list of flags, or flags without brackets to the end of the command, as STORE allows.
func (c *command) flagNames() ([]string, error) {
	var names []string
	one := func() error {
		backslash := ""
		if c.skip('\\') {
			backslash = `\`
		}
		word, ok := c.word()
		names = append(names, backslash+word)
		return c.demand(ok)
	}
	if len(c.rest) > 0 && c.rest[0] == '(' {
		return names, c.list(func() error { return one() })
	}
	for {
		if err := one(); err != nil {
			return nil, err
		}
		if !c.skip(' ') {
			return names, nil
		}
	}
}

// set is a sequence set (RFC 3501 section 9): ranges of numbers, in which 0 stands for *.
type set [][2]uint32

// set reads a space and a sequence set.
func (c *command) set() (set, error) {
	if err := c.space(); err != nil {
		return nil, err
	}
	word, err := c.pattern(`(){%"\`)
	if err != nil {
		return nil, err
	}
	return parseSet(word)
}

func parseSet(word string) (set, error) {
	var s set
	for part := range strings.SplitSeq(word, ",") {
		from, to, ranged := strings.Cut(part, ":")
		if !ranged {
			to = from
		}
		first, err1 := parseSetNumber(from)
		last, err2 := parseSetNumber(to)
		if err1 != nil || err2 != nil {
			return nil, errArgument
		}
		s = append(s, [2]uint32{first, last})
	}
	return s, nil
}

func parseSetNumber(word string) (uint32, error) {
	if word == "*" {
		return 0, nil
	}
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || n == 0 {
		return 0, errArgument
	}
	return uint32(n), nil
}

// contains reports whether the set has n, where largest is what * stands for.
func (s set) contains(n, largest uint32) bool {
	for _, r := range s {
		from, to := r[0], r[1]
		if from == 0 {
			from = largest
		}
		if to == 0 {
			to = largest
		}
		if from > to {
			from, to = to, from
		}
		if n >= from && n <= to {
			return true
		}
	}
	return false
}

// dateTime is the form of INTERNALDATE (RFC 3501 section 9, date-time).
const dateTime = "_2-Jan-2006 15:04:05 -0700"

// parseDate reads a date (RFC 3501 section 9), with or without quotes, as midnight UTC.
func parseDate(s string) (time.Time, error) {
	at, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		return time.Time{}, errArgument
	}
	return at, nil
}
