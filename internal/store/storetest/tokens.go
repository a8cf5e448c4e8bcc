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
	must(t, s.DeleteTokenCache(t.Context(), keys[2]))
	must(t, s.DeleteTokenCache(t.Context(), keys[2]))
	for i, key := range keys {
		if _, err := s.LoadTokenCache(t.Context(), key); i == 2 {
			notFound(t, "after it was deleted", err)
		} else if err != nil {
			t.Errorf("the deletion of another: %v", err)
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
		State: store.OK, Since: kept(start),
	}
}

func accounts(t *testing.T, s *store.Store) {
	_, err := s.Account(t.Context(), "contoso", "alice@contoso.example")
	notFound(t, "before it was saved", err)
	alice, namesake, bob := account(), account(), account()
	namesake.Provider, namesake.ObjectID = "fabrikam", "another"
	bob.Name, bob.Since = "bob@contoso.example", start
	for _, a := range []store.Account{namesake, bob, alice} {
		must(t, s.SaveAccount(t.Context(), a))
	}
	bob.Since = kept(start)
	for _, want := range []store.Account{alice, bob, namesake} {
		got, err := s.Account(t.Context(), want.Provider, want.Name)
		must(t, err)
		equal(t, want.Name, got, want)
	}

	alice.ObjectID, alice.Username, alice.State, alice.Reason = "new", "New", store.NeedsSignIn, "the person has left"
	alice.Since = kept(start.Add(time.Hour))
	must(t, s.SaveAccount(t.Context(), alice))
	all, err := s.Accounts(t.Context())
	must(t, err)
	equal(t, "all", all, []store.Account{alice, bob, namesake})
}

func accountState(t *testing.T, s *store.Store) {
	want, other := account(), account()
	other.Name = "bob@contoso.example"
	must(t, s.SaveAccount(t.Context(), want))
	must(t, s.SaveAccount(t.Context(), other))
	must(t, s.SetAccountState(t.Context(), want.Provider, want.Name, store.NeedsSignIn, "AADSTS50173", start.Add(time.Hour)))
	want.State, want.Reason, want.Since = store.NeedsSignIn, "AADSTS50173", kept(start.Add(time.Hour))
	all, err := s.Accounts(t.Context())
	must(t, err)
	equal(t, "accounts", all, []store.Account{want, other})
	notFound(t, "an absent account", s.SetAccountState(t.Context(), "contoso", "nobody", store.OK, "", start))
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
