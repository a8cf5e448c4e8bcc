package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxSettings is how many settings an entry may have that is read directly: more than there are for a user.
const maxSettings = 20

// plainReader reads entries of a list that are simple: a name and a word for each setting, between braces on one line or
// each on a line of its own. A word is letters, digits and some signs, or stands between double quotes without an escape;
// no space follows it, for then the library has it one column further on.
// The node that it gives is what the YAML library would give, as far as the decoder looks. It holds until the next entry.
type plainReader struct {
	text  string
	at    int
	line  int // where at is, in the file
	begin int // where that line begins in text

	words   [2 * maxSettings]word // names and values in turns
	count   int                   // words so far
	pairs   [maxSettings]ast.MappingValueNode
	list    [maxSettings]*ast.MappingValueNode
	start   word // the brace, or the first colon
	mapping ast.MappingNode
}

// word is a node with its token and position, in one piece of memory.
type word struct {
	node     ast.StringNode
	token    token.Token
	position token.Position
}

// entry reads an entry, and reports whether it is simple.
func (r *plainReader) entry(e entryText) (ast.Node, bool) {
	r.text, r.at, r.line, r.begin, r.count = e.text, 0, e.line, 0, 0
	r.spaces()
	r.at++ // the dash: the list is cut at them
	r.spaces()
	read := r.block
	if r.mapping.IsFlowStyle = strings.HasPrefix(r.text[r.at:], "{"); r.mapping.IsFlowStyle {
		read = r.flow
	}
	if !read() {
		return nil, false
	}
	r.mapping.Start, r.mapping.Values = &r.start.token, r.list[:r.count/2]
	return &r.mapping, true
}

// flow reads {name: word, name: word}.
func (r *plainReader) flow() bool {
	r.mark(&r.start, "{")
	r.at++
	for {
		r.spaces()
		if !r.pair() {
			return false
		}
		switch {
		case r.next(','):
		case r.next('}'):
			r.spaces()
			return strings.Trim(r.text[r.at:], "\n") == ""
		default:
			return false
		}
	}
}

// block reads name: word, each on a line and all in the same column.
func (r *plainReader) block() bool {
	column := r.at - r.begin
	for r.at-r.begin == column && r.pair() {
		if strings.Trim(r.text[r.at:], "\n") == "" {
			return true
		}
		if !r.next('\n') {
			return false
		}
		r.line, r.begin = r.line+1, r.at
		r.spaces()
	}
	return false
}

// pair reads name: word.
func (r *plainReader) pair() bool {
	i := r.count / 2
	if i == maxSettings || !r.word() {
		return false
	}
	if i == 0 && !r.mapping.IsFlowStyle {
		r.mark(&r.start, ":") // that is where the library says a block begins
	}
	if !r.next(':') || !r.next(' ') {
		return false
	}
	r.spaces()
	if !r.word() {
		return false
	}
	r.pairs[i].Key, r.pairs[i].Value = &r.words[2*i].node, &r.words[2*i+1].node
	r.list[i] = &r.pairs[i]
	return true
}

// word reads a word, plain or between double quotes.
func (r *plainReader) word() bool {
	into := &r.words[r.count]
	rest := r.text[r.at:]
	if strings.HasPrefix(rest, `"`) {
		quoted, _, closed := strings.Cut(rest[1:], `"`)
		if !closed || strings.ContainsFunc(quoted, notQuotable) {
			return false
		}
		r.mark(into, quoted)
		r.at += len(quoted) + 2
	} else {
		plain := rest
		if n := strings.IndexFunc(rest, notPlain); n >= 0 {
			plain = rest[:n]
		}
		if plain == "" || !isLetter(plain[0]) || len(plain) <= longestReserved && reserved[strings.ToLower(plain)] {
			return false
		}
		r.mark(into, plain)
		r.at += len(plain)
	}
	into.node.Token, into.node.Value = &into.token, into.token.Value
	r.count++
	return true
}

// mark makes the token of what begins here.
func (r *plainReader) mark(w *word, value string) {
	w.position = token.Position{Line: r.line, Column: r.at - r.begin + 1, Offset: r.at + 1}
	w.token = token.Token{Type: token.StringType, Value: value, Position: &w.position}
}

func (r *plainReader) spaces() {
	for r.next(' ') {
	}
}

// next goes on behind a byte, if that is what comes.
func (r *plainReader) next(b byte) bool {
	if r.at < len(r.text) && r.text[r.at] == b {
		r.at++
		return true
	}
	return false
}

// reserved are words that stand for something else in some version of YAML (YAML 1.2 section 10.3.2, YAML 1.1 bool).
var reserved = map[string]bool{"null": true, "true": true, "false": true, "yes": true, "no": true, "on": true, "off": true,
	"y": true, "n": true, "inf": true, "nan": true}

// longestReserved is the length of the longest of them.
const longestReserved = 5

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

func notPlain(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@.-_+", r))
}

func notQuotable(r rune) bool { return r < ' ' || r > '~' || r == '\\' }
