package imapproxy

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// oracle is an upstream for tests of the guard. It reads what it gets in a way of its own, and keeps the commands that
// it has carried out. It answers within the call that gives it the bytes.
type oracle struct {
	answer  func(string) // what it says
	refuses func() bool  // whether it refuses the literal that has just been announced
	lax     bool         // it takes a lone LF for the end of a line, as some servers do

	buffer   []byte
	need     int // bytes of a literal that it has asked for
	parts    []string
	idle     string   // tag of the IDLE that it is in
	commands []string // each as one text, with its literals in it as quoted strings
}

var announcedToOracle = regexp.MustCompile(`^(.*)\{([0-9]+)(\+?)\}$`)

// hear takes bytes.
func (o *oracle) hear(p []byte) {
	o.buffer = append(o.buffer, p...)
	for {
		if o.need > 0 {
			if len(o.buffer) < o.need {
				return
			}
			o.parts = append(o.parts, strconv.Quote(string(o.buffer[:o.need])))
			o.buffer, o.need = o.buffer[o.need:], 0
		}
		ending := "\r\n"
		if o.lax {
			ending = "\n"
		}
		line, rest, ok := bytes.Cut(o.buffer, []byte(ending))
		if !ok {
			return
		}
		o.buffer = bytes.Clone(rest)
		o.line(strings.TrimSuffix(string(line), "\r"))
	}
}

// line takes a line.
func (o *oracle) line(line string) {
	if o.idle != "" {
		tag := o.idle
		o.idle = ""
		if !strings.EqualFold(line, "DONE") {
			o.commands = append(o.commands, "in IDLE: "+line)
		}
		o.answer(tag + " OK IDLE done\r\n")
		return
	}
	tag, _, _ := strings.Cut(strings.Join(o.parts, "")+line, " ")
	if m := announcedToOracle.FindStringSubmatch(line); m != nil {
		size, err := strconv.Atoi(m[2])
		if err != nil || o.refuses() {
			o.parts = nil
			o.answer(tag + " NO refused\r\n")
			return
		}
		o.parts = append(o.parts, m[1])
		o.need = size
		if size == 0 {
			o.parts = append(o.parts, `""`)
		}
		if m[3] == "" {
			o.answer("+ go\r\n")
		}
		return
	}
	command := strings.Join(o.parts, "") + line
	o.parts = nil
	o.commands = append(o.commands, command)
	if _, name := splitCommand([]byte(command)); name == "IDLE" {
		o.idle = tag
		o.answer("* 1 EXISTS\r\n+ idling\r\n")
		return
	}
	o.answer("* 3 FETCH (BODY[] {9}\r\n+ go\r\na1 X)\r\n* OK text {5}\r\n" + tag + " OK done\r\n")
}

// seen gives the folders that a command of the oracle's names, in its own reading.
func seen(command string) (name string, folders []string) {
	tag, name := splitCommand([]byte(command))
	rest := strings.TrimPrefix(command[min(len(command), len(tag)+1+len(name)):], " ")
	if name == "COPY" || name == "MOVE" || name == "UID COPY" || name == "UID MOVE" {
		_, rest, _ = strings.Cut(rest, " ")
	}
	n := map[string]int{"SELECT": 1, "EXAMINE": 1, "STATUS": 1, "CREATE": 1, "DELETE": 1, "SUBSCRIBE": 1, "UNSUBSCRIBE": 1, "RENAME": 2,
		"APPEND": 1, "COPY": 1, "MOVE": 1, "UID COPY": 1, "UID MOVE": 1, "GETQUOTAROOT": 1, "MYRIGHTS": 1}[name]
	for range n {
		folder, _, _ := strings.Cut(rest, " ")
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			folder, _ = strconv.Unquote(quoted)
			rest = rest[len(quoted):]
		} else {
			rest = rest[len(folder):]
		}
		folders = append(folders, folder)
		rest = strings.TrimPrefix(rest, " ")
	}
	return name, folders
}

// guarded is a client with a guard between it and an oracle.
type guarded struct {
	guard  *guard
	oracle *oracle
	heard  strings.Builder // by the client
}

func newGuarded(r *rules, lax bool, refuses func() bool) *guarded {
	g := &guarded{guard: newGuard(r)}
	g.oracle = &oracle{lax: lax, refuses: refuses, answer: func(text string) {
		for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
			_ = g.guard.replies.Pass([]byte(part), func(p []byte) error { g.heard.Write(p); return nil })
		}
	}}
	return g
}

// say gives the guard a client's bytes in pieces of n.
func (g *guarded) say(text string, n int) error {
	for len(text) > 0 {
		part := []byte(text[:min(n, len(text))])
		text = text[len(part):]
		if err := g.guard.Pass(part, func(p []byte) error { g.oracle.hear(p); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// forbidden gives the first command of the oracle's that the rules do not allow; nil if there is none.
func (g *guarded) forbidden() error {
	r := g.guard.rules
	for _, command := range g.oracle.commands {
		if strings.HasPrefix(command, "in IDLE") {
			return fmt.Errorf("upstream got %q", command)
		}
		name, folders := seen(command)
		if strings.EqualFold(command, "DONE") {
			continue
		}
		kind, known := kinds[name]
		if !known || r.readOnly && (!kind.reads || name == "SELECT") {
			return fmt.Errorf("upstream carried out %q", command)
		}
		for _, folder := range folders {
			if !r.anywhere && !strings.EqualFold(folder, "INBOX") && !strings.HasPrefix(folder, "Scans/") {
				return fmt.Errorf("upstream carried out %q, on folder %q", command, folder)
			}
		}
	}
	return nil
}
