package storetest

import (
	"testing"
	"time"

	"postern/internal/store"
)

// guessesCountTogether: changes of a count at the same moment all count, and what has changed since a time is found.
func guessesCountTogether(t *testing.T, s *store.Store) {
	subject := [16]byte{1, 2, 3}
	crowd(12, func(i int) {
		err := s.ChangeGuesses(t.Context(), "login", subject, func(c store.GuessCount) store.GuessCount {
			c.Guesses++
			c.Guessed, c.Due, c.Lane, c.Began = kept(start), kept(start.Add(time.Second)), kept(start.Add(2*time.Second)), kept(start.Add(3*time.Second))
			return c
		})
		if err != nil {
			t.Error(err)
		}
	})
	want := store.GuessCount{Kind: "login", Subject: subject, Guesses: 12, Guessed: kept(start), Due: kept(start.Add(time.Second)),
		Lane: kept(start.Add(2 * time.Second)), Began: kept(start.Add(3 * time.Second))}
	hold(t, s, "changed at once", []store.GuessCount{want}, nil)

	older, source := count("login", 9, time.Hour), count("source", 8, time.Minute)
	known := []store.KnownSource{knownSource("alice", "10.0.8.9/32", time.Hour), knownSource("bob", "10.0.8.9/32", time.Second)}
	must(t, s.SaveGuesses(t.Context(), []store.GuessCount{older, source}, known))
	counts, sources, err := s.GuessesSince(t.Context(), start.Add(-2*time.Minute), 10)
	must(t, err)
	equal(t, "counts of the last minutes", counts, []store.GuessCount{want, source})
	equal(t, "known sources of the last minutes", sources, known[1:])
	counts, sources, err = s.GuessesSince(t.Context(), start.Add(-2*time.Hour), 1)
	must(t, err)
	equal(t, "the newest of each kind", counts, []store.GuessCount{want, source})
	equal(t, "the newest known source", sources, known[1:])

	// Another gateway, whose clock or writer is behind, does not make a source look unused.
	stale := known[1]
	stale.Used = kept(stale.Used.Add(-time.Hour))
	must(t, s.SaveGuesses(t.Context(), nil, []store.KnownSource{stale}))
	_, sources, err = s.GuessesSince(t.Context(), start.Add(-2*time.Minute), 10)
	must(t, err)
	equal(t, "after an older use was saved", sources, known[1:])
}
