package throttle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/internal/secret"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store in memory.
type memory struct {
	mu     sync.Mutex
	counts map[string]Count // kind and subject → count
	known  map[string]Known // login and source → known
	saves  int
	most   int   // the largest batch
	fail   error // what every method gives, if not nil
}

func (m *memory) Guesses(context.Context) ([]Count, []Known, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var counts []Count
	var known []Known
	for _, c := range m.counts {
		counts = append(counts, c)
	}
	for _, k := range m.known {
		known = append(known, k)
	}
	return counts, known, m.fail
}

func (m *memory) SaveGuesses(_ context.Context, counts []Count, known []Known) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.saves++
	m.most = max(m.most, len(counts), len(known))
	if m.counts == nil {
		m.counts, m.known = make(map[string]Count), make(map[string]Known)
	}
	for _, c := range counts {
		m.counts[fmt.Sprintf("%s %x", c.Kind, c.Subject)] = c
	}
	for _, k := range known {
		m.known[k.Login+" "+k.Source.String()] = k
	}
	return nil
}

func (m *memory) PruneGuesses(_ context.Context, countsBefore, knownBefore time.Time, _ int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, c := range m.counts {
		if c.Guessed.Before(countsBefore) {
			delete(m.counts, key)
		}
	}
	for key, k := range m.known {
		if k.Used.Before(knownBefore) {
			delete(m.known, key)
		}
	}
	return m.fail
}

// set makes every method fail with err from now on; nil heals it.
func (m *memory) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) size() (counts, known, saves int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.counts), len(m.known), m.saves
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func hash(input []byte) []byte {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write(input)
	return mac.Sum(nil)
}

// world is a Guesses with a clock that the test moves.
type world struct {
	*Guesses
	*clock
	t     testing.TB
	store *memory
}

func newWorld(t testing.TB) *world {
	w := &world{clock: &clock{at: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}, t: t, store: &memory{}}
	w.open()
	t.Cleanup(func() { w.Guesses.Close() })
	return w
}

// open opens the guesses, after a Close as after a restart.
func (w *world) open() {
	w.t.Helper()
	g, err := Open(w.t.Context(), Config{Store: w.store, Hash: hash, Log: slog.New(slog.DiscardHandler), Now: w.clock.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Guesses = g
}

// address gives the nth address of an attacker.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{203, byte(n >> 16), byte(n >> 8), byte(n)})
}

// wrong tries a wrong secret and reports whether it was checked.
func (w *world) wrong(login string, from netip.Addr, attempt string) bool {
	check, admitted := w.Admit(login, from, secret.New(attempt))
	if admitted {
		check.Wrong()
	}
	return admitted
}

// right signs in and reports whether that was possible.
func (w *world) right(login string, from netip.Addr) bool {
	check, admitted := w.Admit(login, from, secret.New("the right one"))
	if admitted {
		check.Passed()
	}
	return admitted
}

// besiege makes guesses at a login, each from an address of its own, until strangers have to wait.
func (w *world) besiege(login string) {
	w.t.Helper()
	checked := 0
	for n := 0; checked < maxGuesses; n++ {
		if w.wrong(login, address(n), fmt.Sprint("guess ", n)) {
			checked++
		}
		if n%2 == 1 {
			w.pass(guessEvery)
		}
		if n > 10*maxGuesses {
			w.t.Fatalf("%d of %d guesses were checked", checked, n)
		}
	}
}
