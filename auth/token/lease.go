package token

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// leaseLife is how long a lease outlives its process, and leaseRenewal how often one that lives renews it.
	leaseLife, leaseRenewal = 10 * time.Second, 3 * time.Second
	// leaseTick and maxLeaseTick are how often one who waits for a lease looks.
	leaseTick, maxLeaseTick = 50 * time.Millisecond, 500 * time.Millisecond
	// leaseTime bounds how long one may be held: one request and the saving of its answer.
	leaseTime = httpTimeout + saveTime
)

// lease waits for the sole right, among all processes that share the store, to change what is kept under a key: so that
// one expiry is one request (threat model I-20), and an enrolment is not overwritten with what came of the one before.
// What was read before counts no more once the lease is there. release gives it back.
func lease(ctx context.Context, store Store, account Account, key CacheKey) (release func(), failed *Error) {
	holder := rand.Text()
	for tick := leaseTick; ; tick = min(2*tick, maxLeaseTick) {
		taken, err := store.TakeLease(ctx, key, holder, time.Now(), leaseLife)
		switch {
		case err != nil:
			return nil, storeError(account, err)
		case taken:
			return holdLease(ctx, store, key, holder), nil
		case !pause(ctx, tick):
			return nil, &Error{Account: account, Class: Temporary, Advice: "another process asks for the account's token, and was not done in time",
				cause: ctx.Err()}
		}
	}
}

// holdLease renews a lease until it is released. Neither ends with ctx: what came of the request is still to be saved.
func holdLease(ctx context.Context, store Store, key CacheKey, holder string) (release func()) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime)
	var renewals sync.WaitGroup
	renewals.Go(func() {
		for pause(ctx, leaseRenewal) {
			_, _ = store.TakeLease(ctx, key, holder, time.Now(), leaseLife) // what cannot be renewed ends by itself
		}
	})
	return func() {
		cancel()
		renewals.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
		defer cancel()
		_ = store.ReleaseLease(ctx, key, holder)
	}
}
