package acme

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// DNS puts the answers of DNS-01 into the DNS.
type DNS interface {
	// Present adds a TXT record of that value to a name, which has no dot at its end, beside those that are there.
	Present(ctx context.Context, name, value string) error
	// Wait returns when the authority can see it.
	Wait(ctx context.Context, name, value string) error
	// CleanUp removes the record. That it is not there is no error.
	CleanUp(ctx context.Context, name, value string) error
}

// cleanUpTime bounds the removal of a record, which goes on when the order has been given up.
const cleanUpTime = time.Minute

// solver is a DNS as certmagic wants it.
type solver struct{ dns DNS }

// Present is of acmez.Solver, and so are all that follow.
func (s solver) Present(ctx context.Context, c acme.Challenge) error {
	if err := s.dns.Present(ctx, recordName(c), c.DNS01KeyAuthorization()); err != nil {
		return fmt.Errorf("adding TXT to %s: %w", recordName(c), err)
	}
	return nil
}

func (s solver) Wait(ctx context.Context, c acme.Challenge) error {
	return s.dns.Wait(ctx, recordName(c), c.DNS01KeyAuthorization())
}

func (s solver) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if err := s.dns.CleanUp(ctx, recordName(c), c.DNS01KeyAuthorization()); err != nil {
		return fmt.Errorf("removing TXT from %s: %w", recordName(c), err)
	}
	return nil
}

func recordName(c acme.Challenge) string { return strings.TrimSuffix(c.DNS01TXTRecordName(), ".") }

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
