// Package export writes entries of the audit log for other programs: spreadsheets (CSV) and SIEMs (CEF, OCSF), and as they are.
//
// What strangers have written into an entry stays text in each of these forms: it begins no formula, no field and no line (threat
// model I-38).
package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"postern/internal/audit"
)

// Formats are the forms that there are.
var Formats = []string{"jsonl", "csv", "cef", "ocsf"}

// Writer writes entries in a form. It is not safe for concurrent use.
type Writer struct {
	to     io.Writer
	format func(audit.Entry) ([]byte, error)
}

// NewWriter gives a writer of one of [Formats], and writes what comes before the first entry. version is that of the program.
func NewWriter(to io.Writer, format, version string) (*Writer, error) {
	w := &Writer{to: to}
	switch format {
	case "jsonl":
		w.format = func(e audit.Entry) ([]byte, error) { return append(slices.Clone(e.Line), '\n'), nil }
	case "csv":
		w.format = csvRow
		_, err := to.Write(row(columns))
		return w, err
	case "cef":
		w.format = func(e audit.Entry) ([]byte, error) { return cef(e, version) }
	case "ocsf":
		w.format = func(e audit.Entry) ([]byte, error) { return ocsf(e, version) }
	default:
		return nil, fmt.Errorf("the format %q is not known; want %s", format, strings.Join(Formats, ", "))
	}
	return w, nil
}

// Write writes an entry.
func (w *Writer) Write(e audit.Entry) error {
	text, err := w.format(e)
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	_, err = w.to.Write(text)
	return err
}

// says are the fields of an entry that many kinds have.
type says struct {
	Outcome    string   `json:"outcome"`
	Reason     string   `json:"reason"`
	Detail     string   `json:"detail"`
	Session    string   `json:"session"`
	Protocol   string   `json:"protocol"`
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Account    string   `json:"account"`
	Username   string   `json:"username"`
	ObjectID   string   `json:"oid"`
	Remote     string   `json:"remote"`
	By         string   `json:"by"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	Size       int64    `json:"size"`
	Queue      string   `json:"queue_id"`
	Reply      string   `json:"reply"`
}

func read(e audit.Entry) (s says, err error) {
	err = e.Decode(&s)
	return s, err
}

// rest gives the fields of an entry but for these, as one JSON object; empty where there are none.
func rest(e audit.Entry, without ...string) (json.RawMessage, error) {
	fields, err := e.Fields()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, f := range fields {
		if slices.Contains(without, f.Name) {
			continue
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		out.WriteByte(',') // the first one becomes the brace
		out.Write(name)
		out.WriteByte(':')
		out.Write(f.Value)
	}
	if out.Len() == 0 {
		return nil, nil
	}
	object := append(out.Bytes(), '}')
	object[0] = '{'
	return object, nil
}

// failed reports whether an entry is of something that did not go through.
func failed(e audit.Entry, s says) bool {
	return s.Outcome == string(audit.Refused) || strings.HasSuffix(e.Kind, "-refused") || e.Kind == audit.SignInsRefused{}.Kind() || e.Kind == audit.MessageBounced{}.Kind()
}
