package imapproxy

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxInFlight is how many commands of a restricted session may wait for upstream's answer.
	maxInFlight = 256
	// replyPatience is how long upstream may take to let a literal be sent, or to answer one of maxInFlight commands.
	replyPatience = 5 * time.Minute
)

var (
	errUpstreamEnded  = errors.New("upstream ended the session")
	errUpstreamSilent = errors.New("upstream does not answer")
)

// replies is the filter of upstream's direction in a restricted session. It follows upstream's responses from line to
// line, and knows the commands that wait for an answer. It writes the answer to a command that was refused here in the
// place of upstream's answer to the NOOP that was sent instead, so that answers come in the order in which they would
// come without the gateway. And it says when upstream lets a literal be sent.
type replies struct {
	responses
	word  []byte // the first word of a line, or the first two of an untagged one, as far as it has come
	drops bool   // the line does not pass

	mu       sync.Mutex
	inFlight []*command
	question *question // nil when nobody asks
	ended    bool
	news     chan struct{} // has an element when any of the above has changed
}

// command is one that was sent upstream.
type command struct {
	tag     string
	instead string // the line that the client gets for upstream's answer; empty for upstream's own
}

// question is whether upstream lets the client go on with a command: by its literal, or into IDLE.
type question struct {
	command *command
	hides   bool // the client does not see the word to go on
	granted bool
	refused bool
}

func newReplies() *replies { return &replies{news: make(chan struct{}, 1)} }

// Pass implements [relay.Filter].
func (r *replies) Pass(p []byte, send func([]byte) error) error {
	for len(p) > 0 {
		pass, instead, rest := r.next(p)
		for _, part := range [][]byte{pass, instead} {
			if len(part) > 0 {
				if err := send(part); err != nil {
					return err
				}
			}
		}
		p = rest
	}
	return nil
}

// next takes from p what passes in one piece, up to a line that does not. instead is what the client gets for that.
func (r *replies) next(p []byte) (pass, instead, rest []byte) {
	at := 0
	for at < len(p) {
		if r.place != atStart {
			n := r.through(p[at:])
			if r.place == atStart {
				r.word = r.word[:0]
			}
			if r.drops {
				r.drops = r.place == inLine
				return nil, nil, p[at+n:]
			}
			at += n
			continue
		}
		earlier := len(r.word)
		n, whole := r.gather(p[at:])
		if !whole {
			return p[:at], nil, nil // what was gathered is held back until it is known what the line is
		}
		text := r.classify(string(r.word))
		r.place = inLine
		if r.drops {
			return p[:at], text, p[at+n:]
		}
		if earlier > 0 { // then nothing has passed before it
			return r.word, nil, p[at+n:]
		}
		at += n
	}
	return p, nil, nil
}

// gather adds to the line's first word, and reports whether that is whole.
func (r *replies) gather(p []byte) (n int, whole bool) {
	for ; n < len(p); n++ {
		if c := p[n]; c == '\r' || c == '\n' || len(r.word) > maxTag {
			return n, true
		} else if r.word = append(r.word, c); c == ' ' && (r.word[0] != '*' || bytes.Count(r.word, []byte(" ")) == 2) {
			return n + 1, true
		}
	}
	return n, false
}

// classify decides what becomes of a line by its first word or two, and gives the text that stands for it.
func (r *replies) classify(word string) (instead []byte) {
	r.drops, r.untagged = false, false
	switch {
	case strings.HasPrefix(word, "+"):
		r.drops = r.granted()
	case strings.HasPrefix(word, "* "):
		r.untagged = !isStatus(strings.TrimSpace(word[2:]))
	default:
		if text := r.answered(strings.TrimSuffix(word, " ")); text != "" {
			r.drops = true
			return []byte(text + "\r\n")
		}
	}
	return nil
}

// granted takes upstream's word to go on, and reports whether it is not for the client.
func (r *replies) granted() (hidden bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.question
	if q == nil || q.granted || q.refused {
		return false
	}
	q.granted = true
	r.tell()
	return q.hides
}

// answered takes a tagged answer, and gives the line that stands for it. Of commands with one tag it is the first's.
func (r *replies) answered(tag string) (instead string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.inFlight, func(c *command) bool { return c.tag == tag })
	if i < 0 {
		return ""
	}
	c := r.inFlight[i]
	r.inFlight = slices.Delete(r.inFlight, i, i+1)
	if q := r.question; q != nil && q.command == c {
		q.refused = !q.granted
	}
	r.tell()
	return c.instead
}

// Ended implements [relay.Filter].
func (r *replies) Ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.tell()
}

// tell wakes the client's direction. r.mu is held.
func (r *replies) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// await waits until done, which is called with r.mu held.
func (r *replies) await(done func() bool) error {
	var patience <-chan time.Time
	for {
		r.mu.Lock()
		ok, ended := done(), r.ended
		r.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return errUpstreamEnded
		}
		if patience == nil {
			patience = time.After(replyPatience)
		}
		select {
		case <-r.news:
		case <-patience:
			return errUpstreamSilent
		}
	}
}

// add notes a command that is about to be sent, once there is room for it. For instead see [command].
func (r *replies) add(tag, instead string) (*command, error) {
	c := &command{tag: tag, instead: instead}
	err := r.await(func() bool {
		room := len(r.inFlight) < maxInFlight
		if room {
			r.inFlight = append(r.inFlight, c)
		}
		return room
	})
	return c, err
}

// ask notes that the next word to go on is for a command, which is about to be sent up to there.
func (r *replies) ask(c *command, hides bool) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.question = &question{command: c, hides: hides}
	return r.question
}

// outcome waits for the answer to a question.
func (r *replies) outcome(q *question) (granted bool, err error) {
	err = r.await(func() bool { return q.granted || q.refused })
	return q.granted, err
}

// unanswered reports whether a command still waits for its answer.
func (r *replies) unanswered(c *command) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.inFlight, c)
}
