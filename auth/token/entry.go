package token

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

// entry is what is known of one account. The source's mutex guards it.
type entry struct {
	account   Account
	enrolment Enrolment // as it was last read; zero for an application
	used      time.Time // when a caller last asked
	flight    *flight   // the request that is under way; nil when there is none
	renewals  *rate.Limiter

	access  Access    // zero when there is none
	renewAt time.Time // when access is renewed in the background

	refusal  *Error // the last failure, until a success; immutable, shared by all who get it
	failures int    // in a row, of the refusal's class
	refusals int    // of the kept sign-in, in a row; see [Error.refusesSignIn]
}

// entry gives the entry of an account, a new one where there is none. The caller holds the mutex.
func (s *Source) entry(account Account) *entry {
	e, ok := s.entries[account]
	if !ok {
		e = &entry{account: account, renewals: rate.NewLimiter(rate.Every(renewalEvery), renewalsInReserve)}
		s.entries[account] = e
	}
	return e
}

// life is how long a token is good for in all.
func (a Access) life() time.Duration { return a.Expires.Sub(a.Obtained) }

// fresh reports whether a token has half of its life ahead, or more.
func (a Access) fresh(now time.Time) bool {
	left := a.Expires.Sub(now)
	return left > 0 && left >= a.life()/2
}

// usable reports whether a token will do when no better one can be had.
func (a Access) usable(now time.Time) bool { return a.Expires.Sub(now) > spare }

// heed takes in what the store says of the account. A token of somebody else's, and a refusal from before the account
// was enrolled anew, are forgotten.
func (e *entry) heed(now Enrolment) {
	if now.same(e.enrolment) {
		return
	}
	if now.Identity != e.enrolment.Identity || now.NeedsSignIn {
		e.access = Access{}
	}
	switch {
	case now.NeedsSignIn:
		e.refusal = needsSignIn(e.account, "", now.Reason)
	case now.Refused:
		e.refusal = &Error{Account: e.account, Class: Misconfigured, Advice: now.Reason, RetryAt: now.retryAt(time.Now())}
	default:
		e.refusal, e.failures, e.refusals = nil, 0, 0
	}
	e.enrolment = now
}

// retryAt gives when the provider may be asked again; the zero time for never. A time that lies too far ahead was written
// before the clock was set back.
func (e Enrolment) retryAt(now time.Time) time.Time {
	if latest := now.Add(2 * askAgain[len(askAgain)-1]); e.RetryAt.After(latest) {
		return latest
	}
	return e.RetryAt
}

// settled gives what a caller gets without a request, if it gets anything: a fresh token, or one that is past its half,
// or the refusal that is remembered. Where a request is due, the token is the second best, if there is one.
func (e *entry) settled(now time.Time) (access Access, refusal *Error, settled bool) {
	switch {
	case e.access.fresh(now):
		return e.access, nil, true
	case e.access.usable(now):
		access = e.access
	}
	switch {
	case e.due(now):
		return access, nil, false
	case e.refusal.Class == Temporary && access.usable(now):
		return access, nil, true // asked in vain a moment ago, and this one still works
	}
	return Access{}, e.refusal, true
}

// due reports whether the provider may be asked: it has not refused, or not for good, and time enough has passed.
func (e *entry) due(now time.Time) bool {
	return e.refusal == nil || !e.refusal.RetryAt.IsZero() && !now.Before(e.refusal.RetryAt)
}

// keep takes in a token.
func (e *entry) keep(access Access) {
	e.access = access
	e.refusal, e.failures, e.refusals = nil, 0, 0
	// Before its half, so that a caller never finds it past that; by chance up to a tenth of its life before, so that
	// accounts which began together do not renew together.
	early := time.Duration(rand.Int64N(int64(access.life()/10) + 1))
	e.renewAt = access.Obtained.Add(access.life()/2 - early)
}

// refuse takes in a failure, and puts into it when asking again can help. Of a kept sign-in that an administrator has to
// mend, that is in it already.
func (e *entry) refuse(failed *Error, now time.Time) {
	if e.refusal == nil || e.refusal.Class != failed.Class {
		e.failures = 0
	}
	e.failures++
	if failed.refusesSignIn() {
		e.refusals++
	}
	switch {
	case failed.Class == NeedsSignIn:
		e.access = Access{} // what it was built on is revoked
	case failed.Class == Misconfigured && failed.refusesSignIn():
	default:
		failed.RetryAt = now.Add(spread(failed.delay(e.failures)))
	}
	e.refusal = failed
}
