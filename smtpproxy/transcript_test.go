package smtpproxy

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
)

// transcript is a recorded dialogue of a client's, from testdata. Its lines begin with:
//
//	#          who that is
//	switches:  what a listener has to forgive for it, by the fields of [Profile]
//	door:      without_auth, where the listener takes addresses for identities
//	C: and L:  the client says a line that ends in CRLF, or in LF
//	S:         the gateway's reply; a * at the end stands for anything
//	H:         the beginning of a command that upstream heard
//	U:         a line of the message that upstream got, behind the trace line
//	E:         the cause of the session's end
//	! strict:  what a strict listener says instead, and the transcript ends there for it
//
// "! strict upstream:" and "! strict end:" are U and E of a strict listener.
type transcript struct {
	switches       []string
	withoutAuth    bool
	steps          []step
	heard, message []string
	end            string
	strictMessage  string
	strictReply    string
	strictEnd      string
	strictStop     int
}

// step is something that the client says, or a reply that it gets.
type step struct {
	say   string
	reply string
}

func readTranscript(t *testing.T, file string) transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := transcript{strictStop: -1}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		kind, rest, found := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "#"):
		case !found:
			t.Fatalf("%s: cannot read %q", file, line)
		case kind == "switches":
			s.switches = strings.Fields(rest)
		case kind == "door":
			s.withoutAuth = rest == "without_auth"
		case kind == "C":
			s.steps = append(s.steps, step{say: rest + "\r\n"})
		case kind == "L":
			s.steps = append(s.steps, step{say: rest + "\n"})
		case kind == "S":
			s.steps = append(s.steps, step{reply: rest})
		case kind == "H":
			s.heard = append(s.heard, rest)
		case kind == "U":
			s.message = append(s.message, rest)
		case kind == "E":
			s.end = rest
		case kind == "! strict":
			s.strictReply, s.strictStop = rest, len(s.steps)
		case kind == "! strict upstream":
			s.strictMessage = rest
		case kind == "! strict end":
			s.strictEnd = rest
		default:
			t.Fatalf("%s: cannot read %q", file, line)
		}
	}
	return s
}

// TestTranscripts plays each transcript to a listener that forgives what it needs and nothing else, to one of the profile
// for it, and to a strict one, which forgives none of it.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var covered []string
	for _, file := range files {
		s := readTranscript(t, file)
		covered = append(covered, s.switches...)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			alone := Profile{}
			for _, name := range s.switches {
				reflect.ValueOf(&alone).Elem().FieldByName(name).SetBool(true)
			}
			t.Run("alone", func(t *testing.T) { s.play(t, alone) })
			if s.forgivenBy(Profiles["device"]) {
				t.Run("device", func(t *testing.T) { s.play(t, Profiles["device"]) })
			}
			t.Run("ancient", func(t *testing.T) { s.play(t, Profiles["ancient"]) })
			t.Run("strict", func(t *testing.T) { s.playStrict(t) })
		})
	}
	for i := range reflect.TypeFor[Profile]().NumField() {
		if name := reflect.TypeFor[Profile]().Field(i).Name; !slices.Contains(covered, name) {
			t.Errorf("no transcript is for %s", name)
		}
	}
}

// forgivenBy reports whether a profile forgives all that the transcript needs.
func (s transcript) forgivenBy(profile Profile) bool {
	return !slices.ContainsFunc(s.switches, func(name string) bool { return !reflect.ValueOf(profile).FieldByName(name).Bool() })
}

// play has the whole dialogue.
func (s transcript) play(t *testing.T, profile Profile) {
	w := newWorld(t)
	w.door = Door{Profile: profile, WithoutAuth: s.withoutAuth}
	c := w.connect(optional)
	c.expect(greeting)
	c.follow(s.steps)
	c.gone()
	v := visit{}
	if w.upstream.connections() > 0 {
		v = w.upstream.awaitOver(0)
	}
	for _, command := range s.heard {
		if !slices.ContainsFunc(v.commands, func(heard string) bool { return strings.HasPrefix(heard, command) }) {
			t.Errorf("upstream heard %q, and not %q", v.commands, command)
		}
	}
	if len(s.message) > 0 {
		w.expectMessage(strings.Join(s.message, "\r\n") + "\r\n")
	}
	if got := w.end(); s.end != "" && got != s.end {
		t.Errorf("the session ended by %q, want %q", got, s.end)
	}
}

// playStrict has the dialogue up to where a strict listener does not go along.
func (s transcript) playStrict(t *testing.T) {
	w := newWorld(t)
	w.door.WithoutAuth = s.withoutAuth
	c := w.connect(optional)
	c.expect(greeting)
	if s.strictStop >= 0 {
		c.follow(s.steps[:s.strictStop])
		c.expect(s.strictReply)
	} else {
		c.follow(s.steps)
	}
	c.gone()
	if s.strictMessage != "" {
		w.expectMessage(s.strictMessage + "\r\n.\r\n")
	}
	if got := w.end(); s.strictEnd != "" && got != s.strictEnd {
		t.Errorf("the session ended by %q, want %q", got, s.strictEnd)
	}
}

func (c *client) follow(steps []step) {
	c.t.Helper()
	for _, step := range steps {
		if step.reply == "" {
			c.send(step.say)
			continue
		}
		got := c.reply()
		if prefix, open := strings.CutSuffix(step.reply, " *"); got != step.reply && !(open && strings.HasPrefix(got, prefix)) {
			c.t.Fatalf("got  %q\nwant %q", got, step.reply)
		}
	}
}

// expectMessage holds the one message that upstream got against want, without its trace line.
func (w *world) expectMessage(want string) {
	w.t.Helper()
	messages := w.upstream.awaitOver(0).messages
	if len(messages) != 1 {
		w.t.Fatalf("upstream got %q, want one message", messages)
	}
	_, got, _ := strings.Cut(messages[0], "\r\n\tTue, 24 Nov 2026 12:00:00 +0100\r\n")
	if diff := cmp.Diff(want, random.ReplaceAllString(got, "RANDOM")); diff != "" {
		w.t.Errorf("message (-want +got):\n%s", diff)
	}
}

// end gives the cause of the session's end in the audit log.
func (w *world) end() string {
	for _, event := range w.audit.all() {
		if e, ok := event.(audit.SessionEnd); ok {
			return e.Cause
		}
	}
	return ""
}
