package throttle

import (
	"context"
	"time"
)

// Shared is a store on which several gateways count together. A guess at a login is counted in its row, so that however
// many gateways there are, one login has one pace; what is known of sources reaches the others within a second. What tells
// secrets apart stays in each gateway's memory: a printer that repeats one wrong password counts once for each.
type Shared interface {
	// ChangeCount changes the count of a subject, which no gateway changes meanwhile. f is given the present one, which is the
	// zero Count but for its kind and subject where there is none, and may be called more than once.
	ChangeCount(ctx context.Context, kind string, subject [16]byte, f func(Count) Count) error
	// GuessesSince gives counts and known sources that have changed since a time, the newest first, limit of each kind at most.
	GuessesSince(ctx context.Context, since time.Time, limit int) ([]Count, []Known, error)
}

const (
	// followEvery is how often a gateway looks at what others have counted.
	followEvery = time.Second
	// followOverlap is how far it looks back behind what it has seen: rows come to light a little after their time.
	followOverlap = 5 * time.Second
	// followBatch is how many rows of a kind it takes at once: a flood takes no more of the store than that a second.
	followBatch = 2000
	// sharedTimeout is how long an attempt waits for the store. Then this gateway's own counts decide.
	sharedTimeout = 2 * time.Second
)

// chargeShared counts a guess at a login that this gateway's own count lets through, if the count of all does, too.
func (g *Guesses) chargeShared(c Check, now int64, fresh bool) answer {
	var outcome answer
	var after Count
	err := g.change(LoginCount, c.id, func(kept Count) Count {
		var s loginState
		s.adopt(kept)
		outcome = s.admit(now, c.print, fresh)
		after = s.count(c.id)
		return after
	})
	if err != nil {
		return charged
	}
	g.logins.change(c.id, func(s *loginState) bool {
		s.adopt(after)
		if outcome == heldOff {
			s.tried.remove(c.print) // it was not checked, and so is no repetition the next time
		}
		return false
	})
	return outcome
}

// guessShared counts a wrong secret of a source that is new to it here.
func (g *Guesses) guessShared(from source, now int64) {
	var after Count
	err := g.change(SourceCount, from, func(kept Count) Count {
		var s sourceState
		s.adopt(kept)
		s.guess(now, 0)
		after = s.count(from)
		return after
	})
	if err == nil {
		g.sources.change(from, func(s *sourceState) bool {
			s.adopt(after)
			return false
		})
	}
}

// changeShared changes what all know of a login.
func (g *Guesses) changeShared(id loginID, do func(*loginState)) {
	_ = g.change(LoginCount, id, func(kept Count) Count {
		var s loginState
		s.adopt(kept)
		do(&s)
		s.last = g.now().UnixMilli() // so that others look at it
		return s.count(id)
	})
}

// change changes a count in the shared store. The log hears of the first failure of a row, and of its end.
func (g *Guesses) change(kind string, subject [16]byte, f func(Count) Count) error {
	ctx, cancel := context.WithTimeout(context.Background(), sharedTimeout)
	defer cancel()
	err := g.shared.ChangeCount(ctx, kind, subject, f)
	g.report(err)
	return err
}

func (g *Guesses) report(err error) {
	switch failing := err != nil; {
	case failing && !g.trouble.Swap(true):
		g.log.Error("wrong passwords are counted by this gateway alone", "error", err)
	case !failing && g.trouble.Swap(false):
		g.log.Info("wrong passwords are counted together with other gateways again")
	}
}

// follow takes over what other gateways have counted, until the guesses are closed.
func (g *Guesses) follow() {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	seen := g.now()
	for {
		select {
		case <-ticker.C:
		case <-g.stop:
			return
		}
		seen = g.look(seen)
	}
}

// look takes over what has changed since a time, and gives the time from which to look next.
func (g *Guesses) look(seen time.Time) time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	now := g.now()
	counts, known, err := g.shared.GuessesSince(ctx, seen.Add(-followOverlap), followBatch)
	g.report(err)
	if err != nil {
		return seen
	}
	g.adopt(counts, known)
	return now
}
