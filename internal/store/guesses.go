package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// GuessCount is how often wrong passwords were tried, for one login or from one source.
type GuessCount struct {
	Kind    string   // login or source
	Subject [16]byte // keyed hash of the login; the source's address or network
	Guesses int
	Level   int       // of a source: how often it was held off
	Guessed time.Time // the last time
	Held    time.Time // until when it is held off; the zero time for not at all
	Due     time.Time // of a login: when the next guess would be due if they came evenly
	Lane    time.Time // of a login: until when sources that have not guessed are held off
	Began   time.Time // of a source: when the counting of its guesses began
}

const guessColumns = `kind, subject, guesses, level, guessed, held_until, due, lane, began`

// KnownSource is a network from which somebody signed in for a login.
type KnownSource struct {
	Login  string // in lower case
	Source netip.Prefix
	Used   time.Time // the last time
}

// GuessCounts gives all counts, the oldest first.
func (s *Store) GuessCounts(ctx context.Context) ([]GuessCount, error) {
	const query = `SELECT ` + guessColumns + ` FROM guess_counts ORDER BY guessed, kind, subject`
	counts, err := rows(ctx, s.reader, scanGuessCount, query)
	if err != nil {
		return nil, fmt.Errorf("counts of wrong passwords: %w", err)
	}
	return counts, nil
}

// KnownSources gives all known sources, the one that was not used for longest first.
func (s *Store) KnownSources(ctx context.Context) ([]KnownSource, error) {
	known, err := rows(ctx, s.reader, scanKnownSource, `SELECT login, source, used FROM known_sources ORDER BY used, login, source`)
	if err != nil {
		return nil, fmt.Errorf("known sources: %w", err)
	}
	return known, nil
}

// GuessesSince gives counts and known sources that have changed since a time, the newest first, limit of each kind at most.
func (s *Store) GuessesSince(ctx context.Context, since time.Time, limit int) ([]GuessCount, []KnownSource, error) {
	const query = `SELECT ` + guessColumns + ` FROM guess_counts WHERE kind = ? AND guessed >= ? ORDER BY guessed DESC, subject LIMIT ?`
	var counts []GuessCount
	for _, kind := range []string{"login", "source"} {
		some, err := rows(ctx, s.reader, scanGuessCount, query, kind, since.UnixMilli(), limit)
		if err != nil {
			return nil, nil, fmt.Errorf("counts of wrong passwords since %v: %w", since, err)
		}
		counts = append(counts, some...)
	}
	const sources = `SELECT login, source, used FROM known_sources WHERE used >= ? ORDER BY used DESC, login, source LIMIT ?`
	known, err := rows(ctx, s.reader, scanKnownSource, sources, since.UnixMilli(), limit)
	if err != nil {
		return nil, nil, fmt.Errorf("known sources since %v: %w", since, err)
	}
	return counts, known, nil
}

// ChangeGuesses changes the count of a subject, which nobody else changes meanwhile. f is given the present one, which is the
// zero GuessCount but for its kind and subject where there is none, and may be called more than once.
func (s *Store) ChangeGuesses(ctx context.Context, kind string, subject [16]byte, f func(GuessCount) GuessCount) error {
	const query = `SELECT ` + guessColumns + ` FROM guess_counts WHERE kind = ? AND subject = ?`
	err := s.engine.transact(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.engine.serialise(ctx, tx, "guesses", kind, string(subject[:])); err != nil {
			return err
		}
		count, err := scanGuessCount(tx.QueryRowContext(ctx, query, kind, subject[:]))
		if errors.Is(err, sql.ErrNoRows) {
			count, err = GuessCount{Kind: kind, Subject: subject}, nil
		}
		if err != nil {
			return err
		}
		return saveGuessCounts(ctx, tx, []GuessCount{f(count)})
	})
	if err != nil {
		return fmt.Errorf("changing a count of wrong passwords: %w", err)
	}
	return nil
}

// SaveGuesses keeps counts and known sources, each in the stead of what was kept of it, but for a later use of a known
// source; all or none.
func (s *Store) SaveGuesses(ctx context.Context, counts []GuessCount, known []KnownSource) error {
	// In one order, so that gateways that save the same rows do not wait for each other in a circle.
	counts = slices.SortedFunc(slices.Values(counts), func(a, b GuessCount) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Subject[:], b.Subject[:]))
	})
	known = slices.SortedFunc(slices.Values(known), func(a, b KnownSource) int {
		return cmp.Or(cmp.Compare(a.Login, b.Login), a.Source.Compare(b.Source))
	})
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := saveGuessCounts(ctx, tx, counts); err != nil {
			return err
		}
		return saveKnownSources(ctx, tx, known)
	})
	if err != nil {
		return fmt.Errorf("saving %d counts of wrong passwords and %d known sources: %w", len(counts), len(known), err)
	}
	return nil
}

func saveGuessCounts(ctx context.Context, tx *sql.Tx, counts []GuessCount) error {
	const upsert = `INSERT INTO guess_counts (` + guessColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, subject) DO UPDATE SET guesses = excluded.guesses, level = excluded.level, guessed = excluded.guessed,
		held_until = excluded.held_until, due = excluded.due, lane = excluded.lane, began = excluded.began`
	return each(ctx, tx, upsert, counts, func(c GuessCount) []any {
		return []any{c.Kind, c.Subject[:], c.Guesses, c.Level, c.Guessed.UnixMilli(), millis(c.Held), millis(c.Due), millis(c.Lane), millis(c.Began)}
	})
}

func saveKnownSources(ctx context.Context, tx *sql.Tx, known []KnownSource) error {
	const upsert = `INSERT INTO known_sources (login, source, used) VALUES (?, ?, ?)
		ON CONFLICT (login, source) DO UPDATE SET used = excluded.used WHERE excluded.used > known_sources.used`
	return each(ctx, tx, upsert, known, func(k KnownSource) []any {
		return []any{k.Login, k.Source.String(), k.Used.UnixMilli()}
	})
}

// each runs a statement, prepared once, for each item.
func each[T any](ctx context.Context, tx *sql.Tx, query string, items []T, arguments func(T) []any) error {
	if len(items) == 0 {
		return nil
	}
	statement, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, item := range items {
		if _, err := statement.ExecContext(ctx, arguments(item)...); err != nil {
			return err
		}
	}
	return nil
}

// PruneGuesses removes the counts that are older than a time and the known sources that were not used since another, and
// of what is left, for each kind, all but the newest so many.
func (s *Store) PruneGuesses(ctx context.Context, countsBefore, knownBefore time.Time, most int) error {
	const (
		old     = `DELETE FROM guess_counts WHERE guessed < ?`
		surplus = `DELETE FROM guess_counts WHERE kind = ? AND guessed <=
			(SELECT guessed FROM guess_counts WHERE kind = ? ORDER BY guessed DESC LIMIT 1 OFFSET ?)`
		oldKnown     = `DELETE FROM known_sources WHERE used < ?`
		surplusKnown = `DELETE FROM known_sources WHERE used <= (SELECT used FROM known_sources ORDER BY used DESC LIMIT 1 OFFSET ?)`
	)
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		for _, step := range []struct {
			query     string
			arguments []any
		}{
			{old, []any{countsBefore.UnixMilli()}},
			{surplus, []any{"login", "login", most}},
			{surplus, []any{"source", "source", most}},
			{oldKnown, []any{knownBefore.UnixMilli()}},
			{surplusKnown, []any{most}},
		} {
			if _, err := tx.ExecContext(ctx, step.query, step.arguments...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing old counts of wrong passwords: %w", err)
	}
	return nil
}

func scanGuessCount(row scanner) (c GuessCount, err error) {
	var subject []byte
	var guessed, held, due, lane, began sql.NullInt64
	if err := row.Scan(&c.Kind, &subject, &c.Guesses, &c.Level, &guessed, &held, &due, &lane, &began); err != nil {
		return GuessCount{}, err
	}
	if copy(c.Subject[:], subject) != len(subject) || len(subject) != len(c.Subject) {
		return GuessCount{}, fmt.Errorf("a count of kind %s has a subject of %d bytes", c.Kind, len(subject))
	}
	c.Guessed, c.Held = fromMillis(guessed), fromMillis(held)
	c.Due, c.Lane, c.Began = fromMillis(due), fromMillis(lane), fromMillis(began)
	return c, nil
}

func scanKnownSource(row scanner) (k KnownSource, err error) {
	var source string
	var used sql.NullInt64
	if err := row.Scan(&k.Login, &source, &used); err != nil {
		return KnownSource{}, err
	}
	k.Used = fromMillis(used)
	if k.Source, err = netip.ParsePrefix(source); err != nil {
		return KnownSource{}, fmt.Errorf("a known source of %s: %w", k.Login, err)
	}
	return k, nil
}
