package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/audit"
	"postern/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	aliceAccount = Account{Provider: "contoso", Grant: Delegated, Name: alice.Username}
	bobAccount   = Account{Provider: "contoso", Grant: Delegated, Name: bob.Username}
	appAccount   = Account{Provider: "contoso", Grant: Application}
)

// memory is a store in memory, with faults.
type memory struct {
	mu         sync.Mutex
	enrolments map[Account]Enrolment
	caches     map[CacheKey][]byte
	saved      map[CacheKey]time.Time // when
	leases     map[CacheKey]held
	saves      int

	readFault, saveFault, markFault error
}

// held is a lease.
type held struct {
	holder string
	end    time.Time
}

func newMemory() *memory {
	return &memory{enrolments: make(map[Account]Enrolment), caches: make(map[CacheKey][]byte), saved: make(map[CacheKey]time.Time),
		leases: make(map[CacheKey]held)}
}

func (m *memory) Enrolment(_ context.Context, account Account) (Enrolment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readFault != nil {
		return Enrolment{}, m.readFault
	}
	e, ok := m.enrolments[account]
	if !ok {
		return Enrolment{}, fmt.Errorf("account %q: %w", account.Name, ErrNotEnrolled)
	}
	return e, nil
}

func (m *memory) SaveEnrolment(ctx context.Context, account Account, e Enrolment, key CacheKey, cache []byte) error {
	if err := m.SaveCache(ctx, key, cache); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.caches {
		if other.Owner == key.Owner && other.Kind != key.Kind {
			delete(m.caches, other)
		}
	}
	e.Since = e.Since.Truncate(time.Millisecond) // as databases do
	m.enrolments[account] = e
	return nil
}

func (m *memory) SetStanding(_ context.Context, account Account, now Enrolment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.markFault != nil {
		return m.markFault
	}
	now.Identity = m.enrolments[account].Identity
	now.Since, now.RetryAt = now.Since.Truncate(time.Millisecond), now.RetryAt.Truncate(time.Millisecond)
	m.enrolments[account] = now
	return nil
}

func (m *memory) Idle(_ context.Context, before, ahead time.Time, limit int) ([]Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var idle []Account
	for account, e := range m.enrolments {
		saved := m.saved[personKey(account, e.Identity)]
		if !e.NeedsSignIn && !e.Refused && (saved.Before(before) || saved.After(ahead)) && len(idle) < limit {
			idle = append(idle, account)
		}
	}
	return idle, m.readFault
}

func (m *memory) TakeLease(_ context.Context, key CacheKey, holder string, now time.Time, life time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kept, taken := m.leases[key]; taken && kept.holder != holder && now.Before(kept.end) {
		return false, nil
	}
	m.leases[key] = held{holder, now.Add(life)}
	return true, nil
}

func (m *memory) ReleaseLease(_ context.Context, key CacheKey, holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases[key].holder == holder {
		delete(m.leases, key)
	}
	return nil
}

func (m *memory) Cache(_ context.Context, key CacheKey) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.caches[key]), m.readFault
}

func (m *memory) Used(_ context.Context, account Account, identity Identity) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved[personKey(account, identity)], m.readFault
}

func (m *memory) SaveCache(_ context.Context, key CacheKey, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saveFault != nil {
		return m.saveFault
	}
	m.saves++
	m.caches[key], m.saved[key] = bytes.Clone(content), time.Now()
	return nil
}

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// recorder is an audit log in memory, with a fault.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	fault  error
}

func (r *recorder) Record(e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return r.fault
	}
	r.events = append(r.events, e)
	return nil
}

// kinds gives the kinds of the events so far, in order.
func (r *recorder) kinds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, e.Kind())
	}
	return kinds
}

// harness is a source with all that is around it.
type harness struct {
	t      *testing.T
	entra  *fakeEntra
	store  *memory
	audit  *recorder
	log    *bytes.Buffer
	logger *slog.Logger // writes there, for all sources
	source *Source
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, entra: newFakeEntra(t), store: newMemory(), audit: new(recorder), log: new(bytes.Buffer)}
	h.logger = slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.source = h.newSource()
	return h
}

// newSource makes a source on what is there already: another process that shares the store, or one after a restart.
func (h *harness) newSource() *Source {
	h.t.Helper()
	return h.newSourceAs(MicrosoftConfig{ClientSecret: secret.New(secretMark + "-client")})
}

// newSourceAs is newSource with a credential of the application's, or none.
func (h *harness) newSourceAs(credential MicrosoftConfig) *Source {
	h.t.Helper()
	source := NewSource(Config{
		Providers: map[string]*Microsoft{"contoso": h.provider(credential)},
		Store:     h.store, Audit: h.audit,
		Log: h.logger,
	})
	h.t.Cleanup(source.Close)
	return source
}

// provider makes a provider of the fake, with what is the same for all.
func (h *harness) provider(c MicrosoftConfig) *Microsoft {
	h.t.Helper()
	if c.Authority == "" {
		c.Authority = "https://localhost/" + tenantDomain
	}
	c.ClientID, c.ApplicationScope, c.Roots = clientID, appScope, h.entra.roots
	c.Scopes = []string{imapScope, smtpScope}
	provider, err := newMicrosoft(c, h.entra.dial)
	if err != nil {
		h.t.Fatal(err)
	}
	return provider
}

// enroll enrols an account, with no access token kept, so that the next use asks for one.
func (h *harness) enroll(account Account, who Identity) {
	h.t.Helper()
	h.entra.set(func() { h.entra.signedIn = &who })
	if _, err := h.source.Enroll(context.Background(), account, "root", func(DeviceCode) {}); err != nil {
		h.t.Fatalf("enrolling %s: %v", account, err)
	}
	row := cacheRow{content: h.store.caches[personKey(account, who)]}
	if err := row.dropAccessTokens(); err != nil {
		h.t.Fatal(err)
	}
	h.store.set(func() { h.store.caches[personKey(account, who)] = row.content })
	h.entra.set(func() { h.entra.calls, h.entra.forms, h.entra.at = nil, nil, nil })
	h.audit.mu.Lock()
	h.audit.events = nil
	h.audit.mu.Unlock()
}

// use gets a token, and has nothing to do with it.
func (h *harness) use(account Account) (Access, error) { return use(h.source, account) }

func use(s *Source, account Account) (got Access, err error) {
	err = s.Use(context.Background(), account, func(_ context.Context, access Access) error {
		got = access
		return nil
	})
	return got, err
}

// mustUse gets a token or ends the test.
func (h *harness) mustUse(account Account) Access {
	h.t.Helper()
	access, err := h.use(account)
	if err != nil {
		h.t.Fatal(err)
	}
	return access
}

// wantClass checks the class of an error, and gives the error.
func (h *harness) wantClass(err error, want Class) *Error {
	h.t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		h.t.Errorf("got %v, want an *Error", err)
		return new(Error)
	}
	if failed.Class != want {
		h.t.Errorf("got %v, want it %s", failed, want)
	}
	return failed
}

// wantCalls checks the number of token requests since the accounts were enrolled.
func (h *harness) wantCalls(want int) {
	h.t.Helper()
	if got := h.entra.count(); got != want {
		h.t.Fatalf("got %d token requests, want %d", got, want)
	}
}

func (h *harness) wantEvents(want ...string) {
	h.t.Helper()
	if got := h.audit.kinds(); !slices.Equal(got, want) {
		h.t.Fatalf("got events %v, want %v", got, want)
	}
}
