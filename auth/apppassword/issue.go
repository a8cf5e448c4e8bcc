package apppassword

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/secret"
)

// maxLabel is how long a label may be, in characters.
const maxLabel = 100

// Request is what a new app password shall be.
type Request struct {
	Login     string         // required, in any case
	Label     string         // required, at most 100 characters
	Protocols []string       // at least one
	Networks  []netip.Prefix // none means everywhere
	LegacyTLS bool
	ReadOnly  bool
	Expires   time.Time // the zero time means never
	Short     bool      // 16 characters instead of 24, for devices that take no more
	Evidence  Evidence  // Method, By and At are required
}

// Issue makes an app password and keeps its record. The secret is given in groups of four and cannot be had again. The
// caller has verified the evidence. random is a cryptographic source, crypto/rand.Reader outside of tests.
//
// record writes the issue to the audit log; a password that cannot be recorded is not issued.
func Issue(
	ctx context.Context, store Store, hasher Hasher, request Request, now time.Time, random io.Reader, record func(Record) error,
) (Record, secret.Text, error) {
	issued, password, err := prepare(request, now, random)
	if err == nil {
		err = record(issued)
	}
	if err == nil {
		var hash []byte
		hash, issued.HashKey = hasher.Hash(hashInput(issued.Login, secret.New(password)))
		err = store.AddPassword(ctx, issued, hash)
	}
	if err != nil {
		return Record{}, secret.Text{}, fmt.Errorf("issuing an app password for %q: %w", request.Login, err)
	}
	return issued, show(password), nil
}

// prepare draws a password and fills in its record.
func prepare(request Request, now time.Time, random io.Reader) (Record, string, error) {
	if err := request.check(now); err != nil {
		return Record{}, "", err
	}
	id, err := draw(random, idLength)
	if err != nil {
		return Record{}, "", err
	}
	length := fullLength
	if request.Short {
		length = shortLength
	}
	password, err := draw(random, length)
	if err != nil {
		return Record{}, "", err
	}
	return Record{
		ID:        id,
		Login:     canonical(request.Login),
		Label:     request.Label,
		Protocols: slices.Clone(request.Protocols),
		Networks:  slices.Clone(request.Networks),
		LegacyTLS: request.LegacyTLS,
		ReadOnly:  request.ReadOnly,
		Created:   now,
		Expires:   request.Expires,
		Evidence:  request.Evidence,
	}, password, nil
}

// check gives what is wrong with a request.
func (r Request) check(now time.Time) error {
	evidence := r.Evidence
	switch {
	case r.Login == "" || !printable(r.Login):
		return errors.New("the login is empty or has characters that cannot be printed")
	case strings.TrimSpace(r.Label) == "":
		return errors.New("it has no label: name the device or program that it is for")
	case !printable(r.Label) || utf8.RuneCountInString(r.Label) > maxLabel:
		return fmt.Errorf("the label has more than %d characters, or some that cannot be printed", maxLabel)
	case len(r.Protocols) == 0 || slices.Contains(r.Protocols, ""):
		return errors.New("it names no protocol that it is for")
	case !r.Expires.IsZero() && !now.Before(r.Expires):
		return fmt.Errorf("it would have expired already, on %s", r.Expires.Format(time.DateTime))
	case evidence.Method == "" || evidence.By == "" || evidence.At.IsZero():
		return errors.New("there is no evidence behind it: method, person and time are required")
	case evidence.At.After(now):
		return fmt.Errorf("the evidence behind it is from the future, %s", evidence.At.Format(time.DateTime))
	}
	return nil
}

// printable reports whether s is valid UTF-8 that shows in one line as it is.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
