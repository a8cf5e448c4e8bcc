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
		if got, err := s.Locked(t.Context(), login); err != nil || got != want {
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
