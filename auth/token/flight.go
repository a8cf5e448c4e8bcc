package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"postern/internal/audit"
)

// flight is one request for an account's token, for all who wait for it. It is nobody's: it goes on when those who
// wanted it have gone (threat model I-20).
type flight struct {
	account  Account
	provider *Microsoft
	force    bool // the provider is asked whatever the store holds
	done     chan struct{}
	// access and failed are set before done is closed, and not written afterwards.
	access Access
	failed *Error
}

// wait waits for the flight. With a second best token at hand it does not wait long, and gives that when the flight
// fails for a reason that time mends.
func (f *flight) wait(ctx context.Context, second Access) (Access, *Error) {
	var enough <-chan time.Time
	if second.usable(time.Now()) {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-f.done:
	case <-enough:
		return second, nil
	case <-ctx.Done():
		return Access{}, &Error{Account: f.account, Class: Temporary, Advice: "the wait for a token was cut short", cause: ctx.Err()}
	}
	if f.failed != nil && f.failed.Class == Temporary && second.usable(time.Now()) {
		return second, nil
	}
	return f.access, f.failed
}

// join gives the account's flight, a new one where none is under way. The caller holds the mutex.
func (s *Source) join(e *entry, force bool) (*flight, *Error) {
	if e.flight != nil {
		return e.flight, nil
	}
	if s.closed {
		return nil, stopping(e.account)
	}
	provider, known := s.provider(e.account.Provider)
	if !known {
		return nil, noProvider(e.account)
	}
	f := &flight{account: e.account, provider: provider, force: force, done: make(chan struct{})}
	e.flight = f
	r := request{account: e.account, identity: e.enrolment.Identity, current: e.access.Token, force: force}
	enrolment := e.enrolment
	s.tasks.Go(func() { s.fly(f, e, r, enrolment) })
	return f, nil
}

func stopping(account Account) *Error {
	return &Error{Account: account, Class: Temporary, Advice: "the gateway is stopping"}
}

// fly makes the request and settles the entry. The order is: save, record, then use.
func (s *Source) fly(f *flight, e *entry, r request, before Enrolment) {
	ctx, cancel := context.WithTimeout(s.ctx, flightTime)
	defer cancel()
	access, asked, failed := s.fetch(ctx, f.provider, r)
	if failed == nil && !access.Expires.After(access.Obtained) {
		failed = &Error{Account: r.account, Class: Temporary, Advice: "the provider issued a token that is over already"}
	}
	after := before
	switch {
	case failed == nil && asked:
		if failed = s.recordRefreshed(r.account, access); failed == nil {
			after = s.clear(ctx, r.account, before)
		}
	case failed != nil && s.ctx.Err() != nil:
		failed = stopping(r.account) // nobody was refused
	case failed != nil:
		after = s.recordRefused(ctx, e, failed, before)
	}
	s.settle(f, e, access, failed, before, after)
}

// settle takes the outcome of a flight into the entry, and tells those who wait. before and after are how the account
// stood when the flight began and how it stands by its outcome.
func (s *Source) settle(f *flight, e *entry, access Access, failed *Error, before, after Enrolment) {
	s.mu.Lock()
	e.flight = nil
	is, known := s.provider(f.account.Provider)
	switch {
	case !known || !is.sameApplication(f.provider):
		failed = &Error{Account: f.account, Class: Temporary, Advice: "the account's provider has just changed"}
	case !e.enrolment.same(before) && !e.enrolment.same(after):
		// The account was enrolled anew, or refused elsewhere, meanwhile: this is about how it was before.
		failed = &Error{Account: f.account, Class: Temporary, Advice: "the account's enrolment has just changed"}
	case failed == nil:
		e.enrolment = after
		e.keep(access)
	case s.ctx.Err() == nil:
		e.enrolment = after
		e.refuse(failed, time.Now())
	}
	s.mu.Unlock()
	if f.failed = failed; failed == nil {
		f.access = access
	}
	close(f.done)
}

// fetch is the provider's fetch, with a net below it: an answer that makes a library panic costs this request, not the
// process with all of its sessions (threat model I-32).
func (s *Source) fetch(ctx context.Context, provider *Microsoft, r request) (access Access, asked bool, failed *Error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a request for a token", "account", r.account.String(), "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			access, asked, failed = Access{}, true, &Error{Account: r.account, Class: Temporary, Advice: "a fault in the gateway; see its log"}
		}
	}()
	return provider.fetch(ctx, s.store, r)
}

// recordRefreshed records a token that was fetched. One that is not in the audit log is not used.
func (s *Source) recordRefreshed(account Account, access Access) *Error {
	err := s.audit.Record(audit.TokenRefreshed{
		Provider: account.Provider, Grant: string(account.Grant), Account: account.Name, Expires: access.Expires.UTC().Truncate(time.Second),
	})
	if err != nil {
		s.log.Error("a token is not in the audit log", "account", account.String(), "error", err)
		return &Error{Account: account, Class: Temporary, Advice: "the audit log cannot be written", cause: err}
	}
	s.log.Debug("token refreshed", "account", account.String(), "expires", access.Expires)
	return nil
}

// recordRefused records a failure, notes how the account stands after it, and gives that.
func (s *Source) recordRefused(ctx context.Context, e *entry, failed *Error, before Enrolment) Enrolment {
	s.mu.Lock()
	seen := e.refusals
	s.mu.Unlock()
	failed.conclude(seen)
	after, news := before.after(failed, seen, time.Now())
	failed.RetryAt = after.RetryAt
	s.recordFailure(failed)
	if !news {
		return before
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	now, err := s.store.Enrolment(ctx, failed.Account)
	switch {
	case err != nil:
	case now.same(before):
		if err = s.store.SetStanding(ctx, failed.Account, after); err == nil {
			return after
		}
	default:
		// The person signed in anew while the old refresh token was being refused: that one's end is no news.
		s.mu.Lock()
		e.heed(now)
		s.mu.Unlock()
	}
	if err != nil && !errors.Is(err, ErrNotEnrolled) {
		// The refusal is remembered in memory, so the provider is not asked again all the same.
		s.log.Error("an account that the provider refuses is not marked", "account", failed.Account.String(), "error", err)
	}
	return before
}

// clear notes that an account which the provider refused stands well again, and gives how it stands.
func (s *Source) clear(ctx context.Context, account Account, before Enrolment) Enrolment {
	if !before.Refused {
		return before
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	after := before.good(time.Now())
	if err := s.store.SetStanding(ctx, account, after); err != nil {
		s.log.Error("an account that the provider takes again is still marked", "account", account.String(), "error", err)
		return before
	}
	s.log.Info("the provider takes the account's sign-in again", "account", account.String())
	return after
}

// recordFailure records a request that the provider refused or that came to nothing. One that was never made, since too
// many others wait, is in the log alone and seldom: there are thousands of them, and each sign-in that they fail has a line
// of its own in the audit log.
func (s *Source) recordFailure(failed *Error) {
	account := failed.Account
	if failed.unasked {
		if s.crowds.Allow() {
			s.log.Warn("token requests wait", "provider", account.Provider, "advice", failed.Advice)
		}
		return
	}
	level := slog.LevelError // somebody has to act
	if failed.Class == Temporary {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "token refused", "account", account.String(), "error", failed)
	err := s.audit.Record(audit.TokenRefused{
		Provider: account.Provider, Grant: string(account.Grant), Account: account.Name,
		Class: string(failed.Class), Code: failed.Code, Suberror: failed.Suberror, AADSTS: failed.AADSTS, Advice: failed.Advice,
		CorrelationID: failed.CorrelationID, TraceID: failed.TraceID,
	})
	if err != nil {
		s.log.Error("a refused token is not in the audit log", "account", account.String(), "error", err)
	}
}
