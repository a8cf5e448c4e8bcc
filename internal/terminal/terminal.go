// Package terminal makes text that strangers wrote safe to show on a terminal: nothing in it moves a cursor, changes
// colours or titles, hides, or turns the direction of the text around (threat model I-38).
//
// It is for lines that people read. It is no encoding for pages or spreadsheets, which have their own.
package terminal

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text gives a text as it is where everything in it shows, and otherwise with escapes as in Go in the place of what does
// not.
func Text(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, hides) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Word gives a text as Text does, and in quotes where it would not stand as one word.
func Word(text string) string {
	if text == "" || strings.ContainsAny(text, ` "=`) || Text(text) != text {
		return strconv.Quote(text)
	}
	return text
}

// JSON gives a JSON text with escapes in the place of the characters that do not show; it means the same. encoding/json
// leaves those above U+007E as they are, but for two. White space between values has to be of spaces only.
func JSON(text []byte) []byte {
	if utf8.Valid(text) && bytes.IndexFunc(text, hides) < 0 {
		return text
	}
	escaped := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case !hides(r) && (r != utf8.RuneError || size > 1):
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

func hides(r rune) bool { return !unicode.IsPrint(r) }
