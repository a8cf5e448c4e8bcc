package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/store"
)

func cacheKey() store.TokenCacheKey {
	return store.TokenCacheKey{Provider: "contoso", TenantID: "tid", Owner: "oid", Kind: "msal-public"}
}

func load(t *testing.T, s *store.Store, key store.TokenCacheKey) string {
	t.Helper()
	content, err := s.LoadTokenCache(t.Context(), key)
	must(t, err)
	return string(content)
}

func tokenCaches(t *testing.T, s *store.Store) {
	base := cacheKey()
	keys := []store.TokenCacheKey{base, base, base, base, base}
	keys[1].Provider = "fabrikam"
	keys[2].TenantID = "other"
	keys[3].Owner = "other"
	keys[4].Kind = "msal-application"
	for i, key := range keys {
		_, err := s.LoadTokenCache(t.Context(), key)
		notFound(t, "before it was saved", err)
		must(t, s.SaveTokenCache(t.Context(), key, fmt.Appendf(nil, "content %d", i)))
	}
	for i, key := range keys {
		if got, want := load(t, s, key), fmt.Sprintf("content %d", i); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

func tokenCacheReplaced(t *testing.T, s *store.Store) {
	big := strings.Repeat("x", 1<<20)
	for _, content := range []string{"first", "", big, "last"} {
		must(t, s.SaveTokenCache(t.Context(), cacheKey(), []byte(content)))
		if got := load(t, s, cacheKey()); got != content {
			t.Errorf("got %d bytes, want %d", len(got), len(content))
		}
	}
}

func account() store.Account {
	return store.Account{
		Provider: "contoso", Name: "alice@contoso.example", TenantID: "tid", ObjectID: "oid", Username: "Alice@Contoso.example",
		Standing: store.Standing{State: store.OK, Since: kept(start)},
	}
}

// personKey is where an account's tokens are.
func personKey(a store.Account) store.TokenCacheKey {
	return store.TokenCacheKey{Provider: a.Provider, TenantID: a.TenantID, Owner: a.ObjectID, Kind: cacheKey().Kind}
}

// enroll keeps accounts, each with tokens of its person.
func enroll(t *testing.T, s *store.Store, accounts ...store.Account) {
	t.Helper()
	for _, a := range accounts {
		must(t, s.SaveEnrolment(t.Context(), a, personKey(a), []byte("tokens of "+a.ObjectID)))
	}
}

func accounts(t *testing.T, s *store.Store) {
	_, err := s.Account(t.Context(), "contoso", "alice@contoso.example")
	notFound(t, "before it was saved", err)
	alice, namesake, bob := account(), account(), account()
	namesake.Provider, namesake.ObjectID = "fabrikam", "another"
	bob.Name, bob.Since = "bob@contoso.example", start
	enroll(t, s, namesake, bob, alice)
	bob.Since = kept(start)
	for _, want := range []store.Account{alice, bob, namesake} {
		got, err := s.Account(t.Context(), want.Provider, want.Name)
		must(t, err)
		equal(t, want.Name, got, want)
	}

	alice.ObjectID, alice.Username, alice.State, alice.Reason = "new", "New", store.Refused, "a policy"
	alice.Since, alice.Asked, alice.RetryAt = kept(start.Add(time.Hour)), 1, kept(start.Add(2*time.Hour))
	enroll(t, s, alice)
	all, err := s.Accounts(t.Context())
	must(t, err)
	equal(t, "all", all, []store.Account{alice, bob, namesake})
	for _, want := range []store.Account{alice, namesake} {
		theirs, err := s.AccountsOf(t.Context(), want.Provider, want.TenantID, want.ObjectID)
		must(t, err)
		equal(t, "the accounts of "+want.ObjectID, theirs, []store.Account{want})
	}
	nobodys, err := s.AccountsOf(t.Context(), alice.Provider, "another tenant", alice.ObjectID)
	must(t, err)
	equal(t, "the accounts of another tenant's", nobodys, nil)
}

func accountStanding(t *testing.T, s *store.Store) {
	want, other := account(), account()
	other.Name = "bob@contoso.example"
	enroll(t, s, want, other)
	for _, standing := range []store.Standing{
		{State: store.Refused, Reason: "AADSTS53003", Since: kept(start.Add(time.Hour)), Asked: 2, RetryAt: kept(start.Add(2 * time.Hour))},
		{State: store.NeedsSignIn, Reason: "AADSTS50173", Since: kept(start.Add(3 * time.Hour))},
	} {
		must(t, s.SetStanding(t.Context(), want.Provider, want.Name, standing))
		want.Standing = standing
		all, err := s.Accounts(t.Context())
		must(t, err)
		equal(t, "accounts", all, []store.Account{want, other})
	}
	notFound(t, "an absent account", s.SetStanding(t.Context(), "contoso", "nobody", store.Standing{State: store.OK}))
}

// idleAccounts: whose tokens are old, or from a time that has not come, and who has none or may not use them.
func idleAccounts(t *testing.T, s *store.Store) {
	alice, bob, blocked := account(), account(), account()
	bob.Name, bob.ObjectID = "bob@contoso.example", "bob"
	blocked.Name, blocked.ObjectID, blocked.State = "eve@contoso.example", "eve", store.Refused
	enroll(t, s, alice, bob, blocked)
	saved, err := s.TokensSaved(t.Context(), alice.Provider, alice.TenantID, alice.ObjectID)
	must(t, err)
	names := func(before, ahead time.Duration, limit int) string {
		t.Helper()
		idle, err := s.IdleAccounts(t.Context(), saved.Add(before), saved.Add(ahead), limit)
		must(t, err)
		var names []string
		for _, a := range idle {
			names = append(names, a.Name)
		}
		return strings.Join(names, " ")
	}
	for _, test := range []struct {
		what          string
		before, ahead time.Duration
		limit         int
		want          string
	}{
		{"young ones", -time.Hour, time.Hour, 9, ""},
		{"old ones, the longest idle first", time.Hour, 2 * time.Hour, 9, "alice@contoso.example bob@contoso.example"},
		{"one of them", time.Hour, 2 * time.Hour, 1, "alice@contoso.example"},
		{"from the future", -2 * time.Hour, -time.Hour, 9, "alice@contoso.example bob@contoso.example"},
	} {
		if got := names(test.before, test.ahead, test.limit); got != test.want {
			t.Errorf("%s: got %q, want %q", test.what, got, test.want)
		}
	}
}

// anotherPerson: of a person whom an account no longer is, nothing stays; of one whom another account is, all.
func anotherPerson(t *testing.T, s *store.Store) {
	alice, alias, successor := account(), account(), account()
	alias.Name = "alias@contoso.example"
	successor.ObjectID = "successor"
	enroll(t, s, alice, alias)
	enroll(t, s, successor)
	if got := load(t, s, personKey(alice)); got != "tokens of oid" {
		t.Errorf("another account's tokens are %q", got)
	}
	alias.ObjectID = successor.ObjectID
	enroll(t, s, alias)
	_, err := s.LoadTokenCache(t.Context(), personKey(alice))
	notFound(t, "the tokens of a person without an account", err)
	if got := load(t, s, personKey(successor)); got != "tokens of successor" {
		t.Errorf("the successor's tokens are %q", got)
	}
}

func leases(t *testing.T, s *store.Store) {
	other := cacheKey()
	other.Owner = "other"
	take := func(what string, key store.TokenCacheKey, holder string, at time.Duration, want bool) {
		t.Helper()
		got, err := s.TakeLease(t.Context(), key, holder, start.Add(at), time.Minute)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	take("a free one", cacheKey(), "a", 0, true)
	take("a taken one", cacheKey(), "b", 59*time.Second, false)
	take("one's own, anew", cacheKey(), "a", 30*time.Second, true)
	take("a taken one, longer", cacheKey(), "b", 89*time.Second, false)
	take("of another cache", other, "b", 0, true)
	take("one that is over", cacheKey(), "b", 90*time.Second, true)
	must(t, s.ReleaseLease(t.Context(), cacheKey(), "a"))
	take("after a release by who has it no more", cacheKey(), "c", 2*time.Minute, false)
	must(t, s.ReleaseLease(t.Context(), cacheKey(), "b"))
	take("after its release", cacheKey(), "c", 2*time.Minute, true)
	take("of who looked at the clock a little earlier", cacheKey(), "d", 2*time.Minute-time.Second, false)
	take("after the clock was set back", cacheKey(), "d", -time.Hour, true)
}

func enrolment(t *testing.T, s *store.Store) {
	must(t, s.SaveEnrolment(t.Context(), account(), cacheKey(), []byte("first")))
	got, err := s.Account(t.Context(), account().Provider, account().Name)
	must(t, err)
	equal(t, "account", got, account())
	if got := load(t, s, cacheKey()); got != "first" {
		t.Errorf("got cache %q, want the first", got)
	}

	// Of a call that fails, nothing stays.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	again := account()
	again.ObjectID = "another"
	if err := s.SaveEnrolment(ctx, again, cacheKey(), []byte("second")); err == nil {
		t.Fatal("it was saved after the context had ended")
	}
	got, err = s.Account(t.Context(), account().Provider, account().Name)
	must(t, err)
	equal(t, "account after a failure", got, account())
	if got := load(t, s, cacheKey()); got != "first" {
		t.Errorf("got cache %q after a failure, want the first", got)
	}

	// What the owner signs in with last is what there is.
	other := cacheKey()
	other.Kind = "another kind"
	must(t, s.SaveEnrolment(t.Context(), account(), other, []byte("third")))
	if got := load(t, s, other); got != "third" {
		t.Errorf("got cache %q, want the third", got)
	}
	_, err = s.LoadTokenCache(t.Context(), cacheKey())
	notFound(t, "the cache of the earlier kind", err)
}

func endedContext(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, byHash := s.PasswordByHash(ctx, [][]byte{hashOf("x")})
	_, cache := s.LoadTokenCache(ctx, cacheKey())
	_, accounts := s.Accounts(ctx)
	for what, err := range map[string]error{
		"PasswordByHash": byHash, "LoadTokenCache": cache, "Accounts": accounts,
		"AddPassword": s.AddPassword(ctx, full(), hashOf("full")), "StampUses": s.StampUses(ctx, nil),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that the context was cancelled", what, err)
		}
	}
}

// concurrentUse writes from many sides while others read: no call may fail because of another.
func concurrentUse(t *testing.T, s *store.Store) {
	const writers, rounds = 6, 10
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			key := cacheKey()
			key.Owner = fmt.Sprint(w)
			for r := range rounds {
				p := sparse()
				p.ID = fmt.Sprintf("%d-%d", w, r)
				err := errors.Join(
					s.AddPassword(t.Context(), p, hashOf(p.ID)),
					s.StampUses(t.Context(), []store.Use{{ID: p.ID, At: start}}),
					s.SaveEnrolment(t.Context(), account(), key, []byte(p.ID)),
				)
				if err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range rounds {
				_, _, byHash := s.PasswordByHash(t.Context(), [][]byte{hashOf("0-0")})
				_, list := s.Passwords(t.Context(), "")
				if err := errors.Join(byHash, list); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	passwords, err := s.Passwords(t.Context(), "copier-3")
	must(t, err)
	if len(passwords) != writers*rounds {
		t.Errorf("got %d passwords, want %d", len(passwords), writers*rounds)
	}
	for w := range writers {
		key := cacheKey()
		key.Owner = fmt.Sprint(w)
		if got, want := load(t, s, key), fmt.Sprintf("%d-%d", w, rounds-1); got != want {
			t.Errorf("cache of %d: got %q, want %q", w, got, want)
		}
	}
}
