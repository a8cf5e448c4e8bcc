// Package header reads and edits the header block of a message (RFC 5322 section 2.2) in the form in which it crosses an
// SMTP connection: lines that end in CRLF, with a dot before those that begin with one (RFC 5321 section 4.5.2).
//
// Only the block is ever held, and no more of it than MaxBlock; the body passes by. Fields that nobody edits keep their
// bytes. The text is a stranger's: what a field seems to say is what the strictest reading of it says, since the
// receiver may read it otherwise. The package knows nothing of who may send what.
package header

import (
	"bytes"
	"errors"
	"strings"
)

// MaxBlock is the largest header block in bytes, which is also Exchange's largest (reference C).
const MaxBlock = 256 << 10

// ErrTooLarge is a header block of more than [MaxBlock] bytes.
var ErrTooLarge = errors.New("the header block is larger than 256 KiB")

// Field is a header field.
type Field struct {
	// Name is the field's name as it is written; empty for a stray line, see [Collector].
	Name string
	// raw is the field as it crosses the wire: name, colon, folded lines, the last CRLF.
	raw []byte
}

// Is reports whether the field has a name; case does not matter.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// Value gives the field's body in one line, without the dots of the wire and the line ends of its folding.
func (f Field) Value() string {
	var b strings.Builder
	for line := range bytes.Lines(f.raw) {
		b.Write(bytes.TrimRight(unstuff(line), "\r\n"))
	}
	_, value, _ := strings.Cut(b.String(), ":")
	return strings.Trim(value, " \t")
}

// New makes a field of one line. Control characters in its value become spaces, so that it stays one.
func New(name, value string) Field { return NewList(name, value) }

// NewList makes a field with a list of values, separated by commas and each on a line of its own.
func NewList(name string, values ...string) Field {
	clean := make([]string, len(values))
	for i, value := range values {
		clean[i] = strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7f {
				return ' '
			}
			return r
		}, value)
	}
	return Field{Name: name, raw: []byte(name + ": " + strings.Join(clean, ",\r\n\t") + "\r\n")}
}

// Ending is what stands behind a header block.
type Ending int

const (
	// Blank: an empty line, and the body behind it.
	Blank Ending = iota
	// Message: the end of the message; it has no body.
	Message
	// Stray: a line that is no field and continues none; see [Collector].
	Stray
)

// Block is a header block.
type Block struct {
	Fields []Field
	Ending Ending
}

// All gives the fields of a name.
func (b *Block) All(name string) []Field {
	var found []Field
	for _, f := range b.Fields {
		if f.Is(name) {
			found = append(found, f)
		}
	}
	return found
}

// Has reports whether there is a field of a name.
func (b *Block) Has(name string) bool { return len(b.All(name)) > 0 }

// Remove takes away the fields of a name.
func (b *Block) Remove(name string) {
	kept := b.Fields[:0:0]
	for _, f := range b.Fields {
		if !f.Is(name) {
			kept = append(kept, f)
		}
	}
	b.Fields = kept
}

// Set puts a field in the place of the first of its name and takes the others away. Where there is none, it comes first:
// before any stray line.
func (b *Block) Set(field Field) {
	kept, placed := b.Fields[:0:0], false
	for _, f := range b.Fields {
		switch {
		case !f.Is(field.Name):
			kept = append(kept, f)
		case !placed:
			kept, placed = append(kept, field), true
		}
	}
	if !placed {
		kept = append([]Field{field}, kept...)
	}
	b.Fields = kept
}

// AppendTo appends the block as it crosses the wire, without what ends it.
func (b *Block) AppendTo(p []byte) []byte {
	for _, f := range b.Fields {
		p = append(p, f.raw...)
	}
	return p
}

// unstuff takes the dot away that stands before a line on the wire. A single dot hides what a receiver will read:
// ".From:" on the wire is "From:" to them.
func unstuff(line []byte) []byte { return bytes.TrimPrefix(line, []byte(".")) }
