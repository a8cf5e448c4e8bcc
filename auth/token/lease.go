package token

import (
	"context"
	"crypto/rand"
	"time"
)

const (
	// leaseLife is how long a process may keep the others from asking: one request and the saving of its answer. The lease
	// of one that was killed ends with it.
	leaseLife = httpTimeout + saveTime
	// leaseTick and maxLeaseTick are how often one who waits for a lease looks.
	leaseTick, maxLeaseTick = 50 * time.Millisecond, 500 * time.Millisecond
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
			return func() { releaseLease(ctx, store, key, holder) }, nil
		case !pause(ctx, tick):
			return nil, &Error{Account: account, Class: Temporary, Advice: "another process asks for the account's token, and was not done in time",
				cause: ctx.Err()}
		}
	}
}

// releaseLease gives a lease back also when the request that it was for was cut short. One that cannot be given back ends
// by itself.
func releaseLease(ctx context.Context, store Store, key CacheKey, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	_ = store.ReleaseLease(ctx, key, holder)
}
