package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Factor is a second factor of a person.
type Factor struct {
	ID       string
	TenantID string // whose it is
	ObjectID string
	Method   string // totp or passkey
	Name     string // chosen by its owner
	Created  time.Time
	Used     time.Time // the last time; the zero time for never
	Counter  int64     // grows with each use, or stays 0 where the factor does not count
	Handle   []byte    // unique, where the factor has one
	Content  []byte    // sealed in the database
}

// associatedData describes the place of a factor to the sealing.
func (f Factor) associatedData() []byte {
	return place("postern/factor/1", f.ID, f.TenantID, f.ObjectID, f.Method)
}

const factorColumns = `id, tenant_id, object_id, method, name, created, used, counter, handle, sealed`

// AddFactor keeps a new factor. With first, it does so only if the person has none, and reports whether it did: two
// first factors that are enrolled at the same moment are one.
func (s *Store) AddFactor(ctx context.Context, f Factor, first bool) (added bool, err error) {
	sealed, err := s.ring.Seal(f.Content, f.associatedData())
	if err == nil {
		const insert = `INSERT INTO factors (` + factorColumns + `) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
			WHERE NOT (? AND EXISTS (SELECT 1 FROM factors WHERE tenant_id = ? AND object_id = ?))`
		err = s.inTransaction(ctx, func(tx *sql.Tx) (err error) {
			if err := s.engine.serialise(ctx, tx, "factors", f.TenantID, f.ObjectID); err != nil {
				return err
			}
			added, err = affected(tx.ExecContext(ctx, insert, f.ID, f.TenantID, f.ObjectID, f.Method, printable(f.Name),
				millis(f.Created), millis(f.Used), f.Counter, f.Handle, sealed, first, f.TenantID, f.ObjectID))
			return err
		})
	}
	if err != nil {
		return false, fmt.Errorf("adding a factor of %s in tenant %s: %w", f.ObjectID, f.TenantID, err)
	}
	return added, nil
}

// Factors gives the factors of a person, the oldest first. One that does not open, because it was damaged or moved, is an
// error: what is left of a person's factors is not taken for all of them.
func (s *Store) Factors(ctx context.Context, tenantID, objectID string) ([]Factor, error) {
	const query = `SELECT ` + factorColumns + ` FROM factors WHERE tenant_id = ? AND object_id = ? ORDER BY created, id`
	factors, err := rows(ctx, s.reader, scanFactor, query, tenantID, objectID)
	for i, f := range factors {
		if factors[i].Content, err = s.ring.Unseal(f.Content, f.associatedData()); err != nil {
			err = fmt.Errorf("factor %s: %w", f.ID, err)
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("factors of %s in tenant %s: %w", objectID, tenantID, err)
	}
	return factors, nil
}

// UseFactor notes a use: it keeps Used, Counter and Content of a factor, if its counter is still the one that was seen
// before the use. It reports whether it did: two uses that saw the same counter are one, unless the factor does not count.
func (s *Store) UseFactor(ctx context.Context, f Factor, seen int64) (used bool, err error) {
	sealed, err := s.ring.Seal(f.Content, f.associatedData())
	if err == nil {
		const update = `UPDATE factors SET used = ?, counter = ?, sealed = ? WHERE id = ? AND counter = ?`
		used, err = affected(s.writer.ExecContext(ctx, update, millis(f.Used), f.Counter, sealed, f.ID, seen))
	}
	if err != nil {
		return false, fmt.Errorf("noting a use of factor %s: %w", f.ID, err)
	}
	return used, nil
}

// RenameFactor gives a factor of a person another name. The error wraps [ErrNotFound] if the person has no such factor.
func (s *Store) RenameFactor(ctx context.Context, tenantID, objectID, id, name string) error {
	const update = `UPDATE factors SET name = ? WHERE id = ? AND tenant_id = ? AND object_id = ?`
	found, err := affected(s.writer.ExecContext(ctx, update, printable(name), id, tenantID, objectID))
	return changed("renaming", id, found, err)
}

// RemoveFactor removes a factor of a person. The error wraps [ErrNotFound] if the person has no such factor.
func (s *Store) RemoveFactor(ctx context.Context, tenantID, objectID, id string) error {
	const remove = `DELETE FROM factors WHERE id = ? AND tenant_id = ? AND object_id = ?`
	found, err := affected(s.writer.ExecContext(ctx, remove, id, tenantID, objectID))
	return changed("removing", id, found, err)
}

// changed gives the error of a change of one factor.
func changed(doing, id string, found bool, err error) error {
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s factor %q: %w", doing, id, err)
	}
	return nil
}

// RemoveFactors removes all factors of a person, and what was begun with them. It gives how many factors there were.
func (s *Store) RemoveFactors(ctx context.Context, tenantID, objectID string) (n int, err error) {
	err = s.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM factors WHERE tenant_id = ? AND object_id = ?`, tenantID, objectID)
		if err != nil {
			return err
		}
		gone, err := result.RowsAffected()
		if err != nil {
			return err
		}
		n = int(gone)
		_, err = tx.ExecContext(ctx, `DELETE FROM ceremonies WHERE tenant_id = ? AND object_id = ?`, tenantID, objectID)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("removing the factors of %s in tenant %s: %w", objectID, tenantID, err)
	}
	return n, nil
}

// scanFactor reads a row of factorColumns; its content is still sealed.
func scanFactor(row scanner) (f Factor, err error) {
	var created, used sql.NullInt64
	err = row.Scan(&f.ID, &f.TenantID, &f.ObjectID, &f.Method, &f.Name, &created, &used, &f.Counter, &f.Handle, &f.Content)
	f.Created, f.Used = fromMillis(created), fromMillis(used)
	return f, err
}
