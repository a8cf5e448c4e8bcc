package gateway

import (
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"postern/internal/session"
	"postern/internal/store"
)

const (
	// withdrawalCheck is how often the store is asked what was taken away. A session may outlive what it stands on by a
	// second (design, invariant 2).
	withdrawalCheck = 500 * time.Millisecond
	// withdrawalMemory is how long a withdrawal is held against new sessions: a sign-in that was decided just before it
	// gets into the register just after.
	withdrawalMemory = time.Minute
)

// The causes for which this file cuts sessions, as the audit log has them.
const (
	causeRevoked  = "revoked"
	causeLocked   = "locked"
	causeExpired  = "expired"
	causeLockdown = "lockdown"
)

// withdrawals ends the sessions that stand on something which was taken away: the app password was revoked or has
// expired, the login was locked, or a lockdown begun, by this process or by another one that shares the store (threat
// model I-24). New sign-ins need no watch; they read the store.
type withdrawals struct {
	withdrawalsConfig
	now       func() time.Time
	directory atomic.Pointer[directoryUntil] // the one of the last reload, while that is news; nil else

	last      int64                     // number of the newest withdrawal that was seen
	revoked   map[string]time.Time      // id of a password → when to forget about it
	locked    map[string]time.Time      // login → likewise
	lockdowns map[store.Scope]time.Time // likewise
	failing   bool
}

// withdrawalsConfig is what withdrawals are watched with. Every field is required.
type withdrawalsConfig struct {
	store    *store.Store
	sessions *session.Register
	policy   func(login string) string // of a login; empty for one that is not known
	forget   func(store.Scope)         // drops the tokens in memory of those within a scope
	log      *slog.Logger
}

// watchWithdrawals begins with what comes from now on: a gateway that starts has no sessions.
func watchWithdrawals(ctx context.Context, c withdrawalsConfig) (*withdrawals, error) {
	last, err := c.store.LastWithdrawal(ctx)
	if err != nil {
		return nil, err
	}
	return &withdrawals{withdrawalsConfig: c, now: time.Now, last: last, revoked: make(map[string]time.Time),
		locked: make(map[string]time.Time), lockdowns: make(map[store.Scope]time.Time)}, nil
}

// run watches until ctx ends.
func (w *withdrawals) run(ctx context.Context) {
	ticker := time.NewTicker(withdrawalCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		w.read(ctx)
		w.apply()
	}
}

// read takes in what is new in the store. While that cannot be read, sessions go on: they are no worse than they were.
func (w *withdrawals) read(ctx context.Context) {
	news, err := w.store.Withdrawals(ctx, w.last)
	if ctx.Err() != nil {
		return
	}
	if err != nil && !w.failing { // not twice a second for as long as it lasts
		w.log.Error("cannot see which sessions have to end", "error", err)
	}
	w.failing = err != nil
	forget := w.now().Add(withdrawalMemory)
	for _, n := range news {
		w.last = n.Number
		switch n.Kind {
		case store.PasswordRevoked:
			w.revoked[n.Subject] = forget
		case store.LoginLocked:
			w.locked[n.Subject] = forget
		case store.LoginUnlocked:
			delete(w.locked, n.Subject)
		case store.LockdownBegun:
			w.lockdowns[store.ScopeOf(n.Subject)] = forget
		case store.LockdownLifted:
			delete(w.lockdowns, store.ScopeOf(n.Subject))
		case store.TokensForgotten:
			w.forget(store.ScopeOf(n.Subject))
		}
	}
}

// apply cuts the sessions that have nothing to stand on any more.
func (w *withdrawals) apply() {
	now := w.now()
	if d := w.directory.Load(); d != nil {
		w.recheck(d.Directory)
		if now.After(d.until) {
			w.directory.CompareAndSwap(d, nil)
		}
	}
	w.cut(causeExpired, func(i session.Info) bool { return !i.Expires.IsZero() && !now.Before(i.Expires) })
	if len(w.revoked) > 0 {
		w.cut(causeRevoked, func(i session.Info) bool { return !w.revoked[i.Password].IsZero() })
	}
	if len(w.locked) > 0 {
		w.cut(causeLocked, func(i session.Info) bool { return !w.locked[i.Login].IsZero() })
	}
	for scope := range w.lockdowns {
		w.cut(causeLockdown, func(i session.Info) bool { return scope.Has(i.Login, w.policy(i.Login)) })
	}
	prune(w.revoked, now)
	prune(w.locked, now)
	prune(w.lockdowns, now)
}

// prune forgets what has been remembered for long enough.
func prune[K comparable](remembered map[K]time.Time, now time.Time) {
	maps.DeleteFunc(remembered, func(_ K, until time.Time) bool { return now.After(until) })
}

// cut ends the sessions that match picks, and gives their number.
func (w *withdrawals) cut(cause string, match func(session.Info) bool) int {
	n := w.sessions.Cut(cause, match)
	if n > 0 {
		w.log.Info("sessions cut off", "cause", cause, "count", n)
	}
	return n
}
