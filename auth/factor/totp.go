package factor

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"postern/internal/secret"
)

const (
	// stepTime is how long a code is shown, in seconds, and skew how many steps a clock may be off (RFC 6238 sections 4.1
	// and 5.2; NIST SP 800-63B allows no more than two minutes).
	stepTime = 30
	skew     = 1
	// digits of a code; with six all authenticators can do. Guesses are counted for their sake.
	digits = 6
	// keySize is the length of a key, in bytes: that of a SHA-1 (RFC 4226 section 4 R6).
	keySize = 20

	enrolTOTP = "enrol-totp"
)

// TOTPKey is a key that a person puts into an authenticator.
type TOTPKey struct {
	Key secret.Text // in base32, in groups of four: for typing
	URI secret.Text // otpauth://…: for a QR code
}

// BeginTOTP makes a key for a person's authenticator. It counts for nothing until [Keeper.FinishTOTP].
func (k *Keeper) BeginTOTP(ctx context.Context, a Actor) error {
	if _, _, err := k.mayEnrol(ctx, a, TOTP); err != nil {
		return err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: k.issuer, AccountName: a.Username, Period: stepTime,
		SecretSize: keySize, Digits: digits, Algorithm: otp.AlgorithmSHA1, Rand: k.random})
	if err != nil {
		return fmt.Errorf("making a key for an authenticator: %w", err)
	}
	return k.begin(ctx, a, enrolTOTP, secret.New(key.URL()))
}

// PendingTOTP gives the key that the person has begun to enrol in this browser. The error is a [Refusal] with [NotBegun]
// where there is none.
func (k *Keeper) PendingTOTP(ctx context.Context, a Actor) (TOTPKey, error) {
	uri, err := k.pending(ctx, a, enrolTOTP)
	if err != nil {
		return TOTPKey{}, err
	}
	key, err := otp.NewKeyFromURL(uri.Reveal())
	if err != nil {
		return TOTPKey{}, fmt.Errorf("reading a key that was begun: %w", err)
	}
	return TOTPKey{Key: secret.New(grouped(key.Secret())), URI: uri}, nil
}

// FinishTOTP enrols the key that was begun, once a code of it shows that the authenticator has it. A wrong code may be
// corrected.
func (k *Keeper) FinishTOTP(ctx context.Context, a Actor, name string, code secret.Text) (Factor, Proof, error) {
	name = strings.TrimSpace(name)
	if !nameable(name) {
		return Factor{}, Proof{}, refuse(BadName)
	}
	_, first, err := k.mayEnrol(ctx, a, TOTP)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	uri, err := k.pending(ctx, a, enrolTOTP)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	key, err := otp.NewKeyFromURL(uri.Reveal())
	if err != nil {
		return Factor{}, Proof{}, fmt.Errorf("reading a key that was begun: %w", err)
	}
	f := Factor{Method: TOTP, Name: name, Content: secret.New(key.Secret())}
	step, right, err := k.match(f.Content, code)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	if !right {
		return Factor{}, Proof{}, k.refused(a, f, WrongCode, nil)
	}
	if _, err := k.take(ctx, a, enrolTOTP); err != nil {
		return Factor{}, Proof{}, err
	}
	f.Counter = step // the code is used
	return k.enrol(ctx, a, f, first)
}

// ProveTOTP proves that a person has one of their authenticators, by the code that it shows. Each code counts once
// (ASVS 6.5.1), also for several authenticators with one key. Wrong codes are guesses at the person.
func (k *Keeper) ProveTOTP(ctx context.Context, a Actor, code secret.Text) (Proof, error) {
	check, admitted := k.guesses.Admit(guessed(a.Person), a.Remote, k.attempt(code))
	if !admitted {
		return Proof{}, k.refused(a, Factor{Method: TOTP}, HeldOff, nil)
	}
	f, step, err := k.shown(ctx, a.Person, code)
	switch {
	case err != nil:
		check.Void()
		return Proof{}, err
	case f.ID == "":
		check.Wrong()
		return Proof{}, k.refused(a, Factor{Method: TOTP}, WrongCode, nil)
	case step <= f.Counter:
		check.Void()
		return Proof{}, k.refused(a, f, CodeUsed, nil)
	}
	check.Proved()
	seen := f.Counter
	f.Counter = step
	return k.use(ctx, a, f, seen, CodeUsed)
}

// shown gives the authenticator of a person that shows a code, and the code's time step; no factor if none does. All of
// them are asked, so that the time does not say which.
func (k *Keeper) shown(ctx context.Context, p Person, code secret.Text) (found Factor, step int64, err error) {
	factors, err := k.store.Factors(ctx, p)
	if err != nil {
		return Factor{}, 0, err
	}
	for _, f := range factors {
		if f.Method != TOTP {
			continue
		}
		at, right, err := k.match(f.Content, code)
		if err != nil {
			return Factor{}, 0, fmt.Errorf("factor %s: %w", f.ID, err)
		}
		if right && at > step {
			found, step = f, at
		}
	}
	return found, step, nil
}

// match looks for the time step whose code this is, around the present one; the latest, if there are two.
func (k *Keeper) match(key, code secret.Text) (step int64, right bool, err error) {
	typed := []byte(plain(code))
	now := k.step()
	for at := now - skew; at <= now+skew; at++ {
		want, err := hotp.GenerateCodeCustom(key.Reveal(), uint64(at), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, fmt.Errorf("the code of an authenticator: %w", err)
		}
		if subtle.ConstantTimeCompare(typed, []byte(want)) == 1 {
			step, right = at, true
		}
	}
	return step, right, nil
}

// step is the present time step (RFC 6238 section 4.2).
func (k *Keeper) step() int64 { return k.now().Unix() / stepTime }

// guessed names a person to the counts of guesses. It is no login: strangers who guess at those of the person cannot keep
// the person from the portal.
func guessed(p Person) string { return "factor:" + p.TenantID + "/" + p.ObjectID }

// attempt is a code as the counts of guesses tell it from others: the same digits in another time step are another guess.
func (k *Keeper) attempt(code secret.Text) secret.Text {
	return secret.New(plain(code) + "@" + strconv.FormatInt(k.step(), 10))
}

// plain gives a code without the spaces that authenticators show and people type.
func plain(code secret.Text) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\u00a0' || r == '\u202f' {
			return -1
		}
		return r
	}, code.Reveal())
}

// grouped gives a key in groups of four.
func grouped(key string) string {
	var b strings.Builder
	for i, r := range key {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
