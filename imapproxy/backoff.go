package imapproxy

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/auth"
)

const (
	// pauseUnavailable is how long a mailbox is left alone when upstream names no time (reference B.2).
	pauseUnavailable = time.Minute
	// maxPause bounds the time that upstream names: it is a stranger's number.
	maxPause = 5 * time.Minute
	// pauseNotConnected is how long a mailbox is left alone that is "authenticated but not connected". It is short, and
	// comes at the second time only, because this is said of a tenant that is set up wrongly, above all: whoever has just
	// mended that must not be told the old answer by us.
	pauseNotConnected = 10 * time.Second
	// strikeMemory is how long the first "not connected" is remembered.
	strikeMemory = time.Minute
	// maxPaused bounds the mailboxes that are remembered. To forget one costs one question to upstream.
	maxPaused = 10_000
	// sweepInterval is how often, at most, a full memory is searched for mailboxes that may be forgotten.
	sweepInterval = time.Second
)

// upstreamError is what upstream said against opening a mailbox.
type upstreamError struct {
	said         string        // upstream's own words
	words        string        // with what they mean
	pause        time.Duration // for how long the mailbox is to be left alone; 0 where upstream wants no pause
	notConnected bool
}

func (e *upstreamError) Error() string    { return errUpstream.Error() + ": " + e.words }
func (e *upstreamError) Unwrap() error    { return errUpstream }
func (e *upstreamError) saidLine() string { return e.said }

// suggestedBackoff is Exchange's way to name a time.
var suggestedBackoff = regexp.MustCompile(`SUGGESTED BACKOFF TIME: ([0-9]{1,12}) MILLISECONDS`)

// upstreamSaid gives the error of a line that upstream said about the mailbox of user (reference B.2, throttling).
func upstreamSaid(line, user string) *upstreamError {
	said := &upstreamError{said: printable(line), words: translated(line, user)}
	upper := strings.ToUpper(line)
	if named := suggestedBackoff.FindStringSubmatch(upper); named != nil {
		milliseconds, _ := strconv.ParseInt(named[1], 10, 64)
		said.pause = min(time.Duration(milliseconds)*time.Millisecond, maxPause)
		return said
	}
	switch {
	case strings.Contains(upper, "SERVER UNAVAILABLE"), strings.Contains(upper, "IS THROTTLED"):
		said.pause = pauseUnavailable
	case strings.Contains(upper, "AUTHENTICATED BUT NOT CONNECTED"):
		said.pause, said.notConnected = pauseNotConnected, true
	}
	return said
}

// upstreamMailbox is a mailbox as upstream knows it.
type upstreamMailbox struct{ provider, user string }

// backoff remembers the mailboxes that upstream wants to be left alone. Without it, each attempt of an impatient client
// would be another request to an upstream that throttles, which makes it throttle longer. It is safe for concurrent use.
type backoff struct {
	now func() time.Time

	mu     sync.Mutex
	paused map[upstreamMailbox]pause // mailbox → what upstream wants
	swept  time.Time                 // when those that were over were last looked for
}

// pause is for how long a mailbox is left alone. What is forgotten later than it is over is a first strike.
type pause struct{ over, forgotten time.Time }

func newBackoff(now func() time.Time) *backoff {
	return &backoff{now: now, paused: make(map[upstreamMailbox]pause)}
}

// check gives the refusal for a mailbox that is to be left alone; nil for all others.
func (b *backoff) check(m upstreamMailbox) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.paused[m].over.Sub(b.now())
	if left <= 0 {
		return nil
	}
	seconds := int((left + time.Second - 1) / time.Second)
	return &auth.Refusal{
		Kind: auth.Unavailable, Reason: auth.UpstreamUnavailable,
		Say: fmt.Sprintf("Exchange Online wants a pause for this mailbox, try again in %d seconds", seconds),
		Err: fmt.Errorf("%w: it wants a pause for this mailbox, for %d more seconds", errUpstream, seconds),
	}
}

// note takes in how the opening of a mailbox went; a nil err is one that was opened.
func (b *backoff) note(m upstreamMailbox, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.paused, m)
		return
	}
	var said *upstreamError
	if !errors.As(err, &said) || said.pause <= 0 {
		return
	}
	now := b.now()
	earlier, struck := b.paused[m]
	if said.notConnected && !(struck && now.Before(earlier.forgotten)) {
		b.remember(m, pause{over: now, forgotten: now.Add(strikeMemory)})
		return
	}
	// By chance a fifth longer, so that those who wait together do not come back together.
	over := now.Add(said.pause + rand.N(said.pause/5+1))
	b.remember(m, pause{over: over, forgotten: over.Add(strikeMemory)})
}

// remember keeps a pause, and room for it. The caller holds the lock.
func (b *backoff) remember(m upstreamMailbox, p pause) {
	if _, known := b.paused[m]; !known && len(b.paused) >= maxPaused {
		b.makeRoom()
	}
	b.paused[m] = p
}

// makeRoom forgets those that are over, and if there are none, one that is not. The caller holds the lock.
func (b *backoff) makeRoom() {
	// To look at all of them for each new one would cost more than an attempt upstream, which is what this is to save.
	if now := b.now(); now.Sub(b.swept) >= sweepInterval {
		b.swept = now
		maps.DeleteFunc(b.paused, func(_ upstreamMailbox, p pause) bool { return !now.Before(p.forgotten) })
	}
	for m := range b.paused {
		if len(b.paused) < maxPaused {
			return
		}
		delete(b.paused, m)
	}
}
