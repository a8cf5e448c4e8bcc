package token

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"postern/internal/audit"
	"postern/internal/secret"
)

// Config is what a source is made of.
type Config struct {
	// Providers are the providers by their names in the configuration.
	Providers map[string]*Microsoft // required
	Store     Store                 // required
	// Audit takes one event for each token that was fetched or refused, and for each enrolment.
	Audit interface{ Record(audit.Event) error } // required
	Log   *slog.Logger                           // required
	// Wanted says whether an enrolled account is still one of the configuration's: those are kept alive when nobody uses
	// them. Nil for a command, which is over soon and keeps none alive.
	Wanted func(Account) bool
}

const (
	// flightTime bounds one request for a token, from the store to the provider and back.
	flightTime = maxTurn + httpTimeout
	// patience is how long a caller waits for a better token when there is one that will do.
	patience = 5 * time.Second
	// spare is the life that a token must still have to be handed out at all.
	spare = time.Minute
	// renewalsInReserve and renewalEvery bound the renewals that upstream's refusals cause, for one account. Upstream
	// refuses a good token, too, where the mailbox is set up wrongly, and a device tries again for ever.
	renewalsInReserve = 3
	renewalEvery      = 5 * time.Minute
)

// Source keeps the tokens of all accounts and gets new ones. It is safe for concurrent use, and owns goroutines: close
// it.
type Source struct {
	providers atomic.Pointer[map[string]*Microsoft] // name → provider; changed under mu
	store     Store
	audit     interface{ Record(audit.Event) error }
	log       *slog.Logger
	wanted    func(Account) bool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // flights, the renewal, the keeping alive
	crowds *rate.Limiter  // of log lines about requests that wait

	mu      sync.Mutex // guards what follows, entries' content included
	closed  bool
	entries map[Account]*entry
}

// NewSource makes a source and starts its work in the background: the renewals, and the keeping alive.
func NewSource(c Config) *Source {
	s := &Source{
		store: c.Store, audit: c.Audit, log: c.Log, wanted: c.Wanted,
		entries: make(map[Account]*entry), crowds: rate.NewLimiter(rate.Every(time.Minute), 1),
	}
	s.providers.Store(&c.Providers)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.renewAhead)
	if s.wanted != nil {
		s.tasks.Go(s.keepAlive)
	}
	return s
}

// Close gives up what is under way and waits for it to end. After it, no token is asked for any more.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.tasks.Wait()
	for _, provider := range *s.providers.Load() {
		provider.client.CloseIdleConnections()
	}
}

// Use calls do with a token for the account that has at least half of its life ahead, or with the best that can be had
// while the provider is in trouble. When do returns an error that wraps [ErrRefused], Use gets a new token, whatever the
// old one's age, and calls do once more; when upstream's refusals come often, it does so only now and then.
//
// The error is do's, or an *[Error] when there was no token. The request for a token goes on when ctx ends, for others
// and for the next time.
func (s *Source) Use(ctx context.Context, account Account, do func(context.Context, Access) error) error {
	access, failed := s.access(ctx, account)
	if failed != nil {
		return failed
	}
	err := do(ctx, access)
	if !errors.Is(err, ErrRefused) {
		return err
	}
	renewed, may, failed := s.renew(ctx, account, access.Token)
	switch {
	case failed != nil:
		return failed
	case !may:
		return err
	}
	return do(ctx, renewed)
}

// access gives the account's token: from memory, or when a flight brings it.
func (s *Source) access(ctx context.Context, account Account) (Access, *Error) {
	if _, known := s.provider(account.Provider); !known {
		return Access{}, noProvider(account)
	}
	enrolment, failed := s.enrolment(ctx, account)
	if failed != nil {
		return Access{}, failed
	}
	now := time.Now()
	s.mu.Lock()
	e := s.entry(account)
	e.used = now
	e.heed(enrolment)
	access, refusal, settled := e.settled(now)
	if settled {
		s.mu.Unlock()
		return access, refusal
	}
	f, failed := s.join(e, false)
	s.mu.Unlock()
	if failed != nil {
		return Access{}, failed
	}
	return f.wait(ctx, access)
}

// renew gives a token in the place of one that upstream refused; false when the account has had its share of such
// renewals.
func (s *Source) renew(ctx context.Context, account Account, refused secret.Text) (Access, bool, *Error) {
	for {
		access, f, failed := s.replace(account, refused)
		if f == nil {
			return access, failed != nil || !access.Token.IsZero(), failed
		}
		access, failed = f.wait(ctx, Access{})
		// A flight that was under way already may have found the refused token in the store.
		if failed != nil || f.force || !access.Token.Equal(refused) {
			return access, true, failed
		}
	}
}

// replace gives the token that has already taken the place of a refused one, or the flight that brings it; neither when
// there may be none.
func (s *Source) replace(account Account, refused secret.Text) (Access, *flight, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, now := s.entry(account), time.Now()
	switch {
	case e.access.fresh(now) && !e.access.Token.Equal(refused):
		return e.access, nil, nil
	case !e.due(now):
		return Access{}, nil, e.refusal
	case e.flight == nil && !e.renewals.Allow():
		return Access{}, nil, nil
	}
	f, failed := s.join(e, true)
	return Access{}, f, failed
}

// enrolment reads where a delegated account stands. It is read for each use, so that what another process did to the
// account counts at once: a new enrolment, or a refusal.
func (s *Source) enrolment(ctx context.Context, account Account) (Enrolment, *Error) {
	if account.Grant == Application {
		return Enrolment{}, nil
	}
	enrolment, err := s.store.Enrolment(ctx, account)
	switch {
	case errors.Is(err, ErrNotEnrolled):
		return Enrolment{}, needsSignIn(account, NotEnrolled, "the account is not enrolled: "+enrollCommand(account))
	case err != nil:
		return Enrolment{}, storeError(account, err)
	}
	return enrolment, nil
}
