package exchange

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bufio"

	"github.com/emersion/go-message/textproto"
)

// criterion reports whether a message is looked for. largest is what * stands for in sets of numbers and of UIDs.
type criterion func(n numbered, largest [2]uint32) bool

// search answers SEARCH (RFC 3501 section 6.4.4).
func (i *imapSession) search(c *command) error { return i.searchBy(c, false) }

func (i *imapSession) searchBy(c *command, byUID bool) error {
	if err := c.space(); err != nil {
		return err
	}
	if rest, ok := cutPrefixFold(c.rest, "CHARSET "); ok {
		c.rest = rest
		charset, err := c.astring()
		if err != nil {
			return err
		}
		if !strings.EqualFold(charset, "UTF-8") && !strings.EqualFold(charset, "US-ASCII") {
			return i.line("%s NO [BADCHARSET (US-ASCII)] The specified charset is not supported.", c.tag)
		}
		if err := c.space(); err != nil {
			return err
		}
	}
	wanted, err := criteria(c, 0)
	if err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	all := i.pick(set{{1, 0}}, false)
	var largest [2]uint32
	if len(all) > 0 {
		largest = [2]uint32{uint32(all[len(all)-1].number), all[len(all)-1].message.uid}
	}
	found := "* SEARCH"
	for _, n := range all {
		if i.matches(wanted, n, largest) {
			number := uint32(n.number)
			if byUID {
				number = n.message.uid
			}
			found += fmt.Sprintf(" %d", number)
		}
	}
	if err := i.line("%s", found); err != nil {
		return err
	}
	return i.completed(c)
}

func (i *imapSession) matches(wanted criterion, n numbered, largest [2]uint32) bool {
	defer i.server.store.lock()()
	return wanted(n, largest)
}

func cutPrefixFold(b []byte, prefix string) ([]byte, bool) {
	if len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix) {
		return b[len(prefix):], true
	}
	return b, false
}

// criteria reads search keys up to a closing bracket or the end: all of them must hold.
func criteria(c *command, depth int) (criterion, error) {
	if depth > 20 {
		return nil, errArgument
	}
	var all []criterion
	for {
		one, err := key(c, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		if !c.skip(' ') {
			break
		}
	}
	return func(n numbered, largest [2]uint32) bool {
		for _, one := range all {
			if !one(n, largest) {
				return false
			}
		}
		return true
	}, nil
}

// key reads one search key.
func key(c *command, depth int) (criterion, error) {
	if c.skip('(') {
		inside, err := criteria(c, depth+1)
		if err == nil && !c.skip(')') {
			err = errArgument
		}
		return inside, err
	}
	if len(c.rest) > 0 && (c.rest[0] == '*' || c.rest[0] >= '0' && c.rest[0] <= '9') {
		word, err := c.pattern(`(){%"\`)
		if err != nil {
			return nil, err
		}
		numbers, err := parseSet(word)
		return func(n numbered, largest [2]uint32) bool { return numbers.contains(uint32(n.number), largest[0]) }, err
	}
	word, _ := c.word()
	word = strings.ToUpper(word)
	if flag, wanted, ok := flagKey(word); ok {
		return func(n numbered, _ [2]uint32) bool { return n.message.flags&flag == wanted }, nil
	}
	switch word {
	case "ALL", "OLD":
		return func(numbered, [2]uint32) bool { return true }, nil
	case "NEW", "RECENT": // nothing is ever recent here
		return func(numbered, [2]uint32) bool { return false }, nil
	case "NOT":
		if err := c.space(); err != nil {
			return nil, err
		}
		one, err := key(c, depth+1)
		return func(n numbered, largest [2]uint32) bool { return !one(n, largest) }, err
	case "OR":
		return orKey(c, depth)
	case "UID":
		numbers, err := c.set()
		return func(n numbered, largest [2]uint32) bool { return numbers.contains(n.message.uid, largest[1]) }, err
	case "KEYWORD", "UNKEYWORD":
		keyword, err := c.argument()
		has := newFlagSet([]string{keyword})
		return func(n numbered, _ [2]uint32) bool {
			return (has != 0 && n.message.flags&has != 0) == (word == "KEYWORD")
		}, err
	case "LARGER", "SMALLER":
		return sizeKey(c, word)
	case "BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE":
		return dateKey(c, word)
	}
	return textKey(c, word)
}

// flagKey gives the flag that a key is about, and its wanted value.
func flagKey(word string) (flag, wanted flagSet, ok bool) {
	name, without := strings.CutPrefix(word, "UN")
	flag = newFlagSet([]string{`\` + name})
	if flag == 0 {
		return 0, 0, false
	}
	if !without {
		wanted = flag
	}
	return flag, wanted, true
}

func orKey(c *command, depth int) (criterion, error) {
	var both [2]criterion
	for n := range both {
		if err := c.space(); err != nil {
			return nil, err
		}
		var err error
		if both[n], err = key(c, depth+1); err != nil {
			return nil, err
		}
	}
	return func(n numbered, largest [2]uint32) bool { return both[0](n, largest) || both[1](n, largest) }, nil
}

func sizeKey(c *command, word string) (criterion, error) {
	text, err := c.argument()
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(text)
	if err != nil {
		return nil, errArgument
	}
	return func(n numbered, _ [2]uint32) bool {
		if word == "LARGER" {
			return len(n.message.content) > size
		}
		return len(n.message.content) < size
	}, nil
}

// dateKey compares dates without their times and zones (RFC 3501 section 6.4.4).
func dateKey(c *command, word string) (criterion, error) {
	text, err := c.argument()
	if err != nil {
		return nil, err
	}
	day, err := parseDate(text)
	if err != nil {
		return nil, err
	}
	word, sent := strings.CutPrefix(word, "SENT")
	return func(n numbered, _ [2]uint32) bool {
		at := n.message.date
		if sent {
			header := headerOf(n.message.content)
			parsed, err := parseHeaderDate(header.Get("Date"))
			if err != nil {
				return false
			}
			at = parsed
		}
		at = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		switch word {
		case "BEFORE":
			return at.Before(day)
		case "ON":
			return at.Equal(day)
		}
		return !at.Before(day)
	}, nil
}

func parseHeaderDate(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errArgument
}

func headerOf(content []byte) textproto.Header {
	header, _ := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(content)))
	return header
}

// textKey looks for text: in named header fields, in the body, or anywhere.
func textKey(c *command, word string) (criterion, error) {
	field := ""
	switch word {
	case "HEADER":
		var err error
		if field, err = c.argument(); err != nil {
			return nil, err
		}
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		field = word
	case "BODY", "TEXT":
	default:
		return nil, errArgument
	}
	text, err := c.argument()
	if err != nil {
		return nil, err
	}
	needle := bytes.ToLower([]byte(text))
	return func(n numbered, _ [2]uint32) bool {
		if field != "" {
			return fieldHas(n.message.content, field, string(needle))
		}
		content := n.message.content
		if _, body, found := bytes.Cut(content, []byte("\r\n\r\n")); found && word == "BODY" {
			content = body
		}
		return bytes.Contains(bytes.ToLower(content), needle)
	}, nil
}

func fieldHas(content []byte, field, needle string) bool {
	header := headerOf(content)
	for fields := header.FieldsByKey(field); fields.Next(); {
		if strings.Contains(strings.ToLower(fields.Value()), needle) {
			return true
		}
	}
	return false
}
