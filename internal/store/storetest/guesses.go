package storetest

import (
	"net/netip"
	"testing"
	"time"

	"postern/internal/store"
)

func count(kind string, subject byte, age time.Duration) store.GuessCount {
	return store.GuessCount{Kind: kind, Subject: [16]byte{15: subject}, Guesses: 7, Level: 2, Guessed: kept(start.Add(-age))}
}

func knownSource(login, source string, age time.Duration) store.KnownSource {
	return store.KnownSource{Login: login, Source: netip.MustParsePrefix(source), Used: kept(start.Add(-age))}
}

// hold compares all that a store knows of guesses.
func hold(t *testing.T, s *store.Store, what string, counts []store.GuessCount, known []store.KnownSource) {
	t.Helper()
	gotCounts, err := s.GuessCounts(t.Context())
	must(t, err)
	equal(t, what+": counts", gotCounts, counts)
	gotKnown, err := s.KnownSources(t.Context())
	must(t, err)
	equal(t, what+": known sources", gotKnown, known)
}

func guessesKept(t *testing.T, s *store.Store) {
	must(t, s.SaveGuesses(t.Context(), nil, nil))
	hold(t, s, "a new store", nil, nil)

	// One subject of each kind; one source of two logins and one login with two sources.
	login, source := count("login", 1, time.Hour), count("source", 1, time.Minute)
	login.Held = kept(start.Add(time.Minute))
	known := []store.KnownSource{knownSource("alice", "10.0.8.9/32", 3), knownSource("alice", "2001:db8::/64", 2), knownSource("bob", "10.0.8.9/32", 1)}
	for i := range known {
		known[i].Used = kept(start.Add(time.Duration(i) * time.Second))
	}
	must(t, s.SaveGuesses(t.Context(), []store.GuessCount{source, login}, known))
	hold(t, s, "saved", []store.GuessCount{login, source}, known)

	login.Guesses, login.Level, login.Held, login.Guessed = 8, 0, time.Time{}, kept(start)
	known[0].Used = kept(start.Add(time.Hour))
	must(t, s.SaveGuesses(t.Context(), []store.GuessCount{login}, known[:1]))
	hold(t, s, "changed", []store.GuessCount{source, login}, []store.KnownSource{known[1], known[2], known[0]})
}

func guessesPruned(t *testing.T, s *store.Store) {
	counts := []store.GuessCount{count("source", 5, 25*time.Hour), count("login", 5, 24*time.Hour)}
	var known []store.KnownSource
	known = append(known, knownSource("old", "10.0.0.1/32", 31*24*time.Hour))
	for i := range 4 {
		age := time.Duration(4-i) * time.Hour
		counts = append(counts, count("login", byte(i), age))
		known = append(known, knownSource("alice", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 8, byte(i)}), 32).String(), age))
	}
	must(t, s.SaveGuesses(t.Context(), counts, known))
	day, month := start.Add(-24*time.Hour).Truncate(time.Millisecond), start.Add(-30*24*time.Hour)
	must(t, s.PruneGuesses(t.Context(), day, month, 100))
	hold(t, s, "the old ones go", counts[1:], known[1:])
	must(t, s.PruneGuesses(t.Context(), day, month, 3))
	hold(t, s, "the surplus goes, of each kind", counts[3:], known[2:])
	must(t, s.PruneGuesses(t.Context(), start.Add(time.Hour), start.Add(time.Hour), 3))
	hold(t, s, "all are old", nil, nil)
}

func evidenceRenewed(t *testing.T, s *store.Store) {
	add(t, s, full(), sparse())
	want := full()
	want.Evidence = store.Evidence{Method: "command-line", By: "root", At: kept(start.Add(time.Hour))}
	renewed := want.Evidence
	renewed.At = start.Add(time.Hour)
	must(t, s.RenewEvidence(t.Context(), "full", renewed))
	got, err := s.Password(t.Context(), "full")
	must(t, err)
	equal(t, "renewed", got, want)
	got, err = s.Password(t.Context(), "sparse")
	must(t, err)
	equal(t, "the other one", got, sparse())
	notFound(t, "an absent one", s.RenewEvidence(t.Context(), "absent", renewed))
}

func tokenCacheAge(t *testing.T, s *store.Store) {
	key := cacheKey()
	saved := func() time.Time {
		t.Helper()
		at, err := s.TokensSaved(t.Context(), key.Provider, key.TenantID, key.Owner)
		must(t, err)
		return at
	}
	if at := saved(); !at.IsZero() {
		t.Errorf("of no cache: got %v, want the zero time", at)
	}
	other := key
	other.Kind = "another"
	for _, key := range []store.TokenCacheKey{key, other} {
		before := s.Now().Truncate(time.Millisecond)
		must(t, s.SaveTokenCache(t.Context(), key, []byte("content")))
		if at := saved(); at.Before(before) || at.After(s.Now()) {
			t.Errorf("got %v, want about %v", at, before)
		}
	}
}
