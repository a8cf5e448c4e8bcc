package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/store"
)

func totpFactor() store.Factor {
	return store.Factor{ID: "totp", TenantID: "contoso", ObjectID: "alice", Method: "totp", Name: "telephone",
		Created: kept(start), Used: kept(start), Counter: 59_000_000, Content: []byte("key")}
}

func passkeyFactor() store.Factor {
	return store.Factor{ID: "passkey", TenantID: "contoso", ObjectID: "alice", Method: "passkey", Name: "laptop",
		Created: kept(start.Add(time.Minute)), Handle: []byte{1, 2, 3}, Content: []byte("record")}
}

func addFactor(t *testing.T, s *store.Store, f store.Factor, first, want bool) {
	t.Helper()
	added, err := s.AddFactor(t.Context(), f, first)
	must(t, err)
	if added != want {
		t.Errorf("adding %s (first: %v): got %v, want %v", f.ID, first, added, want)
	}
}

func holdFactors(t *testing.T, s *store.Store, what, tenant, object string, want ...store.Factor) {
	t.Helper()
	got, err := s.Factors(t.Context(), tenant, object)
	must(t, err)
	equal(t, what, got, want)
}

func factorsKept(t *testing.T, s *store.Store) {
	holdFactors(t, s, "a new store", "contoso", "alice")
	bob := totpFactor()
	bob.ID, bob.ObjectID = "bob", "bob"
	fabrikam := totpFactor()
	fabrikam.ID, fabrikam.TenantID = "fabrikam", "fabrikam"
	addFactor(t, s, totpFactor(), true, true)
	addFactor(t, s, bob, true, true)
	addFactor(t, s, fabrikam, true, true)
	addFactor(t, s, passkeyFactor(), true, false)
	addFactor(t, s, passkeyFactor(), false, true)
	holdFactors(t, s, "of alice", "contoso", "alice", totpFactor(), passkeyFactor())
	holdFactors(t, s, "of her namesake", "fabrikam", "alice", fabrikam)

	again := passkeyFactor()
	again.ID = "again"
	if _, err := s.AddFactor(t.Context(), again, false); err == nil {
		t.Error("a second factor with the same handle was kept")
	}

	renamed := passkeyFactor()
	renamed.Name = "old laptop"
	must(t, s.RenameFactor(t.Context(), "contoso", "alice", "passkey", "old laptop"))
	holdFactors(t, s, "renamed", "contoso", "alice", totpFactor(), renamed)
	notFound(t, "renaming another's", s.RenameFactor(t.Context(), "contoso", "bob", "passkey", "mine"))
	notFound(t, "removing another's", s.RemoveFactor(t.Context(), "fabrikam", "alice", "passkey"))
	must(t, s.RemoveFactor(t.Context(), "contoso", "alice", "totp"))
	holdFactors(t, s, "removed", "contoso", "alice", renamed)
	notFound(t, "removing twice", s.RemoveFactor(t.Context(), "contoso", "alice", "totp"))
	holdFactors(t, s, "of bob", "contoso", "bob", bob)
}

func factorUsedOnce(t *testing.T, s *store.Store) {
	addFactor(t, s, totpFactor(), true, true)
	used := totpFactor()
	used.Counter, used.Used, used.Content = used.Counter+1, kept(start.Add(time.Hour)), []byte("key, used")
	var wins atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			won, err := s.UseFactor(t.Context(), used, totpFactor().Counter)
			if err != nil {
				t.Error(err)
			}
			if won {
				wins.Add(1)
			}
		})
	}
	wait.Wait()
	if got := wins.Load(); got != 1 {
		t.Errorf("eight uses with one counter: %d went through, want 1", got)
	}
	holdFactors(t, s, "used", "contoso", "alice", used)
}

func factorsReset(t *testing.T, s *store.Store) {
	addFactor(t, s, totpFactor(), true, true)
	addFactor(t, s, passkeyFactor(), false, true)
	bob := totpFactor()
	bob.ID, bob.ObjectID = "bob", "bob"
	addFactor(t, s, bob, true, true)
	must(t, s.SaveCeremony(t.Context(), ceremony("one", "assert"), start))
	n, err := s.RemoveFactors(t.Context(), "contoso", "alice")
	must(t, err)
	equal(t, "how many", n, 2)
	holdFactors(t, s, "of alice", "contoso", "alice")
	holdFactors(t, s, "of bob", "contoso", "bob", bob)
	_, err = s.Ceremony(t.Context(), "one", "assert")
	notFound(t, "what she had begun", err)
	n, err = s.RemoveFactors(t.Context(), "contoso", "alice")
	must(t, err)
	equal(t, "how many are left", n, 0)
}

func ceremony(browser, purpose string) store.Ceremony {
	return store.Ceremony{Browser: browser, Purpose: purpose, TenantID: "contoso", ObjectID: "alice",
		Expires: kept(start.Add(5 * time.Minute)), Content: []byte("challenge of " + browser + " for " + purpose)}
}

func ceremonies(t *testing.T, s *store.Store) {
	for _, c := range []store.Ceremony{ceremony("one", "enrol"), ceremony("one", "assert"), ceremony("two", "assert")} {
		must(t, s.SaveCeremony(t.Context(), c, start))
	}
	anew := ceremony("one", "assert")
	anew.ObjectID, anew.Content, anew.Expires = "bob", []byte("anew"), kept(start.Add(time.Hour))
	must(t, s.SaveCeremony(t.Context(), anew, start))

	got, err := s.Ceremony(t.Context(), "one", "assert")
	must(t, err)
	equal(t, "looked at", got, anew)
	got, err = s.TakeCeremony(t.Context(), "one", "assert")
	must(t, err)
	equal(t, "taken", got, anew)
	_, err = s.TakeCeremony(t.Context(), "one", "assert")
	notFound(t, "taken twice", err)
	_, err = s.Ceremony(t.Context(), "three", "assert")
	notFound(t, "of another browser", err)

	must(t, s.SaveCeremony(t.Context(), anew, start.Add(10*time.Minute)))
	_, err = s.Ceremony(t.Context(), "two", "assert")
	notFound(t, "an expired one", err)
	_, err = s.Ceremony(t.Context(), "one", "assert")
	must(t, err)
}
