package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"postern/internal/terminal"
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
	return fmt.Sprintf("%-17s %s", terminal.Word(e.Kind), strings.Join(parts, " "))
}

// plain writes a value: a string as a person reads it, and the rest as JSON.
func plain(value json.RawMessage) string {
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return string(terminal.JSON(value))
	}
	return terminal.Word(text)
}

// JSON gives the line as JSON that is safe for a terminal, too. It has the same meaning as Line, and the same bytes unless
// there are characters in it that do not show.
func (e Entry) JSON() []byte { return terminal.JSON(e.Line) }
