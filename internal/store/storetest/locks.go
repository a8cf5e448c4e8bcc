package storetest

import (
	"testing"
	"time"

	"postern/internal/store"
)

func locks(t *testing.T, s *store.Store) {
	alice := store.Lock{Login: "alice@contoso.example", Since: kept(start), By: "root", Reason: "lost her telephone"}
	copier := store.Lock{Login: "copier-3", Since: kept(start.Add(time.Hour)), By: "bob as root"}
	must(t, s.LockLogin(t.Context(), copier))
	precise := alice
	precise.Since = start
	must(t, s.LockLogin(t.Context(), precise))
	must(t, s.LockLogin(t.Context(), store.Lock{Login: alice.Login, Since: start.Add(time.Hour), By: "eve", Reason: "again"}))

	all, err := s.Locks(t.Context())
	must(t, err)
	equal(t, "all locks", all, []store.Lock{alice, copier})
	got, err := s.Lock(t.Context(), alice.Login)
	must(t, err)
	equal(t, "the first lock stays", got, alice)
	_, err = s.Lock(t.Context(), "bob")
	notFound(t, "the lock of bob", err)

	locked := func(login string, want bool) {
		t.Helper()
		if got, down, err := s.Locked(t.Context(), login, "device"); err != nil || got != want || down {
			t.Errorf("%s is locked: got %v, %v; want %v", login, got, err, want)
		}
	}
	locked(alice.Login, true)
	locked(copier.Login, true)
	locked("bob", false)
	must(t, s.UnlockLogin(t.Context(), alice.Login))
	locked(alice.Login, false)
	locked(copier.Login, true)
	notFound(t, "unlocking twice", s.UnlockLogin(t.Context(), alice.Login))
}

func withdrawals(t *testing.T, s *store.Store) {
	last := func(want int64) int64 {
		t.Helper()
		got, err := s.LastWithdrawal(t.Context())
		must(t, err)
		if got < want {
			t.Errorf("the last withdrawal is %d, want at least %d", got, want)
		}
		return got
	}
	after := func(number int64, want ...store.Withdrawal) {
		t.Helper()
		got, err := s.Withdrawals(t.Context(), number)
		must(t, err)
		for i := range got {
			if got[i].Number <= number {
				t.Errorf("withdrawal %d comes after %d", got[i].Number, number)
			}
			number, got[i].Number = got[i].Number, 0
		}
		equal(t, "withdrawals", got, want)
	}
	if got := last(0); got != 0 {
		t.Errorf("an empty store has withdrawal %d", got)
	}
	add(t, s, full(), sparse())
	must(t, s.RevokePassword(t.Context(), "full", start))
	must(t, s.LockLogin(t.Context(), store.Lock{Login: "alice", Since: start}))
	must(t, s.LockLogin(t.Context(), store.Lock{Login: "alice", Since: start})) // changes nothing
	middle := last(2)
	must(t, s.UnlockLogin(t.Context(), "alice"))
	notFound(t, "revoking an absent password", s.RevokePassword(t.Context(), "absent", start))
	notFound(t, "unlocking an absent login", s.UnlockLogin(t.Context(), "absent"))

	unlocked := store.Withdrawal{Kind: store.LoginUnlocked, Subject: "alice"}
	after(0, store.Withdrawal{Kind: store.PasswordRevoked, Subject: "full"}, store.Withdrawal{Kind: store.LoginLocked, Subject: "alice"}, unlocked)
	after(middle, unlocked)
	after(last(3))
}

func lockdowns(t *testing.T, s *store.Store) {
	login := store.Lockdown{Scope: store.Scope{Kind: store.ScopeLogin, Name: "copier-3"}, Since: kept(start), By: "root", Reason: "spam"}
	policy := store.Lockdown{Scope: store.Scope{Kind: store.ScopePolicy, Name: "device"}, Since: kept(start.Add(time.Second)), By: "root"}
	all := store.Lockdown{Scope: store.Scope{Kind: store.ScopeAll}, Since: kept(start.Add(time.Minute)), By: "bob as root"}
	kept := func(login, policy string, want bool) {
		t.Helper()
		if locked, got, err := s.Locked(t.Context(), login, policy); err != nil || got != want || locked {
			t.Errorf("%s of policy %q: got %v, lock %v, %v; want %v", login, policy, got, locked, err, want)
		}
	}
	kept("copier-3", "device", false)
	must(t, s.BeginLockdowns(t.Context(), login))
	again := login
	again.By = "eve"
	must(t, s.BeginLockdowns(t.Context(), again, policy))
	kept("copier-3", "device", true)
	kept("copier-3", "person", true)
	kept("alice", "device", true)
	kept("device", "person", false) // a login that is called as the policy is
	kept("alice", "copier-3", false)
	kept("stranger", "", false)
	must(t, s.BeginLockdowns(t.Context(), all))
	kept("stranger", "", true)
	got, err := s.Lockdowns(t.Context())
	must(t, err)
	equal(t, "lockdowns", got, []store.Lockdown{login, policy, all})

	must(t, s.LiftLockdown(t.Context(), all.Scope))
	notFound(t, "lifting twice", s.LiftLockdown(t.Context(), all.Scope))
	kept("stranger", "", false)
	kept("alice", "device", true)
	told, err := s.Withdrawals(t.Context(), 0)
	must(t, err)
	var words []string
	for _, w := range told {
		words = append(words, string(w.Kind)+" "+w.Subject)
		if scope := store.ScopeOf(w.Subject); scope.String() != w.Subject {
			t.Errorf("%q is read as %v", w.Subject, scope)
		}
	}
	equal(t, "withdrawals", words, []string{"lockdown-begun login copier-3", "lockdown-begun policy device", "lockdown-begun all", "lockdown-lifted all"})
}

func tokensForgotten(t *testing.T, s *store.Store) {
	account := func(name, object string) (store.Account, store.TokenCacheKey) {
		a := store.Account{Provider: "contoso", Name: name, TenantID: "t", ObjectID: object, Username: name, Standing: store.Standing{State: store.OK, Since: kept(start)}}
		key := store.TokenCacheKey{Provider: "contoso", TenantID: "t", Owner: object, Kind: "msal-public"}
		must(t, s.SaveEnrolment(t.Context(), a, key, []byte("tokens of "+name)))
		return a, key
	}
	_, alices := account("alice", "a")
	bob, bobs := account("bob", "b")
	application := store.TokenCacheKey{Provider: "contoso", TenantID: "t", Owner: "client", Kind: "msal-application"}
	must(t, s.SaveTokenCache(t.Context(), application, []byte("the application's")))

	must(t, s.ForgetTokens(t.Context(), "contoso", "alice", "lockdown", start))
	got, err := s.Account(t.Context(), "contoso", "alice")
	must(t, err)
	if got.State != store.NeedsSignIn || got.Reason != "lockdown" || !got.Since.Equal(kept(start)) {
		t.Errorf("alice is %+v, want her to need a sign-in", got)
	}
	_, err = s.LoadTokenCache(t.Context(), alices)
	notFound(t, "alice's tokens", err)
	_, err = s.LoadTokenCache(t.Context(), bobs)
	must(t, err)
	got, err = s.Account(t.Context(), "contoso", "bob")
	must(t, err)
	equal(t, "bob", got, bob)
	notFound(t, "forgetting a stranger's", s.ForgetTokens(t.Context(), "contoso", "stranger", "", start))
	must(t, s.ForgetApplicationTokens(t.Context(), "contoso", "msal-application"))
	_, err = s.LoadTokenCache(t.Context(), application)
	notFound(t, "the application's tokens", err)
	_, err = s.LoadTokenCache(t.Context(), bobs)
	must(t, err)
}
