package gateway

import (
	"context"
	"errors"
	"time"

	"postern/auth/factor"
	"postern/internal/secret"
	"postern/internal/store"
)

// factorStore is the store as package factor wants it.
type factorStore struct{ *store.Store }

func (s factorStore) AddFactor(ctx context.Context, f factor.Factor, first bool) (bool, error) {
	return s.Store.AddFactor(ctx, factorRow(f), first)
}

func (s factorStore) Factors(ctx context.Context, p factor.Person) ([]factor.Factor, error) {
	rows, err := s.Store.Factors(ctx, p.TenantID, p.ObjectID)
	factors := make([]factor.Factor, len(rows))
	for i, row := range rows {
		factors[i] = factor.Factor{
			ID: row.ID, Person: p, Method: row.Method, Name: row.Name, Created: row.Created, Used: row.Used,
			Counter: row.Counter, Handle: row.Handle, Content: secret.New(string(row.Content)),
		}
	}
	return factors, err
}

func (s factorStore) UseFactor(ctx context.Context, f factor.Factor, seen int64) (bool, error) {
	return s.Store.UseFactor(ctx, factorRow(f), seen)
}

func (s factorStore) RenameFactor(ctx context.Context, p factor.Person, id, name string) (bool, error) {
	return found(s.Store.RenameFactor(ctx, p.TenantID, p.ObjectID, id, name))
}

func (s factorStore) RemoveFactor(ctx context.Context, p factor.Person, id string) (bool, error) {
	return found(s.Store.RemoveFactor(ctx, p.TenantID, p.ObjectID, id))
}

func (s factorStore) RemoveFactors(ctx context.Context, p factor.Person) (int, error) {
	return s.Store.RemoveFactors(ctx, p.TenantID, p.ObjectID)
}

func (s factorStore) SaveCeremony(ctx context.Context, c factor.Ceremony, now time.Time) error {
	return s.Store.SaveCeremony(ctx, store.Ceremony{
		Browser: c.Browser, Purpose: c.Purpose, TenantID: c.Person.TenantID, ObjectID: c.Person.ObjectID,
		Expires: c.Expires, Content: []byte(c.Content.Reveal()),
	}, now)
}

func (s factorStore) Ceremony(ctx context.Context, browser, purpose string) (factor.Ceremony, bool, error) {
	return ceremony(s.Store.Ceremony(ctx, browser, purpose))
}

func (s factorStore) TakeCeremony(ctx context.Context, browser, purpose string) (factor.Ceremony, bool, error) {
	return ceremony(s.Store.TakeCeremony(ctx, browser, purpose))
}

func factorRow(f factor.Factor) store.Factor {
	return store.Factor{
		ID: f.ID, TenantID: f.Person.TenantID, ObjectID: f.Person.ObjectID, Method: f.Method, Name: f.Name,
		Created: f.Created, Used: f.Used, Counter: f.Counter, Handle: f.Handle, Content: []byte(f.Content.Reveal()),
	}
}

func ceremony(row store.Ceremony, err error) (factor.Ceremony, bool, error) {
	there, err := found(err)
	return factor.Ceremony{
		Browser: row.Browser, Purpose: row.Purpose, Person: factor.Person{TenantID: row.TenantID, ObjectID: row.ObjectID},
		Expires: row.Expires, Content: secret.New(string(row.Content)),
	}, there, err
}

// found tells a row that is not there from a store that failed.
func found(err error) (bool, error) {
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
