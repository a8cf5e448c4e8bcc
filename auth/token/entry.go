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
	case !now.NeedsSignIn:
		e.refusal, e.failures = nil, 0
	case e.refusal == nil || e.refusal.Class != NeedsSignIn:
		e.refusal = needsSignIn(e.account, "", now.Reason)
	}
	e.enrolment = now
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

// due reports whether the provider may be asked: it has not refused, or time enough has passed.
func (e *entry) due(now time.Time) bool {
	return e.refusal == nil || e.refusal.Class != NeedsSignIn && !now.Before(e.refusal.RetryAt)
}

// keep takes in a token.
func (e *entry) keep(access Access) {
	e.access = access
	e.refusal, e.failures = nil, 0
	// Before its half, so that a caller never finds it past that; by chance up to a tenth of its life before, so that
	// accounts which began together do not renew together.
	early := time.Duration(rand.Int64N(int64(access.life()/10) + 1))
	e.renewAt = access.Obtained.Add(access.life()/2 - early)
}

// refuse takes in a failure and says in it when asking again can help.
func (e *entry) refuse(failed *Error, now time.Time) {
	if e.refusal == nil || e.refusal.Class != failed.Class {
		e.failures = 0
	}
	e.failures++
	if failed.Class == NeedsSignIn {
		e.access = Access{} // what it was built on is revoked
	} else {
		delay := failed.delay(e.failures)
		failed.RetryAt = now.Add(delay + rand.N(delay/4))
	}
	e.refusal = failed
}
