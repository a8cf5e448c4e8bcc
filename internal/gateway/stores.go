package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/auth/apppassword"
	"postern/internal/store"
	"postern/internal/throttle"
)

// The store knows rows; packages apppassword and token know what they mean. What follows is all that lies between.

// passwordStore is the store as package apppassword wants it.
type passwordStore struct{ *store.Store }

func (s passwordStore) AddPassword(ctx context.Context, r apppassword.Record, hash []byte) error {
	return s.Store.AddPassword(ctx, store.Password{
		ID: r.ID, Login: r.Login, Label: r.Label, Protocols: r.Protocols, Networks: r.Networks, LegacyTLS: r.LegacyTLS,
		ReadOnly: r.ReadOnly, Created: r.Created, Expires: r.Expires, Revoked: r.Revoked,
		Evidence: store.Evidence(r.Evidence), LastUse: store.Use(r.LastUse), HashKey: r.HashKey,
	}, hash)
}

func (s passwordStore) PasswordByHash(ctx context.Context, hashes [][]byte) (apppassword.Record, bool, error) {
	p, found, err := s.Store.PasswordByHash(ctx, hashes)
	return passwordRecord(p), found, err
}

func (s passwordStore) StampUses(ctx context.Context, uses []apppassword.Use) error {
	rows := make([]store.Use, len(uses))
	for i, use := range uses {
		rows[i] = store.Use(use)
	}
	return s.Store.StampUses(ctx, rows)
}

// password gives one record; the error says so when there is none.
func (s passwordStore) password(ctx context.Context, id string) (apppassword.Record, error) {
	p, err := s.Store.Password(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return apppassword.Record{}, fmt.Errorf("there is no app password %q; postern password list shows the ids", id)
	}
	return passwordRecord(p), err
}

// passwords gives the records of a login, or all for an empty one.
func (s passwordStore) passwords(ctx context.Context, login string) ([]apppassword.Record, error) {
	rows, err := s.Store.Passwords(ctx, login)
	records := make([]apppassword.Record, len(rows))
	for i, p := range rows {
		records[i] = passwordRecord(p)
	}
	return records, err
}

func passwordRecord(p store.Password) apppassword.Record {
	return apppassword.Record{
		ID: p.ID, Login: p.Login, Label: p.Label, Protocols: p.Protocols, Networks: p.Networks, LegacyTLS: p.LegacyTLS,
		ReadOnly: p.ReadOnly, Created: p.Created, Expires: p.Expires, Revoked: p.Revoked,
		Evidence: apppassword.Evidence(p.Evidence), LastUse: apppassword.Use(p.LastUse), HashKey: p.HashKey,
	}
}

// openGuesses begins to count wrong passwords, together with other gateways where the store is shared.
func (g *Gateway) openGuesses(ctx context.Context) (*throttle.Guesses, error) {
	c := throttle.Config{Store: guessStore{g.state.Store}, Hash: g.state.Store.Print, Log: g.log, Now: g.state.Store.Now}
	if g.state.Store.Shared() {
		c.Shared = guessStore{g.state.Store}
	}
	return throttle.Open(ctx, c)
}

// guessStore is the store as package throttle wants it.
type guessStore struct{ *store.Store }

func (s guessStore) Guesses(ctx context.Context) ([]throttle.Count, []throttle.Known, error) {
	rows, err := s.Store.GuessCounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	sources, err := s.Store.KnownSources(ctx)
	counts, known := guesses(rows, sources)
	return counts, known, err
}

func (s guessStore) GuessesSince(ctx context.Context, since time.Time, limit int) ([]throttle.Count, []throttle.Known, error) {
	rows, sources, err := s.Store.GuessesSince(ctx, since, limit)
	counts, known := guesses(rows, sources)
	return counts, known, err
}

func (s guessStore) ChangeCount(ctx context.Context, kind string, subject [16]byte, f func(throttle.Count) throttle.Count) error {
	return s.Store.ChangeGuesses(ctx, kind, subject, func(row store.GuessCount) store.GuessCount {
		return store.GuessCount(f(throttle.Count(row)))
	})
}

// guesses gives rows as package throttle has them.
func guesses(rows []store.GuessCount, sources []store.KnownSource) ([]throttle.Count, []throttle.Known) {
	counts, known := make([]throttle.Count, len(rows)), make([]throttle.Known, len(sources))
	for i, row := range rows {
		counts[i] = throttle.Count(row)
	}
	for i, source := range sources {
		known[i] = throttle.Known(source)
	}
	return counts, known
}

func (s guessStore) SaveGuesses(ctx context.Context, counts []throttle.Count, known []throttle.Known) error {
	rows, sources := make([]store.GuessCount, len(counts)), make([]store.KnownSource, len(known))
	for i, count := range counts {
		rows[i] = store.GuessCount(count)
	}
	for i, source := range known {
		sources[i] = store.KnownSource(source)
	}
	return s.Store.SaveGuesses(ctx, rows, sources)
}
