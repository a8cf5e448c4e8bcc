package factor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/webauthn"

	"postern/internal/audit"
)

// Config is what a keeper is made of.
type Config struct {
	Store   Store    // required
	Guesses Guesses  // required
	Audit   Recorder // required
	// Portal is the https URL under which people reach the pages. Its host is the relying party of passkeys: one that was
	// enrolled under another host does not work under this one, and where it is an IP address there are none. Required.
	Portal *url.URL
	// Issuer is how authenticators call us. Required.
	Issuer string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random is a cryptographic source; nil means crypto/rand.Reader.
	Random io.Reader
}

// Keeper keeps people's factors. It is safe for concurrent use.
type Keeper struct {
	store   Store
	guesses Guesses
	audit   Recorder
	issuer  string
	now     func() time.Time
	random  io.Reader
	party   *webauthn.WebAuthn // nil where there can be no passkeys
}

// New makes a keeper. It fails for a host of the portal that is neither a name nor an address.
func New(c Config) (*Keeper, error) {
	party, err := relyingParty(c.Portal, c.Issuer)
	if err != nil {
		return nil, err
	}
	k := &Keeper{store: c.Store, guesses: c.Guesses, audit: c.Audit, issuer: c.Issuer, now: c.Now, random: c.Random, party: party}
	if k.now == nil {
		k.now = time.Now
	}
	if k.random == nil {
		k.random = rand.Reader
	}
	return k, nil
}

// Passkeys reports whether people can have passkeys here.
func (k *Keeper) Passkeys() bool { return k.party != nil }

// Factors gives a person's factors, the oldest first.
func (k *Keeper) Factors(ctx context.Context, p Person) ([]Factor, error) {
	return k.store.Factors(ctx, p)
}

// Factor gives one factor of a person. The error is a [Refusal] with [UnknownFactor] where the person has no such factor.
func (k *Keeper) Factor(ctx context.Context, p Person, id string) (Factor, error) {
	factors, err := k.store.Factors(ctx, p)
	if err != nil {
		return Factor{}, err
	}
	f, found := find(factors, id)
	if !found {
		return Factor{}, refuse(UnknownFactor)
	}
	return f, nil
}

// Rename gives a factor another name.
func (k *Keeper) Rename(ctx context.Context, a Actor, id, name string) error {
	name = strings.TrimSpace(name)
	if !nameable(name) {
		return refuse(BadName)
	}
	f, err := k.Factor(ctx, a.Person, id)
	if err != nil {
		return err
	}
	before := f.Name
	f.Name = name
	if err := k.audit.Record(audit.FactorRenamed{Factor: told(a, f), Before: before}); err != nil {
		return err
	}
	found, err := k.store.RenameFactor(ctx, a.Person, id, name)
	return changed(found, err)
}

// Remove removes a factor. A factor of the person has to be proved just before, this one or another. Who removes the last
// one begins anew, with a fresh sign-in.
func (k *Keeper) Remove(ctx context.Context, a Actor, id string) error {
	factors, err := k.store.Factors(ctx, a.Person)
	if err != nil {
		return err
	}
	f, found := find(factors, id)
	switch {
	case !found:
		return refuse(UnknownFactor)
	case !k.proved(a, factors):
		return k.refused(a, f, ProofNeeded, nil)
	}
	if err := k.audit.Record(audit.FactorRemoved{Factor: told(a, f)}); err != nil {
		return err
	}
	found, err = k.store.RemoveFactor(ctx, a.Person, id)
	return changed(found, err)
}

// Reset removes all factors of a person on an administrator's word, who is by; there need not be a portal for it. It gives
// how many there were. App passwords stay as they are; the next proof begins with an enrolment anew.
func Reset(ctx context.Context, store Store, log Recorder, p Person, username, by string) (int, error) {
	factors, err := store.Factors(ctx, p)
	if err != nil {
		return 0, err
	}
	event := audit.FactorsReset{Account: username, TenantID: p.TenantID, ObjectID: p.ObjectID, Count: len(factors), By: by}
	if err := log.Record(event); err != nil {
		return 0, err
	}
	return store.RemoveFactors(ctx, p)
}

// mayEnrol decides whether a person may enrol one more factor, and gives whether it would be the first.
func (k *Keeper) mayEnrol(ctx context.Context, a Actor, method string) (factors []Factor, first bool, err error) {
	if factors, err = k.store.Factors(ctx, a.Person); err != nil {
		return nil, false, err
	}
	first = len(factors) == 0
	reason := Reason("")
	switch {
	case first && !IsFresh(a.SignedIn, k.now()):
		reason = SignInStale
	case !first && !k.proved(a, factors):
		reason = ProofNeeded
	case len(factors) >= maxFactors:
		reason = TooMany
	default:
		return factors, first, nil
	}
	return nil, false, k.refused(a, Factor{Method: method}, reason, nil)
}

// enrol keeps a factor that was proved in its enrolment: that is a proof, too.
func (k *Keeper) enrol(ctx context.Context, a Actor, f Factor, first bool) (Factor, Proof, error) {
	now := k.now()
	id, err := newID(k.random)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	f.ID, f.Person, f.Created, f.Used = id, a.Person, now, now
	if err := k.audit.Record(audit.FactorEnrolled{Factor: told(a, f), First: first}); err != nil {
		return Factor{}, Proof{}, err
	}
	added, err := k.store.AddFactor(ctx, f, first)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	if !added { // another browser has enrolled a first one meanwhile: from now on a proof of that is needed
		return Factor{}, Proof{}, k.refused(a, f, ProofNeeded, nil)
	}
	return f, Proof{Factor: f.ID, Method: f.Method, At: now}, nil
}

// use notes a use of a factor, and says that its owner has proved it. seen is the counter before the use; used is why a
// second use with that counter is refused. It is noted before it is recorded, for whether it counts is decided there.
func (k *Keeper) use(ctx context.Context, a Actor, f Factor, seen int64, used Reason) (Proof, error) {
	f.Used = k.now()
	ok, err := k.store.UseFactor(ctx, f, seen)
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		return Proof{}, k.refused(a, f, used, nil)
	}
	if err := k.audit.Record(audit.FactorProven{Factor: told(a, f)}); err != nil {
		return Proof{}, err
	}
	return Proof{Factor: f.ID, Method: f.Method, At: f.Used}, nil
}

// changed gives the error of a change of one factor.
func changed(found bool, err error) error {
	if err == nil && !found {
		return refuse(UnknownFactor)
	}
	return err
}

// refused records a refusal and gives it.
func (k *Keeper) refused(a Actor, f Factor, reason Reason, cause error) error {
	event := audit.FactorRefused{Factor: told(a, f), Reason: string(reason)}
	if cause != nil {
		event.Detail = cause.Error()
	}
	if err := k.audit.Record(event); err != nil {
		return err
	}
	return &Refusal{Reason: reason, Err: cause}
}

// told is a factor as the audit has it.
func told(a Actor, f Factor) audit.Factor {
	return audit.Factor{ID: f.ID, Method: f.Method, Name: f.Name, Account: a.Username,
		TenantID: a.Person.TenantID, ObjectID: a.Person.ObjectID, Remote: a.Remote.String()}
}

// proved reports whether a person has proved one of their factors just before. A proof by one that was removed since, or
// reset, is none.
func (k *Keeper) proved(a Actor, factors []Factor) bool {
	_, there := find(factors, a.Proof.Factor)
	return there && IsFresh(a.Proof.At, k.now())
}

func find(factors []Factor, id string) (Factor, bool) {
	for _, f := range factors {
		if f.ID == id {
			return f, true
		}
	}
	return Factor{}, false
}

// nameable reports whether a name can be shown in one line.
func nameable(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName &&
		strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// newID draws the id of a factor.
func newID(random io.Reader) (string, error) {
	var raw [10]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("drawing the id of a factor: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw[:])), nil
}
