package imapproxy

import (
	"bytes"
	"sync/atomic"

	"postern/internal/audit"
)

// tap follows what a client sends after its sign-in from command to command, and counts. It knows where lines and
// literals end (RFC 9051 sections 2.2.1 and 4.3) and what the command is called, and nothing more. All bytes pass as
// they are, but for a command that may not be carried out here; see disarm.
//
// A literal is skipped by counting. Of a line at most twice [edge] bytes are kept, and only while the rest of it has not
// come: between commands the tap holds nothing.
type tap struct {
	counts  audit.Commands
	answers *answers

	kept    []byte // of the line that has not ended
	literal int64  // bytes of a literal that are still to come
	within  bool   // the next line goes on with a command, behind a literal
	tag     []byte // of that command
	pending *watch // on the literal that the client has announced and waits with; nil while there is none
}

func newTap() *tap { return &tap{answers: &answers{lineStart: true}} }

// Pass implements [relay.Filter].
func (t *tap) Pass(p []byte, send func([]byte) error) error {
	t.see(p)
	return send(p)
}

// Ended implements [relay.Filter].
func (t *tap) Ended() {}

// see follows the client's bytes.
func (t *tap) see(p []byte) {
	for len(p) > 0 {
		t.settle()
		if t.literal > 0 {
			n := min(t.literal, int64(len(p)))
			t.literal -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			t.disarm(p)
			t.kept = keep(t.kept, p)
			return
		}
		t.disarm(p[:end])
		t.line(p[:end])
		p = p[end+1:]
	}
}

// line takes the end of a line, without its LF.
func (t *tap) line(p []byte) {
	var whole [2 * edge]byte
	head, tail := edges(keep(append(whole[:0], t.kept...), p))
	t.kept = nil
	literal, ok := announced(tail)
	if !t.within {
		tag, name := splitCommand(head)
		count(&t.counts, name, head, tail)
		if ok {
			t.tag = bytes.Clone(tag)
		}
	}
	if ok && literal.waits {
		t.pending = t.answers.watchFor(t.tag)
	}
	if t.literal, t.within = literal.size, ok; !ok {
		t.tag = nil
	}
}

// settle finds out, when the client goes on after it has waited, with what: with its literal, unless upstream has
// refused that, and then with the next command.
func (t *tap) settle() {
	if t.pending == nil {
		return
	}
	if t.pending.refused.Load() {
		t.literal, t.within, t.tag = 0, false, nil
	}
	t.answers.watch.Store(nil)
	t.pending = nil
}

// disarmed are the commands that would make a session into something else, without a word that the gateway could read:
// COMPRESS (RFC 4978) hides all that follows, UNAUTHENTICATE (RFC 8437) lets another identity sign in (threat model
// I-25). They are not offered.
var disarmed = map[string]bool{"COMPRESS": true, "UNAUTHENTICATE": true}

// disarm makes a disarmed command one that no server knows, in its last letter, so that upstream itself answers BAD. p
// is the line as far as it is there, behind what is kept of it: the letter that completes the name is always in p. That
// a longer name may follow in the next piece does not matter: no server knows COMPRESSED either.
func (t *tap) disarm(p []byte) {
	if t.within || len(t.kept) > edge {
		return
	}
	head := p[:min(len(p), edge)]
	if len(t.kept) > 0 {
		head = append(append(make([]byte, 0, 2*edge), t.kept...), head...)
	}
	tag, name := splitCommand(withoutCR(head))
	if last := len(tag) + len(name) - len(t.kept); disarmed[name] && last >= 0 && last < len(p) {
		p[last] = 'X'
	}
}

// answers is the filter of upstream's direction beside a tap: it passes everything and looks at nothing, but for the
// short time in which a client waits to send a literal.
type answers struct {
	watch     atomic.Pointer[watch]
	lineStart bool // the next byte begins a line
}

// Pass implements [relay.Filter].
func (a *answers) Pass(p []byte, send func([]byte) error) error {
	if w := a.watch.Load(); w != nil {
		w.see(p, a.lineStart)
	}
	a.lineStart = p[len(p)-1] == '\n'
	return send(p)
}

// Ended implements [relay.Filter].
func (a *answers) Ended() {}

// watchFor looks out for the refusal of the command of a tag, from the next bytes on.
func (a *answers) watchFor(tag []byte) *watch {
	w := &watch{tag: append(bytes.Clone(tag), ' ')}
	a.watch.Store(w)
	return w
}

// watch looks for a tagged NO or BAD among upstream's lines. It would also take one in the text of a message that is
// being fetched at that moment; then the tap counts wrongly for a while, and nothing else.
type watch struct {
	tag     []byte // with the space behind it
	refused atomic.Bool

	// Of the goroutine of upstream's direction.
	begun  bool   // it has seen bytes
	skips  bool   // to the end of the line
	gather []byte // the beginning of the line
}

// see looks at what upstream sends. lineStart says of the first bytes whether they begin a line.
func (w *watch) see(p []byte, lineStart bool) {
	if !w.begun {
		w.begun, w.skips = true, !lineStart
	}
	for len(p) > 0 {
		if w.skips {
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return
			}
			p, w.skips, w.gather = p[end+1:], false, w.gather[:0]
			continue
		}
		n := min(len(p), len(w.tag)+len("NO")-len(w.gather))
		w.gather = append(w.gather, p[:n]...)
		if len(w.gather) < len(w.tag)+len("NO") {
			return
		}
		if word, ok := bytes.CutPrefix(w.gather, w.tag); ok && !bytes.EqualFold(word, []byte("OK")) {
			w.refused.Store(true)
		}
		// What was gathered may hold a line's end already, so it is not simply skipped.
		p, w.skips = p[n:], true
		if end := bytes.LastIndexByte(w.gather, '\n'); end >= 0 {
			w.gather, w.skips = append(w.gather[:0], w.gather[end+1:]...), false
		}
	}
}
