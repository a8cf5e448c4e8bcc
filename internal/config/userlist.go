package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A file of a hundred thousand users is nearly all list of users, and the YAML library takes 12 KB and 50 µs for one of
// them. So the list is read apart from the rest, entry by entry: those that are simple (plainEntry) directly, others by the
// library, a few at a time. What comes out is the same, as the tests compare. Where it might not be, for want of a list
// with one entry behind the other, for a mistake in the syntax, an anchor, a tag or an empty value, the file is read as a whole.

// userList is the list of users of a file, and what the file has besides.
type userList struct {
	rest    []byte // the file with an empty list of users, and as many lines
	line    int    // of users:
	column  int    // where the entries begin, from 1
	entries []entryText
}

// entryText is one entry of the list as it stands in the file.
type entryText struct {
	text string // whole lines
	line int    // of its first
}

// placesOfUser is how many places are remembered for an ordinary user: of the entry and of its settings.
const placesOfUser = 6

// pieceSize is how many entries the YAML library gets at once.
const pieceSize = 100

// decodeUsersApart decodes a file whose list of users can be read apart, and reports whether it can.
func decodeUsersApart(file string, content []byte) (*Config, *decoder, bool) {
	list, ok := splitUsers(content)
	if !ok {
		return nil, nil, false
	}
	c, d := decodeWhole(file, list.rest)
	if c == nil || d.dangling || c.Users == nil || len(c.Users) > 0 || d.positions["users"].line != list.line {
		return nil, nil, false
	}
	positions := make(map[string]place, len(d.positions)+placesOfUser*len(list.entries))
	maps.Copy(positions, d.positions)
	positions["users"] = place{list.entries[0].line, list.column}
	d.positions = positions
	c.Users = make([]User, len(list.entries))
	return c, d, d.fillUsers(c.Users, list.entries)
}

// splitUsers takes the list of users out of a file. It reports false for a file in which it does not stand as people
// write it: users: at the beginning of a line, and one entry behind the other below it.
func splitUsers(content []byte) (userList, bool) {
	const key = "users:"
	begin := 0
	if !bytes.HasPrefix(content, []byte(key)) {
		begin = bytes.Index(content, []byte("\n"+key)) + 1
	}
	after := begin + len(key)
	if begin == 0 && !bytes.HasPrefix(content, []byte(key)) || bytes.IndexByte(content, '\r') >= 0 ||
		bytes.Contains(content[after:], []byte("\n"+key)) {
		return userList{}, false
	}
	list := userList{line: 1 + bytes.Count(content[:begin], []byte("\n"))}
	text := string(content[after:])
	first, text, _ := strings.Cut(text, "\n")
	if strings.Trim(first, " ") != "" {
		return userList{}, false
	}
	tail, ok := list.cut(text)
	if !ok {
		return userList{}, false
	}
	var rest bytes.Buffer
	rest.Write(content[:after])
	rest.WriteString(" []\n")
	rest.WriteString(strings.Repeat("\n", strings.Count(text[:len(text)-len(tail)], "\n")))
	rest.WriteString(tail)
	list.rest = rest.Bytes()
	return list, true
}

// cut cuts the text behind users: into entries, and gives what follows them.
func (l *userList) cut(text string) (tail string, ok bool) {
	line, indent := l.line, -1
	begin, beginLine := 0, 0
	add := func(end int) {
		if beginLine > 0 {
			l.entries = append(l.entries, entryText{text[begin:end], beginLine})
		}
	}
	at := 0
	for at < len(text) {
		line++
		end := at + len(text[at:])
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		words := strings.TrimLeft(text[at:end], " ")
		depth := end - at - len(words)
		switch {
		case words == "" || words[0] == '\n' || words[0] == '#':
		case strings.HasPrefix(words, "- ") && (indent < 0 || depth == indent):
			add(at)
			indent, begin, beginLine = depth, at, line
		case indent < 0 || depth > 0 && depth <= indent:
			return "", false
		case depth == 0:
			add(at)
			l.column = indent + 1
			return text[at:], true
		}
		at = end
	}
	add(len(text))
	l.column = indent + 1
	return "", len(l.entries) > 0
}

// fillUsers fills the users from their entries. It reports false when the file has to be read as a whole.
func (d *decoder) fillUsers(users []User, entries []entryText) bool {
	d.depth = 2 // users and the file itself are around them
	defer func() { d.depth = 0 }()
	var reader plainReader
	for i := 0; i < len(entries); {
		if node, ok := reader.entry(entries[i]); ok {
			d.fill(node, reflect.ValueOf(&users[i]).Elem(), fmt.Sprintf("users[%d]", i))
			i++
			continue
		}
		n := 1
		for n < pieceSize && i+n < len(entries) {
			if _, ok := reader.entry(entries[i+n]); ok {
				break
			}
			n++
		}
		if !d.fillPiece(users[i:i+n], entries[i:i+n], i) {
			return false
		}
		i += n
	}
	return true
}

// fillPiece fills users that stand one behind the other, of whom the first has an index, by the YAML library.
func (d *decoder) fillPiece(users []User, entries []entryText, index int) bool {
	var text strings.Builder
	for _, e := range entries {
		text.WriteString(e.text)
	}
	if strings.Contains(text.String(), "!") { // a tag: the library may read on into the next line for what it is of
		return false
	}
	parsed, err := parser.ParseBytes([]byte(text.String()), 0, parser.AllowDuplicateMapKey())
	if err != nil || len(parsed.Docs) != 1 {
		return false
	}
	sequence, ok := parsed.Docs[0].Body.(*ast.SequenceNode)
	if !ok || len(sequence.Values) != len(users) {
		return false
	}
	d.shift, d.dependent = entries[0].line-1, false
	defer func() { d.shift = 0 }()
	for i, node := range sequence.Values {
		d.fill(node, reflect.ValueOf(&users[i]).Elem(), fmt.Sprintf("users[%d]", index+i))
	}
	return !d.dependent
}
