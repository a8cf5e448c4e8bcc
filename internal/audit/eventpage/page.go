package main

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern/internal/audit"
)

// common says what fields mean that many events have, and that need no comment at each: name in the log → meaning.
var common = map[string]string{
	"account":     "the account whose token opens the mailbox",
	"by":          "[who did it](#who-did-it)",
	"grant":       "`delegated` or `application`",
	"login":       "the login, by its name in the configuration",
	"mailbox":     "the mailbox that it is for",
	"oid":         "the person's object id at the provider",
	"outcome":     "one of [audit.Outcome]",
	"password_id": "the app password, by its id",
	"protocol":    "`imap` or `smtp`",
	"provider":    "the provider, by its name in the configuration",
	"queue_id":    "the message's id in the queue",
	"queued_ms":   "milliseconds since it was accepted",
	"recipients":  "the recipients that this is about",
	"remote":      "the client's address and port",
	"reply":       "what the client was told",
	"sender":      "the reverse-path (MAIL FROM)",
	"session":     "the session's id; it is also in the `Received` line of each message",
	"tid":         "the tenant id at the provider",
	"tls":         "such as `TLS 1.3`; nothing in clear",
	"tries":       "how often it was tried, with this time",
}

// whoDidIt says what the field by holds.
const whoDidIt = `
## Who did it

` + "`by`" + ` is, for what was done on the command line, the account on the server; for the portal ` + "`NAME (OBJECT ID, ROLE) at ADDRESS:PORT`" + `, as in
` + "`alice@contoso.com (5d0c…, user) at 10.0.4.9:50122`" + `; and ` + "`postern`" + ` for what the gateway did by itself.
`

// page makes the page about the events of the catalogue. An event or a field that nobody has said a word about is an error.
func page(s source) ([]byte, error) {
	w := &writer{source: s}
	w.text(`<!-- Made from the code by "go generate ./internal/audit"; change the comments there. -->
# The events of the audit log

Every line of the [audit log](audit.md) is one of these, and nothing else is ever written to it. A line has ` + "`time`, `seq` and `kind`" + `, then
the fields that are named here, then ` + "`prev`" + `. Fields that are marked with *if any* are left out where they are empty.

\* is privileged: on the disk before the action is answered. The others are with the operating system.

| kind | what it is |
| --- | --- |
`)
	for _, event := range audit.Catalogue() {
		mark := ""
		if event.Privileged() {
			mark = " \\*"
		}
		w.text("| [`%s`](#%[1]s)%s | %s |\n", event.Kind(), mark, w.summary(reflect.TypeOf(event).Name()))
	}
	for _, event := range audit.Catalogue() {
		w.event(event)
	}
	w.text(whoDidIt)
	w.text("\n## Values\n")
	for _, name := range []string{"audit.Outcome", "auth.Reason", "token.Class", "factor.Reason", "web.reason"} {
		w.values(name)
	}
	return w.out.Bytes(), w.err
}

// writer writes the page, and remembers the first thing that is missing.
type writer struct {
	source source
	out    bytes.Buffer
	err    error
}

func (w *writer) text(format string, arguments ...any) {
	if len(arguments) == 0 {
		w.out.WriteString(format)
		return
	}
	fmt.Fprintf(&w.out, format, arguments...)
}

func (w *writer) missing(format string, arguments ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, arguments...)
	}
}

// about gives what a type's comment says, without its name.
func (w *writer) about(name string) string {
	text := w.source.types[name]
	for _, verb := range []string{" is ", " are ", ": ", " "} {
		if rest, ok := strings.CutPrefix(text, name+verb); ok {
			return strings.ToUpper(rest[:1]) + rest[1:]
		}
	}
	w.missing("the event %s has no comment that begins with its name", name)
	return ""
}

// summary is the first sentence of it, without the full stop.
func (w *writer) summary(name string) string {
	first, _, _ := strings.Cut(w.about(name), ". ")
	return marked(strings.TrimSuffix(first, "."))
}

// event writes the section of an event.
func (w *writer) event(event audit.Event) {
	of := reflect.TypeOf(event)
	w.text("\n## %s\n\n%s\n", event.Kind(), marked(w.about(of.Name())))
	if event.Privileged() {
		w.text("Privileged.\n")
	}
	w.text("\n| field | is | meaning |\n| --- | --- | --- |\n")
	w.fields(of)
}

// fields writes a row for each field, those of embedded types in their place.
func (w *writer) fields(of reflect.Type) {
	for field := range of.Fields() {
		if field.Anonymous {
			w.fields(field.Type)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		is := kindOf(field.Type)
		if strings.Contains(options, "omitempty") {
			is += ", if any"
		}
		meaning := w.source.fields[of.Name()][field.Name]
		if meaning == "" {
			meaning = common[name]
		}
		if meaning == "" {
			w.missing("the field %s of the event %s has no comment, and is none of those that many events have", field.Name, of.Name())
		}
		w.text("| `%s` | %s | %s |\n", name, is, w.linked(marked(meaning)))
	}
}

// kindOf says what a field holds, as JSON has it.
func kindOf(of reflect.Type) string {
	switch {
	case of.Kind() == reflect.Pointer:
		return kindOf(of.Elem())
	case of == reflect.TypeFor[time.Time]():
		return "time"
	case of == reflect.TypeFor[[]audit.Tally]():
		return "list of `name` with `attempts`"
	case of.Kind() == reflect.Slice:
		return "list of " + kindOf(of.Elem()) + "s"
	case of.Kind() == reflect.Map:
		return "number for each"
	case of.Kind() == reflect.Bool:
		return "true"
	case of.Kind() == reflect.String:
		return "text"
	}
	return "number"
}

// name finds a type with constants in a comment.
var name = regexp.MustCompile(`\[((?:audit|auth|factor|token|web)\.[A-Za-z]+)\]`)

// kindWord finds the names of events.
var kindWord = regexp.MustCompile(`\b[a-z]+(-[a-z]+)+\b`)

// ordinary is the one name of an event that is a word of every day, too.
const ordinary = "sign-in"

// linked makes links of the types of words that a meaning names.
func (w *writer) linked(meaning string) string {
	return name.ReplaceAllStringFunc(meaning, func(found string) string {
		found = strings.Trim(found, "[]")
		if len(w.source.words[found]) == 0 {
			w.missing("there are no constants of the type %s", found)
		}
		return fmt.Sprintf("the [%s](#%s)", strings.ToLower(headings[found][:1])+headings[found][1:], anchors[found])
	})
}

// marked makes text of a comment fit for a table, with the names of events as links.
func marked(text string) string {
	text = strings.NewReplacer("|", "\\|", "*", "\\*", "<", "&lt;", "\\Deleted", "`\\Deleted`").Replace(text)
	return kindWord.ReplaceAllStringFunc(text, func(found string) string {
		isKind := func(e audit.Event) bool { return e.Kind() == found }
		if found != ordinary && slices.ContainsFunc(audit.Catalogue(), isKind) {
			return fmt.Sprintf("[`%s`](#%[1]s)", found)
		}
		return found
	})
}

// headings of the values: type → heading.
var headings = map[string]string{
	"audit.Outcome": "Outcomes",
	"auth.Reason":   "Reasons of a refused sign-in",
	"token.Class":   "Classes of a refused token",
	"factor.Reason": "Reasons of a refused factor",
	"web.reason":    "Reasons of a refused portal sign-in",
}

// anchors of these headings, as Markdown makes them: type → anchor.
var anchors = func() map[string]string {
	made := make(map[string]string)
	for of, heading := range headings {
		made[of] = strings.ReplaceAll(strings.ToLower(heading), " ", "-")
	}
	return made
}()

// values writes the constants of a type.
func (w *writer) values(of string) {
	w.text("\n### %s\n\n| value | meaning |\n| --- | --- |\n", headings[of])
	for _, v := range w.source.words[of] {
		if v.meaning == "" {
			w.missing("the constant %q of %s has no comment", v.value, of)
		}
		w.text("| `%s` | %s |\n", v.value, marked(v.meaning))
	}
}
