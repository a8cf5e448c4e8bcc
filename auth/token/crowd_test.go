package token

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestI20TwoHundredAccounts has two hundred accounts sign in and refresh at once, through two gateways with one store, on
// tokens that live ten minutes: each gets its own tokens and nobody else's, nobody is refused, and each expiry of each
// account is one request.
func TestI20TwoHundredAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			accounts, clients = 200, 2 // clients of each account
			life              = 10 * time.Minute
			spent             = 15 * time.Minute
		)
		h := newHarness(t)
		h.entra.set(func() { h.entra.life = life })
		people := h.enrollMany(accounts)
		other := h.newSource() // a second process on the same store
		began := time.Now()
		var all sync.WaitGroup
		for account, who := range people {
			for client := range clients {
				source := []*Source{h.source, other}[client]
				all.Go(func() {
					for time.Since(began) < spent {
						h.signIn(source, account, who)
						time.Sleep(rand.N(40 * time.Second))
					}
				})
			}
		}
		all.Wait()
		for _, who := range people {
			requests := h.requests()[who.ObjectID]
			if least := int(spent / life); len(requests) < least {
				t.Fatalf("%s: got %d requests, want %d at least", who.Username, len(requests), least)
			}
			for i, at := range requests[1:] {
				// A token is renewed in the tenth of its life before its half.
				if apart := at.Sub(requests[i]); apart < life*4/10 {
					t.Errorf("%s: two requests within %v", who.Username, apart)
				}
			}
		}
		t.Logf("%d token requests for %d accounts in %v", h.entra.count(), accounts, spent)
	})
}

// signIn uses an account once, and holds the token against whose it is.
func (h *harness) signIn(source *Source, account Account, who Identity) {
	err := source.Use(context.Background(), account, func(_ context.Context, access Access) error {
		h.entra.mu.Lock()
		owner := h.entra.owners[access.Token.Reveal()]
		h.entra.mu.Unlock()
		if owner != who {
			return fmt.Errorf("got the token of %q", owner.Username)
		}
		if !access.usable(time.Now()) && time.Until(access.Expires) < access.life()/2 {
			return fmt.Errorf("got a token with %v left", time.Until(access.Expires))
		}
		return nil
	})
	if err != nil {
		h.t.Errorf("%s: %v", account, err)
	}
}
