package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"postern/auth/token"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// TestI20TwoHundredAccountsForAMinute is what package token's test of the same name does, in real time: two hundred people
// sign in and refresh at once for a minute, against the simulator over the network and on SQLite. It takes that minute, so
// it runs where CI or POSTERN_LONG is set.
func TestI20TwoHundredAccountsForAMinute(t *testing.T) {
	if os.Getenv("CI") == "" && os.Getenv("POSTERN_LONG") == "" {
		t.Skip("it takes more than a minute: set POSTERN_LONG")
	}
	const (
		accounts = 200
		life     = 30 * time.Second
		spent    = time.Minute
	)
	b := newBureau(t, life)
	_, source := open(t, b.config, nil)
	people := make(map[token.Account]token.Identity)
	for i := range accounts {
		upn := fmt.Sprintf("user%d@contoso.example", i)
		b.tenant.AddPerson(tenant.Person{ObjectID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), UPN: upn, Name: upn})
		people[person(upn)] = b.enroll(source, upn)
	}
	before, began := b.entra.TokenRequests(), time.Now()
	var mu sync.Mutex
	tokens := make(map[token.Account]map[string]bool) // account → the tokens it was given
	var all sync.WaitGroup
	for account, identity := range people {
		tokens[account] = make(map[string]bool)
		for range 2 {
			all.Go(func() {
				for time.Since(began) < spent && !t.Failed() {
					got, err := b.signIn(t.Context(), source, account, identity)
					if err != nil {
						t.Errorf("%s: %v", account, err)
					}
					mu.Lock()
					tokens[account][fingerprint(got)] = true
					mu.Unlock()
					time.Sleep(rand.N(2 * time.Second))
				}
			})
		}
	}
	all.Wait()
	most := int(spent/(life*4/10)) + 2 // a token is renewed in the tenth of its life before its half
	given := 0
	for account, all := range tokens {
		given += len(all)
		if len(all) > most || len(all) < int(spent/life) {
			t.Errorf("%s was given %d tokens, want between %d and %d", account, len(all), spent/life, most)
		}
	}
	// Renewals that were on their way at the end have been given to nobody.
	requests := int(b.entra.TokenRequests() - before)
	if requests < given || requests > given+accounts {
		t.Errorf("%d token requests for %d tokens", requests, given)
	}
	t.Logf("%d token requests for %d accounts in %v", requests, accounts, spent)
}

// signIn uses an account once, and holds the token against whose it is.
func (b *bureau) signIn(ctx context.Context, source *token.Source, account token.Account, identity token.Identity) (got secret.Text, err error) {
	err = source.Use(ctx, account, func(_ context.Context, access token.Access) error {
		got = access.Token
		claims, err := b.entra.Verify(access.Token)
		if err != nil {
			return err
		}
		if claims.ObjectID != identity.ObjectID || claims.TenantID != identity.TenantID || claims.UPN != account.Name {
			return fmt.Errorf("got the token of %q", claims.UPN)
		}
		return nil
	})
	return got, err
}
