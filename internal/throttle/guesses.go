package throttle

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/secret"
)

// Config is what the guesses are counted with.
type Config struct {
	Store Store // required
	// Shared is the same store where several gateways count together; nil where this one is alone. An attempt that is a guess
	// then waits for it.
	Shared Shared
	Hash   func(input []byte) []byte // a keyed pseudo-random function of at least 16 bytes; required
	Log    *slog.Logger              // required
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Guesses counts wrong secrets and holds off those who guess. It is safe for concurrent use; no call waits for another
// longer than a few look-ups take, and none for the store unless it is shared. It owns goroutines: close it.
type Guesses struct {
	store  Store
	shared Shared
	hash   func([]byte) []byte
	log    *slog.Logger
	now    func() time.Time

	logins  *table[loginID, loginState]
	sources *table[source, sourceState]
	known   *table[knownKey, int64] // login and source → the last sign-in, milliseconds since 1970

	pruned time.Time     // when the store was last rid of what is old; the writer's alone
	wake   chan struct{} // holds one when there is something to write
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended
	once   sync.Once

	follower sync.WaitGroup
	trouble  atomic.Bool // with the shared store, and the log knows
}

// knownKey is a source that is known for a login, which is one of the configuration's.
type knownKey struct {
	login  string
	source source
}

// Open reads the counts from the store, and begins to write them there.
func Open(ctx context.Context, c Config) (*Guesses, error) {
	g := &Guesses{
		store: c.Store, shared: c.Shared, hash: c.Hash, log: c.Log, now: c.Now,
		logins:  newTable[loginID, loginState](maxLogins),
		sources: newTable[source, sourceState](maxSources),
		known:   newTable[knownKey, int64](maxKnown),
		wake:    make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if g.now == nil {
		g.now = time.Now
	}
	if err := g.load(ctx); err != nil {
		return nil, fmt.Errorf("reading the counts of wrong passwords: %w", err)
	}
	go g.write()
	if g.shared != nil {
		g.follower.Go(g.follow)
	}
	return g, nil
}

// Check is an attempt that is to be checked. Exactly one of its methods is called with the outcome. The zero Check counts
// nothing.
type Check struct {
	guesses *Guesses
	key     knownKey
	id      loginID
	print   uint64
	known   bool // by a source that is known for the login: nothing is counted
	charged bool // counted as a guess at the login
}

// Admit decides whether the secret of an attempt may be checked. login is in its canonical form and may be any text; the
// answer and its cost say nothing of whether there is such a login.
func (g *Guesses) Admit(login string, from netip.Addr, attempt secret.Text) (Check, bool) {
	now := g.now().UnixMilli()
	c := Check{guesses: g, key: knownKey{login, sourceOf(from)}}
	if c.known = g.isKnown(c.key, now); c.known {
		return c, true
	}
	fresh, held := true, false
	g.sources.look(c.key.source, func(s *sourceState) { fresh, held = s.fresh(now), holds(s.held, now, sourceDelay<<lastSourceLevel) })
	if held {
		return Check{}, false
	}
	c.id, c.print = g.loginID(login), g.fingerprint(login, attempt)
	outcome := heldOff
	g.logins.change(c.id, func(s *loginState) bool {
		outcome = s.admit(now, c.print, fresh)
		return outcome == charged && g.shared == nil
	})
	if outcome == charged && g.shared != nil {
		outcome = g.chargeShared(c, now, fresh)
	}
	switch outcome {
	case charged:
		c.charged = true
		g.changed()
		return c, true
	case repeated:
		return c, g.mayRepeat(c.key.source, now)
	}
	g.sources.change(c.key.source, func(s *sourceState) bool {
		s.turnAway(now)
		return false
	})
	return Check{}, false
}

func (g *Guesses) isKnown(key knownKey, now int64) (known bool) {
	g.known.look(key, func(at *int64) { known = now-*at <= knownFor.Milliseconds() })
	return known
}

func (g *Guesses) mayRepeat(from source, now int64) (may bool) {
	g.sources.change(from, func(s *sourceState) bool {
		may = repeatPace.take(&s.repeats, now)
		return false
	})
	return may
}

// Wrong says that the secret was wrong, or that there is no such login.
func (c Check) Wrong() {
	if c.known || c.guesses == nil {
		return
	}
	g := c.guesses
	now := g.now().UnixMilli()
	counted := false
	g.sources.change(c.key.source, func(s *sourceState) bool {
		counted = s.guess(now, c.print)
		return counted && g.shared == nil
	})
	if counted && g.shared != nil {
		g.guessShared(c.key.source, now)
	}
	g.changed()
}

// Void says that the attempt was no guess, though it was refused: the secret was right, or could not be checked.
func (c Check) Void() {
	if c.charged {
		c.guesses.changeLogin(c.id, func(s *loginState) { s.takeBack(c.print) })
	}
}

// Proved says that the secret was right, and was one that can be guessed: a code of six digits. The guesses are counted
// anew, and the source does not become known, for it would not be counted any more.
func (c Check) Proved() {
	if c.guesses == nil {
		return
	}
	if !c.known {
		c.guesses.changeLogin(c.id, func(s *loginState) {
			if c.charged {
				s.takeBack(c.print)
			}
			s.begin()
		})
	}
	c.guesses.changed()
}

// changeLogin changes what is known of a login, here and in the store.
func (g *Guesses) changeLogin(id loginID, do func(*loginState)) {
	g.logins.change(id, func(s *loginState) bool {
		do(s)
		return g.shared == nil
	})
	if g.shared != nil {
		g.changeShared(id, do)
	}
}

// Passed says that the attempt was allowed: its source is known for the login from now on.
func (c Check) Passed() {
	g := c.guesses
	if g == nil {
		return
	}
	c.Proved()
	now := g.now().UnixMilli()
	g.known.change(c.key, func(at *int64) bool {
		if now-*at < knownStep.Milliseconds() {
			return false
		}
		*at = now
		return true
	})
	g.changed()
}
