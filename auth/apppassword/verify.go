package apppassword

import (
	"context"
	"fmt"
	"time"

	"postern/internal/secret"
)

// Status is what a password turned out to be. The zero value is [Wrong].
type Status int

const (
	// Wrong: no password of this login is like this. Nothing tells whether the login has any.
	Wrong Status = iota
	// Valid: the password is right, and in force.
	Valid
	// Expired: the password was right until its expiry.
	Expired
	// Revoked: the password was right until it was revoked.
	Revoked
)

// Verdict is the answer about an attempt. The password's record is there unless Status is [Wrong].
type Verdict struct {
	Status   Status
	Password Record
}

// Verifier verifies app passwords. It is safe for concurrent use.
type Verifier struct {
	store  Store
	hasher Hasher
	now    func() time.Time
}

// NewVerifier makes a verifier. now is the clock; nil means time.Now.
func NewVerifier(store Store, hasher Hasher, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{store: store, hasher: hasher, now: now}
}

// Verify says what attempt is as a password of login. The work is the same for every login and every attempt: one
// normalization, the hashes, one look-up. An error means that the store could not be asked, and nothing about the
// password.
//
// The comparison is the store's look-up by hash. Its time can tell at most how the hash of an attempt begins, which
// helps nobody who does not have the key.
func (v *Verifier) Verify(ctx context.Context, login string, attempt secret.Text) (Verdict, error) {
	hashes, key := v.hasher.Hashes(hashInput(login, normalize(attempt)))
	record, found, err := v.store.PasswordByHash(ctx, hashes)
	if err != nil {
		return Verdict{}, fmt.Errorf("verifying an app password: %w", err)
	}
	switch {
	case !found, record.Login != canonical(login): // the hash binds the login: a record of another one was tampered with
		return Verdict{Status: Wrong}, nil
	case !record.Revoked.IsZero():
		return Verdict{Status: Revoked, Password: record}, nil
	case !record.Expires.IsZero() && !v.now().Before(record.Expires):
		return Verdict{Status: Expired, Password: record}, nil
	}
	if record.HashKey != key {
		// Brings it under the primary key after a rotation, which nothing else can: the password is kept nowhere. Where it
		// fails, the next use does it.
		_ = v.store.Rehash(ctx, record.ID, hashes[0], key)
	}
	return Verdict{Status: Valid, Password: record}, nil
}
