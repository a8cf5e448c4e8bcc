// Package sasl has the SASL mechanisms (RFC 4422) that mail clients and Exchange Online use, as mechanisms of
// emersion/go-sasl: PLAIN and LOGIN for the side that clients speak to, XOAUTH2 for the side that speaks upstream.
// go-sasl itself has neither a LOGIN server nor XOAUTH2.
//
// A mechanism is pure: it turns messages into credentials and back, and knows no connection, no base64 and no policy.
package sasl

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrMalformed is returned for a message that is not of its mechanism's form. The exchange is over.
var ErrMalformed = errors.New("malformed SASL message")

// ErrUnexpected is returned for a message after the exchange has come to its end.
var ErrUnexpected = errors.New("unexpected SASL message")

// maxField is the longest user name or password in bytes that a mechanism takes (RFC 4616 section 2 suggests room for
// 255 characters; 1024 bytes hold that in UTF-8).
const maxField = 1024

// validField reports whether s can be a user name or a password: UTF-8 without NUL, not too long.
func validField(s string) bool {
	return len(s) <= maxField && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// validUser reports whether s can be a user name: a field without control characters, since those are what the
// messages of SASL, IMAP and SMTP are put together with.
func validUser(s string) bool {
	return s != "" && validField(s) && !strings.ContainsFunc(s, isControl)
}

// isControl reports whether r is a control character of ASCII or of Latin-1.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
