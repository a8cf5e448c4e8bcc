package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Field is a field of an entry's event.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Fields gives the fields of the entry's own event, in the order of the line.
func (e Entry) Fields() ([]Field, error) {
	decoder := json.NewDecoder(bytes.NewReader(e.Line))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	var fields []Field
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		field := Field{Name: fmt.Sprint(name)}
		if err := decoder.Decode(&field.Value); err != nil {
			return nil, err
		}
		switch field.Name {
		case "time", "seq", "kind", "prev":
		default:
			fields = append(fields, field)
		}
	}
	return fields, nil
}

// Text gives the entry's event in one line for a person at a terminal: its kind, and its fields as name=value. Nothing in it moves a
// cursor, changes colours or turns the direction of the text around, whatever strangers wrote into the log (threat model
// I-38).
func (e Entry) Text() string {
	fields, err := e.Fields()
	if err != nil {
		return "unreadable: " + strconv.Quote(err.Error())
	}
	parts := make([]string, len(fields))
	for i, field := range fields {
		parts[i] = field.Name + "=" + plain(field.Value)
	}
	return fmt.Sprintf("%-17s %s", bare(e.Kind), strings.Join(parts, " "))
}

// plain writes a value: a string as a person reads it, and the rest as JSON.
func plain(value json.RawMessage) string {
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return string(escape(value))
	}
	return bare(text)
}

// bare writes a text, in quotes only where it needs them.
func bare(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// JSON gives the line as JSON that is safe for a terminal, too. It has the same meaning as Line, and the same bytes unless
// there are characters in it that do not show.
func (e Entry) JSON() []byte { return escape(e.Line) }

// escape writes the characters of a JSON text that do not show as escapes. encoding/json leaves those above U+007E as they
// are, but for two. Outside of strings JSON has none of them.
func escape(text []byte) []byte {
	if utf8.Valid(text) && bytes.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	escaped := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			escaped = append(escaped, text[:size]...)
		case r > 0xffff: // as a surrogate pair (RFC 8259 section 7)
			r -= 0x10000
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
		text = text[size:]
	}
	return escaped
}
