package web

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"postern/auth"
	"postern/internal/audit"
)

// eventLine is a line of the audit log as pages show it, and as it is handed out: the fields that most events have, and
// the rest in one text. Nothing in it is markup, or moves what stands beside it.
type eventLine struct {
	Time    time.Time
	Seq     int64
	Kind    string
	Outcome string
	Reason  string
	Login   string // or the account
	Remote  string
	By      string
	Session string
	Rest    string // name=value
}

// From gives the address without its port.
func (l eventLine) From() string {
	if at, err := netip.ParseAddrPort(l.Remote); err == nil {
		return at.Addr().String()
	}
	return l.Remote
}

// columns are the fields of an event that stand in places of their own.
var columns = map[string]func(*eventLine) *string{
	"outcome": func(l *eventLine) *string { return &l.Outcome },
	"reason":  func(l *eventLine) *string { return &l.Reason },
	"login":   func(l *eventLine) *string { return &l.Login },
	"remote":  func(l *eventLine) *string { return &l.Remote },
	"by":      func(l *eventLine) *string { return &l.By },
	"session": func(l *eventLine) *string { return &l.Session },
}

// eventLines puts entries into lines.
func eventLines(entries []audit.Entry) []eventLine {
	lines := make([]eventLine, len(entries))
	for i, e := range entries {
		lines[i] = eventLineOf(e)
	}
	return lines
}

func eventLineOf(e audit.Entry) eventLine {
	line := eventLine{Time: e.Time, Seq: e.Seq, Kind: visible(e.Kind)}
	fields, err := e.Fields()
	if err != nil {
		line.Rest = "unreadable"
		return line
	}
	var rest []string
	for _, field := range fields {
		text := visible(plain(field.Value))
		if place, has := columns[field.Name]; has && *place(&line) == "" {
			*place(&line) = text
			continue
		}
		rest = append(rest, visible(field.Name)+"="+text)
	}
	if i := slices.IndexFunc(rest, func(s string) bool { return strings.HasPrefix(s, "account=") }); i >= 0 && line.Login == "" {
		line.Login = strings.TrimPrefix(rest[i], "account=")
		rest = slices.Delete(rest, i, i+1)
	}
	line.Rest = strings.Join(rest, " · ")
	return line
}

// plain gives a value as a person reads it.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(value)
}

// visible gives a text in which every character shows: none turns the direction of the text around, hides, or ends a line
// (threat model I-38).
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// canonical gives the form of a login in which the audit log has it.
func canonical(login string) string { return auth.Canonical(strings.TrimSpace(login)) }
