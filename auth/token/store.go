package token

import (
	"context"
	"errors"
	"time"
)

// Store keeps what outlives the process. Its methods are safe for concurrent use. The content of a cache holds tokens:
// a store seals it, bound to its whole key, so that a record copied to another place does not open (threat model I-19).
type Store interface {
	// Enrolment gives whose tokens a delegated account keeps and where it stands. The error wraps [ErrNotEnrolled]
	// when nobody has signed in for the account yet.
	Enrolment(ctx context.Context, account Account) (Enrolment, error)
	// SaveEnrolment keeps an enrolment and the token cache that came with it, both or neither. It replaces an earlier
	// enrolment of the account, and the caches of the same owner, of whatever kind.
	SaveEnrolment(ctx context.Context, account Account, enrolment Enrolment, key CacheKey, cache []byte) error
	// SetStanding notes how an enrolled account stands from now on. The enrolment's identity is not changed.
	SetStanding(ctx context.Context, account Account, now Enrolment) error
	// Idle gives the accounts that stand well and whose cache was last saved before a time, or is said to have been saved
	// after another, ahead; the longest idle first, limit of them at most.
	Idle(ctx context.Context, before, ahead time.Time, limit int) ([]Account, error)
	// Used gives when a person's refresh token was last used for an account, which is when their cache was last saved; the
	// zero time when that is not known.
	Used(ctx context.Context, account Account, identity Identity) (time.Time, error)
	// Cache gives the content kept under a key, nil when there is none.
	Cache(ctx context.Context, key CacheKey) ([]byte, error)
	// SaveCache keeps content under a key. It is durable when SaveCache returns.
	SaveCache(ctx context.Context, key CacheKey, content []byte) error
	// TakeLease gives a holder the sole right, among all processes that share the store, to ask the provider for what is
	// kept under a key; false when another has it. It ends after life by itself, counted from when its holder last took it.
	TakeLease(ctx context.Context, key CacheKey, holder string, now time.Time, life time.Duration) (bool, error)
	// ReleaseLease gives the right back; it does nothing when the holder has it no more.
	ReleaseLease(ctx context.Context, key CacheKey, holder string) error
}

// ErrNotEnrolled is wrapped by the error of a [Store] that knows no enrolment of an account.
var ErrNotEnrolled = errors.New("not enrolled")

// Enrolment is what is known of a delegated account since its person signed in.
type Enrolment struct {
	Identity Identity
	// NeedsSignIn is set once the provider wants the person to sign in again; Reason then says why.
	NeedsSignIn bool
	// Refused is set once the provider refuses the kept sign-in for a reason that no new one mends, such as a Conditional
	// Access policy; Reason then says why. It may be asked again at RetryAt, or, where that is the zero time, once somebody
	// has acted. Asked is how often that was in vain. Of NeedsSignIn and Refused one is set at most.
	Refused bool
	Asked   int
	RetryAt time.Time
	Reason  string
	// Since is when the account came to stand as it does: its enrolment, or the refusal.
	Since time.Time
}

// same reports whether nothing has happened to the account between two readings of its enrolment.
func (e Enrolment) same(f Enrolment) bool {
	return e.Identity == f.Identity && e.NeedsSignIn == f.NeedsSignIn && e.Refused == f.Refused && e.Asked == f.Asked && e.Since.Equal(f.Since)
}

// CacheKey is the place of one token cache. Each part takes part in the sealing.
type CacheKey struct {
	Provider string // name in the configuration
	TenantID string // tenant as the token's subject has it; for an application, as the authority names it
	Owner    string // object id of the person; client id of the application
	Kind     string // what the content is: KindPublic, KindConfidential, KindApplication
}

// The kinds of caches, all of them MSAL's serialized: of a public client and of a confidential one, each of which holds
// one person's refresh token and cannot use the other's; and of a confidential client with the application's own access
// token.
const (
	KindPublic       = "msal-public"
	KindConfidential = "msal-confidential"
	KindApplication  = "msal-application"
)
