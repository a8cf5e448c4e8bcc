package throttle

import (
	"context"
	"net/netip"
	"time"
)

const (
	// writeEvery is how long changes are gathered before they are written. A crash loses as much.
	writeEvery = time.Second
	// writeBatch is how many rows are written at once, of counts and of known sources each: a flood takes no more of the
	// store than that a second. What is over waits in memory, which is bounded.
	writeBatch = 1000
	// writeTimeout is how long one writing may take.
	writeTimeout = 10 * time.Second
	// pruneEvery is how often the store is rid of what is old or too much.
	pruneEvery = time.Minute
)

// The kinds of counts.
const (
	LoginCount  = "login"
	SourceCount = "source"
)

// Count is what is kept of the guesses at a login or from a source. It holds no name and no fingerprint.
type Count struct {
	Kind    string   // LoginCount or SourceCount
	Subject [16]byte // keyed hash of the login; the source's address or network
	Guesses int
	Level   int       // of a source: how often it was held off
	Guessed time.Time // the last time
	Held    time.Time // until when it is held off; the zero time for not at all
	Due     time.Time // of a login: when the next guess would be due if they came evenly
	Lane    time.Time // of a login: until when sources that have not guessed are held off
	Began   time.Time // of a source: when the counting of its guesses began
}

// Known is a source from which somebody signed in for a login.
type Known struct {
	Login  string
	Source netip.Prefix
	Used   time.Time // the last time, give or take an hour
}

// Store keeps the counts. Its methods are safe for concurrent use.
type Store interface {
	// Guesses gives all that is kept, what changed last at the end.
	Guesses(ctx context.Context) ([]Count, []Known, error)
	// SaveGuesses keeps counts and known sources, each in the stead of what was kept of it; all or none.
	SaveGuesses(ctx context.Context, counts []Count, known []Known) error
	// PruneGuesses removes the counts whose last guess was before a time, the known sources that were last used before
	// another, and of what is left, for each kind, all but the newest so many.
	PruneGuesses(ctx context.Context, countsBefore, knownBefore time.Time, most int) error
}

// load reads what was kept.
func (g *Guesses) load(ctx context.Context) error {
	if err := g.prune(ctx); err != nil {
		return err
	}
	counts, known, err := g.store.Guesses(ctx)
	if err != nil {
		return err
	}
	g.adopt(counts, known)
	return nil
}

// adopt takes what the store has for what is so.
func (g *Guesses) adopt(counts []Count, known []Known) {
	for _, c := range counts {
		switch c.Kind {
		case LoginCount:
			g.logins.change(c.Subject, func(s *loginState) bool {
				s.adopt(c)
				return false
			})
		case SourceCount:
			g.sources.change(c.Subject, func(s *sourceState) bool {
				s.adopt(c)
				return false
			})
		}
	}
	for _, k := range known {
		g.known.change(knownKey{k.Login, sourceOf(k.Source.Addr())}, func(at *int64) bool {
			*at = max(*at, millis(k.Used))
			return false
		})
	}
}

// changed wakes the writer.
func (g *Guesses) changed() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Close writes what is not written yet and ends the writer. Attempts are still decided about afterwards, and forgotten.
func (g *Guesses) Close() {
	g.once.Do(func() { close(g.stop) })
	g.follower.Wait()
	<-g.done
}

// write is the writer's goroutine. While nothing changes it sleeps.
func (g *Guesses) write() {
	defer close(g.done)
	failing := false
	for stopped := false; !stopped; {
		select {
		case <-g.wake:
			stopped = g.pause()
		case <-g.stop:
			stopped = true
		}
		more, err := g.flush()
		for stopped && more && err == nil {
			more, err = g.flush()
		}
		if err != nil && (stopped || !failing) { // not every second of a long failure
			g.log.Error("the counts of wrong passwords cannot be written", "error", err, "retry", !stopped)
		}
		if failing = err != nil; failing || more {
			g.changed()
		}
	}
}

// pause lets changes gather. It reports whether the guesses are closed meanwhile.
func (g *Guesses) pause() (stopped bool) {
	timer := time.NewTimer(writeEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-g.stop:
		return true
	}
}

// flush writes a batch of what has changed, or keeps it when that fails. It reports whether there may be more.
func (g *Guesses) flush() (more bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	var counts []Count
	var known []Known
	half := writeBatch / 2
	n := g.logins.takeDirty(half, func(id loginID, s loginState) { counts = append(counts, s.count(id)) })
	m := g.sources.takeDirty(half, func(key source, s sourceState) { counts = append(counts, s.count(key)) })
	k := g.known.takeDirty(writeBatch, func(key knownKey, at int64) {
		known = append(known, Known{key.login, key.source.prefix(), fromMillis(at)})
	})
	if n+m+k == 0 {
		return false, nil
	}
	if err := g.store.SaveGuesses(ctx, counts, known); err != nil {
		g.keepDirty(counts, known)
		return true, err
	}
	if g.now().Sub(g.pruned) >= pruneEvery {
		err = g.prune(ctx)
	}
	return n == half || m == half || k == writeBatch, err
}

// keepDirty takes a batch that could not be written for unwritten again; what has been forgotten meanwhile stays so.
func (g *Guesses) keepDirty(counts []Count, known []Known) {
	for _, c := range counts {
		if c.Kind == LoginCount {
			g.logins.unwritten(c.Subject)
		} else {
			g.sources.unwritten(c.Subject)
		}
	}
	for _, k := range known {
		g.known.unwritten(knownKey{k.Login, sourceOf(k.Source.Addr())})
	}
}

// prune rids the store of what is old, and of what is more than is remembered here.
func (g *Guesses) prune(ctx context.Context) error {
	now := g.now()
	g.pruned = now
	return g.store.PruneGuesses(ctx, now.Add(-quiet), now.Add(-knownFor), max(maxLogins, maxSources, maxKnown))
}
