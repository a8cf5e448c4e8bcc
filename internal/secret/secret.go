// Package secret holds text that must never be shown: passwords, tokens, keys.
//
// A [Text] keeps its content out of everything that prints by itself — fmt, log/slog, JSON, YAML — so that a
// secret reaches a log, an error or an audit line only by a deliberate call of [Text.Reveal]. Those calls are the
// list of places where a secret is used; keep it short.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
)

// Redacted is what a secret prints as.
const Redacted = "[redacted]"

// Text is a secret. The zero value is the empty secret. It is immutable and safe for concurrent use.
type Text struct {
	// A pointer, because fmt prints an unexported field without asking its methods, and of a pointer it prints
	// the address only.
	content *string
}

// New makes a secret of s.
func New(s string) Text { return Text{content: &s} }

// Reveal gives the content itself. Whoever calls it answers for where the content goes.
func (t Text) Reveal() string {
	if t.content == nil {
		return ""
	}
	return *t.content
}

// IsZero reports whether there is no content.
func (t Text) IsZero() bool { return t.Reveal() == "" }

// Equal compares two secrets in a time that depends on their lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// String gives [Redacted].
func (t Text) String() string { return Redacted }

// Format writes [Redacted] for every verb and flag, %#v and %x included.
func (t Text) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(Redacted)) }

// LogValue gives [Redacted] to log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText gives [Redacted] to every encoder that asks for text: JSON, YAML, XML.
func (t Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Redact gives s with [Redacted] in every place where the secret stands: for words of a peer that knows the secret and
// may repeat it.
func (t Text) Redact(s string) string {
	if t.IsZero() {
		return s
	}
	return strings.ReplaceAll(s, t.Reveal(), Redacted)
}
