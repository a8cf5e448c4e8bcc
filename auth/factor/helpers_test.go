package factor

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/audit"
	"postern/internal/secret"
	"postern/internal/throttle"

	"github.com/pquerna/otp/totp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// world is a keeper with all that is around it.
type world struct {
	*Keeper
	t       *testing.T
	now     time.Time
	store   *memory
	events  []audit.Event
	hushed  error // what the audit log gives, if not nil
	guesses guesses
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: start, store: &memory{ceremonies: make(map[[2]string]Ceremony)}}
	portal, err := url.Parse("https://mail.contoso.example:8443")
	if err != nil {
		t.Fatal(err)
	}
	w.Keeper, err = New(Config{Store: w.store, Guesses: &w.guesses, Audit: w, Portal: portal, Issuer: "Postern",
		Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Record makes a world its own audit log.
func (w *world) Record(e audit.Event) error {
	if w.hushed == nil {
		w.events = append(w.events, e)
	}
	return w.hushed
}

// recorded gives the kinds of the events since the last call.
func (w *world) recorded() string {
	var kinds []string
	for _, e := range w.events {
		kind := e.Kind()
		if refused, ok := e.(audit.FactorRefused); ok {
			kind += ":" + refused.Reason
		}
		kinds = append(kinds, kind)
	}
	w.events = nil
	return strings.Join(kinds, " ")
}

// alice gives alice, who has just signed in, in a browser.
func (w *world) alice(browser string) Actor {
	return Actor{Person: Person{"contoso", "alice"}, Username: "alice@contoso.example", Browser: browser,
		Remote: netip.MustParseAddr("10.0.8.9"), SignedIn: w.now}
}

// code is what an authenticator with the key shows.
func (w *world) code(key string) secret.Text {
	w.t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return secret.New(code)
}

// enrolTOTP enrols an authenticator and gives its key.
func (w *world) enrolTOTP(a Actor, name string) (key string, f Factor, p Proof) {
	w.t.Helper()
	w.must(w.BeginTOTP(w.t.Context(), a))
	pending, err := w.PendingTOTP(w.t.Context(), a)
	w.must(err)
	key = pending.Key.Reveal()
	f, p, err = w.FinishTOTP(w.t.Context(), a, name, w.code(key))
	w.must(err)
	return key, f, p
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refuses looks at why something was refused, and at the audit's line of it.
func (w *world) refuses(what string, err error, want Reason) {
	w.t.Helper()
	if got := ReasonOf(err); got != want {
		w.t.Errorf("%s: got %v, want a refusal with %s", what, err, want)
	}
	if got, want := w.recorded(), "factor-refused:"+string(want); got != want {
		w.t.Errorf("%s: the audit has %q, want %q", what, got, want)
	}
}

// recordedAs looks at the audit's lines since the last look.
func (w *world) recordedAs(want string) {
	w.t.Helper()
	if got := w.recorded(); got != want {
		w.t.Errorf("the audit has %q, want %q", got, want)
	}
}

// guesses admits everybody until it is closed.
type guesses struct {
	closed bool
	asked  []string
}

func (g *guesses) Admit(login string, _ netip.Addr, attempt secret.Text) (throttle.Check, bool) {
	g.asked = append(g.asked, login+" "+attempt.Reveal())
	return throttle.Check{}, !g.closed
}

// memory is a store in memory.
type memory struct {
	mu         sync.Mutex
	factors    []Factor
	ceremonies map[[2]string]Ceremony
	fail       error
	meanwhile  func() // runs once, before the next change
}

func (m *memory) lock() func() {
	if do := m.meanwhile; do != nil {
		m.meanwhile = nil
		do()
	}
	m.mu.Lock()
	return m.mu.Unlock
}

func (m *memory) of(p Person) (own []Factor) {
	for _, f := range m.factors {
		if f.Person == p {
			own = append(own, f)
		}
	}
	return own
}

func (m *memory) AddFactor(_ context.Context, f Factor, first bool) (bool, error) {
	defer m.lock()()
	if first && len(m.of(f.Person)) > 0 {
		return false, m.fail
	}
	m.factors = append(m.factors, f)
	return true, m.fail
}

func (m *memory) Factors(_ context.Context, p Person) ([]Factor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(p), m.fail
}

func (m *memory) UseFactor(_ context.Context, f Factor, seen int64) (bool, error) {
	defer m.lock()()
	i := slices.IndexFunc(m.factors, func(have Factor) bool { return have.ID == f.ID && have.Counter == seen })
	if i >= 0 {
		m.factors[i] = f
	}
	return i >= 0, m.fail
}

func (m *memory) RenameFactor(_ context.Context, p Person, id, name string) (bool, error) {
	defer m.lock()()
	for i, f := range m.factors {
		if f.ID == id && f.Person == p {
			m.factors[i].Name = name
			return true, m.fail
		}
	}
	return false, m.fail
}

func (m *memory) RemoveFactor(_ context.Context, p Person, id string) (bool, error) {
	defer m.lock()()
	before := len(m.factors)
	m.factors = slices.DeleteFunc(m.factors, func(f Factor) bool { return f.ID == id && f.Person == p })
	return len(m.factors) < before, m.fail
}

func (m *memory) RemoveFactors(_ context.Context, p Person) (int, error) {
	defer m.lock()()
	before := len(m.factors)
	m.factors = slices.DeleteFunc(m.factors, func(f Factor) bool { return f.Person == p })
	return before - len(m.factors), m.fail
}

func (m *memory) SaveCeremony(_ context.Context, c Ceremony, _ time.Time) error {
	defer m.lock()()
	m.ceremonies[[2]string{c.Browser, c.Purpose}] = c
	return m.fail
}

func (m *memory) Ceremony(_ context.Context, browser, purpose string) (Ceremony, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, found := m.ceremonies[[2]string{browser, purpose}]
	return c, found, m.fail
}

func (m *memory) TakeCeremony(ctx context.Context, browser, purpose string) (Ceremony, bool, error) {
	c, found, err := m.Ceremony(ctx, browser, purpose)
	defer m.lock()()
	delete(m.ceremonies, [2]string{browser, purpose})
	return c, found, err
}

var errDown = errors.New("the store is down")
