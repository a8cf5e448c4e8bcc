// Package syslog sends the audit log to a syslog receiver: RFC 5424 messages over TLS (RFC 5425), each line of the log as it is.
//
// The log's own files are the buffer. A [Sink] reads them from the place up to which the receiver has had them, which is kept in a
// file of its own, so that a receiver that hangs, or is not there for a week, holds up nobody and misses nothing: it gets the lines
// when it is back. Every line arrives at least once; after a lost connection some arrive twice, and their number says which.
package syslog

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postern/internal/audit"
)

// facility is "log audit" (RFC 5424 table 1).
const facility = 13

// Severities of RFC 5424 table 2 that are used here.
const (
	warning = 4 // something was refused, or goes wrong
	notice  = 5 // a privileged action
	info    = 6
)

// timeFormat has at most six digits of the second's fraction (RFC 5424 section 6.2.3).
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

// nothing is the NILVALUE.
const nothing = "-"

// privileged are the kinds of events that are.
var privileged = func() map[string]bool {
	kinds := make(map[string]bool)
	for _, event := range audit.Catalogue() {
		kinds[event.Kind()] = event.Privileged()
	}
	return kinds
}()

// severity says how much a line matters.
func severity(e audit.Entry) int {
	var says struct {
		Outcome audit.Outcome `json:"outcome"`
	}
	_ = json.Unmarshal(e.Line, &says) // an entry is JSON
	switch {
	case says.Outcome == audit.Refused, strings.HasSuffix(e.Kind, "-refused"), e.Kind == audit.MessageBounced{}.Kind():
		return warning
	case privileged[e.Kind]:
		return notice
	}
	return info
}

// frame appends a line of the log as a message, with its length before it (RFC 5425 section 4.3.1):
//
//	LENGTH <109>1 TIME HOST postern - KIND [meta sequenceId="N"] {the line}
//
// The line is JSON in UTF-8, exactly as it is in the log, so that its hash can be made from it; there is no byte order mark.
func frame(to []byte, host string, e audit.Entry) []byte {
	message := make([]byte, 0, len(e.Line)+160)
	message = append(message, '<')
	message = strconv.AppendInt(message, int64(facility*8+severity(e)), 10)
	message = append(message, ">1 "...)
	message = e.Time.UTC().AppendFormat(message, timeFormat)
	for _, word := range []string{printable(host, 255), "postern", nothing, printable(e.Kind, 32)} {
		message = append(append(message, ' '), word...)
	}
	message = append(message, ` [meta sequenceId="`...)
	message = strconv.AppendInt(message, sequence(e.Seq), 10)
	message = append(message, `"] `...)
	message = append(message, e.Line...)
	to = strconv.AppendInt(to, int64(len(message)), 10)
	return append(append(to, ' '), message...)
}

// sequence gives the number of a line as a sequenceId, which goes round after 2147483647 (RFC 5424 section 7.3.1).
func sequence(seq int64) int64 { return (seq-1)%2147483647 + 1 }

// printable gives a text as a header field: of printable ASCII without spaces (RFC 5424 section 6).
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '?'
		}
		return r
	}, text)
	if text == "" {
		return nothing
	}
	return text[:min(len(text), most)]
}

// stamp is a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
