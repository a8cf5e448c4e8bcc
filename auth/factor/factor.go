// Package factor keeps people's second factors: codes of an authenticator app (TOTP, RFC 6238) and passkeys (WebAuthn
// level 3). It enrols them, has them proved, and decides who may change them.
//
// A person is a tenant id and an object id and never a name (ASVS 10.3.3). The package is told who has signed in at the
// provider, and when; it does not sign people in, knows nothing of pages and cookies, and does not say what a proof is good
// for: that is the policy's, for app passwords.
//
// # Who may change factors
//
// The first factor rests on the sign-in at the provider, which has to be fresh. Every other change, a second factor or the
// removal of one, rests on a factor that was proved just before. Fresh is ten minutes in both cases. An administrator can
// reset a person's factors: then the next one is a first one again.
//
// # What a proof rests on
//
// What is begun in one browser is finished there, once, and by the same person ([Ceremony]). A code counts once: the time
// step of the last one is kept, and only later ones are taken. Wrong codes are counted by [Guesses], the same that counts
// wrong app passwords, and without its grace for known sources, since six digits can be guessed. Each decision is recorded
// before it is answered.
package factor

import (
	"context"
	"net/netip"
	"time"

	"postern/internal/audit"
	"postern/internal/secret"
	"postern/internal/throttle"
)

// Methods of proof, as policies name the evidence that they accept.
const (
	TOTP    = "totp"
	Passkey = "passkey"
)

const (
	// Fresh is for how long a sign-in or a proof allows a change: of factors, or of app passwords.
	Fresh = 10 * time.Minute
	// ceremonyTime is how long an enrolment or a proof may take.
	ceremonyTime = 10 * time.Minute
	// maxFactors is how many a person may have. Each more is one more that can be stolen, and one more code that is right.
	maxFactors = 8
	// maxName is how long a factor's name may be, in characters.
	maxName = 60
)

// Person is who a factor belongs to.
type Person struct{ TenantID, ObjectID string }

// Actor is a person who has signed in and acts in one browser.
type Actor struct {
	Person   Person
	Username string     // a label: for the audit, and for the authenticator to show
	Browser  string     // names the browser's session, and is no secret: not its cookie
	Remote   netip.Addr // where the browser is
	SignedIn time.Time  // when the person signed in at the provider
	Proof    Proof      // the last one of this session; the zero Proof for none
}

// Factor is a person's second factor.
type Factor struct {
	ID      string
	Person  Person
	Method  string // TOTP or Passkey
	Name    string // chosen by its owner
	Created time.Time
	Used    time.Time   // the last time; the zero time for never
	Counter int64       // of TOTP the time step of the last code; of a passkey its signature counter
	Handle  []byte      // of a passkey its credential id
	Content secret.Text // of TOTP the key in base32; of a passkey the credential's record in JSON
}

// Proof says that a person has proved a factor of theirs.
type Proof struct {
	Factor string // its id
	Method string // TOTP or Passkey
	At     time.Time
}

// Ceremony is what a person has begun in a browser and has to finish there: a challenge, or a key that is not proved yet.
type Ceremony struct {
	Browser string
	Purpose string
	Person  Person
	Expires time.Time
	Content secret.Text
}

// Store keeps factors and ceremonies. What is called found is false, without an error, where there is no such thing.
// Its methods are safe for concurrent use.
type Store interface {
	// AddFactor keeps a new factor; with first, only if the person has none.
	AddFactor(ctx context.Context, f Factor, first bool) (added bool, err error)
	// Factors gives a person's factors, the oldest first.
	Factors(ctx context.Context, p Person) ([]Factor, error)
	// UseFactor keeps Used, Counter and Content, if the counter is still the one that was seen before the use.
	UseFactor(ctx context.Context, f Factor, seen int64) (used bool, err error)
	RenameFactor(ctx context.Context, p Person, id, name string) (found bool, err error)
	RemoveFactor(ctx context.Context, p Person, id string) (found bool, err error)
	// RemoveFactors removes all factors of a person, and their ceremonies.
	RemoveFactors(ctx context.Context, p Person) (n int, err error)

	// SaveCeremony keeps a ceremony in the stead of the one that the browser had for the same purpose.
	SaveCeremony(ctx context.Context, c Ceremony, now time.Time) error
	Ceremony(ctx context.Context, browser, purpose string) (c Ceremony, found bool, err error)
	// TakeCeremony gives a ceremony to one caller, and removes it.
	TakeCeremony(ctx context.Context, browser, purpose string) (c Ceremony, found bool, err error)
}

// Guesses counts wrong secrets, and holds off those who guess.
type Guesses interface {
	Admit(login string, from netip.Addr, attempt secret.Text) (throttle.Check, bool)
}

// Recorder writes the audit log.
type Recorder interface {
	Record(audit.Event) error
}

// IsFresh reports whether a sign-in or a proof allows a change now. One from the future does not, but for what clocks differ
// by: a clock was set.
func IsFresh(at, now time.Time) bool {
	age := now.Sub(at)
	return !at.IsZero() && age <= Fresh && age >= -time.Minute
}
