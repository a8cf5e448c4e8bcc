package imapproxy

import (
	"bytes"
	"errors"
	"strconv"

	"postern/internal/audit"
)

// maxCommandLine is the longest line in bytes of a command in a restricted session: a set of messages may be long.
const maxCommandLine = 64 << 10

var (
	errNotDone   = errors.New("the client sent something else than DONE in IDLE")
	errMalformed = errors.New("the client sent a malformed part of a command")
)

// guard is the filter of the client's direction in a restricted session. It holds a command back until it is known to
// be allowed, and sends a NOOP with its tag in the place of one that is not; [replies] makes upstream's answer to that
// the refusal.
//
// The guard and upstream must never disagree about where a command begins: what one of them takes for the text of a
// literal could be a command to the other. So bytes go upstream as a literal only when upstream has asked for them. A
// literal that the client sends unasked (RFC 7888) is announced upstream as one that waits, and upstream's word to go on
// is then not for the client. Likewise the client is in IDLE only when upstream says so. Besides that, and besides SELECT,
// which becomes EXAMINE for those who may only read, what is allowed goes upstream as it came.
type guard struct {
	rules   *rules
	replies *replies
	counts  audit.Commands
	send    func([]byte) error

	held     []byte // of the command, or of the part of it, that has not been sent
	line     int    // where in held the last line begins
	overlong bool   // held has only the ends of that line
	stage    stage
	literal  int64    // bytes of a literal that are still to come
	current  *command // the one that is being sent, while stage is sending
	appends  bool     // and it is an APPEND
	idle     *command // the IDLE that upstream has let the client into
}

// stage is what becomes of the command that the client is sending.
type stage int

const (
	deciding stage = iota // it is held until it can be judged
	sending               // its first part is upstream, and the rest follows
	dropping              // it was refused, and the rest of it goes nowhere
)

func newGuard(r *rules) *guard { return &guard{rules: r, replies: newReplies()} }

// Pass implements [relay.Filter].
func (g *guard) Pass(p []byte, send func([]byte) error) error {
	g.send = send
	for len(p) > 0 {
		var err error
		if g.literal > 0 {
			n := int(min(g.literal, int64(len(p))))
			g.literal -= int64(n)
			err = g.literalPart(p[:n])
			p = p[n:]
		} else if end := bytes.IndexByte(p, '\n'); end < 0 {
			g.hold(p)
			return nil
		} else {
			err = g.endLine(p[:end+1])
			p = p[end+1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Ended implements [relay.Filter].
func (g *guard) Ended() { g.held = nil }

// literalPart takes bytes of a literal.
func (g *guard) literalPart(p []byte) error {
	switch g.stage {
	case sending:
		return g.send(p)
	case deciding:
		g.held = append(g.held, p...)
	}
	return nil
}

// hold keeps a part of a line, and of one that is too long the ends.
func (g *guard) hold(p []byte) {
	if !g.overlong && len(g.held)-g.line+len(p) <= maxCommandLine {
		g.held = append(g.held, p...)
		return
	}
	if !g.overlong {
		g.overlong = true
		g.held = append(g.held[:g.line:g.line], keep(nil, g.held[g.line:])...)
	}
	g.held = append(g.held[:g.line], keep(g.held[g.line:], p)...)
}

// endLine takes the end of a line, with its LF, and carries out what the line is for.
func (g *guard) endLine(p []byte) error {
	if len(g.held) > 0 || len(p) > maxCommandLine {
		g.hold(p)
		p = g.held
	}
	line, overlong := p[g.line:], g.overlong
	if g.stage == deciding {
		return g.begin(p, line, overlong)
	}
	// The line goes on with a command, behind a literal.
	g.clear()
	if g.stage == dropping {
		g.drop(line)
		return nil
	}
	if overlong || !wellFormed(line) || g.appends && !g.rules.anywhere && concatenates(line) {
		return errMalformed // half the command is upstream: there is no way to take it back but to go
	}
	return g.sendLine(line, g.current)
}

// clear forgets what is held.
func (g *guard) clear() { g.held, g.line, g.overlong = nil, 0, false }

// begin takes a command as far as the end of a line: whole, or up to a literal. line is the last line of it.
func (g *guard) begin(p, line []byte, overlong bool) error {
	if bytes.EqualFold(line, []byte("DONE\r\n")) && len(p) == len(line) {
		// Also where IDLE is over: then it is a tag without a command, and upstream says so.
		g.clear()
		g.idle = nil
		return g.send(line)
	}
	if g.idle != nil && g.replies.unanswered(g.idle) {
		return errNotDone
	}
	g.idle = nil
	held := &heldCommand{rest: p}
	parser := &parser{rest: held.nextLine(), literal: held.literal}
	tag, err := parser.tag()
	if err != nil {
		return g.refuse("postern", "* BAD "+err.Error(), line)
	}
	if overlong || !wellFormed(line) {
		return g.refuse(tag, tag+" BAD Invalid line", line)
	}
	name, err := g.rules.judge(parser)
	var wanted wantedLiteral
	if errors.As(err, &wanted) {
		return g.wait(tag, p, wanted)
	}
	if err != nil {
		return g.refuse(tag, tag+" "+g.answer(err), line)
	}
	first, _, _ := bytes.Cut(p, []byte("\n"))
	head, tail := edges(keep(nil, first))
	count(&g.counts, name, head, tail)
	return g.forward(tag, name, p, held.ends)
}

// answer is what a client hears of a command that was not allowed.
func (g *guard) answer(err error) string {
	if refused := refusal(""); errors.As(err, &refused) {
		g.counts.Refused++
		return refused.Error()
	}
	if errors.Is(err, errLiteralTooBig) {
		return "BAD [TOOBIG] Literal too long"
	}
	return "BAD " + err.Error()
}

// refuse gives the client an answer in the place of a command, and drops the rest of it. line is its last line so far.
func (g *guard) refuse(tag, answer string, line []byte) error {
	g.drop(line)
	g.clear()
	return g.noop(tag, answer)
}

// noop has the client get a line where the answer to a command would be.
func (g *guard) noop(tag, line string) error {
	if _, err := g.replies.add(tag, line); err != nil {
		return err
	}
	return g.send([]byte(tag + " NOOP\r\n"))
}

// drop looks how a refused command goes on behind a line of it. A client that waits to send a literal hears the
// refusal, and the command is over; what it sends unasked is part of the command.
func (g *guard) drop(line []byte) {
	literal, ok := announcedBy(line)
	g.stage, g.literal = deciding, 0
	if ok && !literal.waits {
		g.stage, g.literal = dropping, literal.size
	}
}

// wait lets the client send a literal without which its command cannot be judged.
func (g *guard) wait(tag string, p []byte, literal wantedLiteral) error {
	if len(g.held) == 0 {
		g.held = bytes.Clone(p)
	}
	g.line, g.literal = len(g.held)+literal.size, int64(literal.size)
	if !literal.waits {
		return nil
	}
	return g.noop(tag, "+ Ready for "+strconv.Itoa(literal.size)+" bytes")
}

// forward sends an allowed command, as far as it is there. ends are where in it the literals are that have been held.
func (g *guard) forward(tag, name string, p []byte, ends []literalEnds) error {
	g.clear()
	c, err := g.replies.add(tag, "")
	if err != nil {
		return err
	}
	if name == "SELECT" && g.rules.readOnly {
		p = append([]byte(tag+" EXAMINE"), p[len(tag)+len(" SELECT"):]...)
		for i := range ends {
			ends[i].from, ends[i].to = ends[i].from+len("EXAMINE")-len("SELECT"), ends[i].to+len("EXAMINE")-len("SELECT")
		}
	}
	g.current, g.appends = c, name == "APPEND"
	at := 0
	for _, literal := range ends {
		granted, err := g.ask(p[at:literal.from], c, true)
		if err != nil {
			return err
		}
		if !granted {
			g.drop(p[ends[len(ends)-1].to:])
			return nil
		}
		if err := g.send(p[literal.from:literal.to]); err != nil {
			return err
		}
		at = literal.to
	}
	if name == "IDLE" {
		return g.enterIdle(p, c)
	}
	return g.sendLine(p[at:], c)
}

// enterIdle sends an IDLE and waits whether upstream lets the client into it.
func (g *guard) enterIdle(line []byte, c *command) error {
	question := g.replies.ask(c, false)
	if err := g.send(line); err != nil {
		return err
	}
	granted, err := g.replies.outcome(question)
	if granted {
		g.idle = c
	}
	return err
}

// sendLine sends a line of an allowed command. If it ends in the announcement of a literal, that or its refusal is next.
func (g *guard) sendLine(line []byte, c *command) error {
	literal, ok := announcedBy(line)
	if !ok {
		g.stage, g.current = deciding, nil
		return g.send(line)
	}
	granted, err := g.ask(line, c, !literal.waits)
	switch {
	case err != nil:
		return err
	case granted:
		g.stage, g.literal = sending, literal.size
	default:
		g.drop(line)
	}
	return nil
}

// ask sends a line that ends in the announcement of a literal, made one that waits, and gives upstream's word on it.
func (g *guard) ask(line []byte, c *command, hides bool) (granted bool, err error) {
	question := g.replies.ask(c, hides)
	if before, unasked := bytes.CutSuffix(line, []byte("+}\r\n")); unasked {
		line = append(bytes.Clone(before), "}\r\n"...)
	}
	if err := g.send(line); err != nil {
		return false, err
	}
	return g.replies.outcome(question)
}
