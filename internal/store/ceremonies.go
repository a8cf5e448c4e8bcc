package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Ceremony is what was begun in a browser and is to be finished there.
type Ceremony struct {
	Browser  string // names the browser's session
	Purpose  string
	TenantID string // whose it is
	ObjectID string
	Expires  time.Time
	Content  []byte // sealed in the database
}

func (c Ceremony) associatedData() []byte {
	return place("postern/ceremony/1", c.Browser, c.Purpose, c.TenantID, c.ObjectID)
}

const ceremonyColumns = `browser, purpose, tenant_id, object_id, expires, sealed`

// SaveCeremony keeps a ceremony in the stead of the one that the browser had begun for the same purpose. Those that have
// expired before now are removed.
func (s *Store) SaveCeremony(ctx context.Context, c Ceremony, now time.Time) error {
	sealed, err := s.ring.Seal(c.Content, c.associatedData())
	if err == nil {
		err = s.inTransaction(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `DELETE FROM ceremonies WHERE expires < ?`, now.UnixMilli()); err != nil {
				return err
			}
			const replace = `INSERT INTO ceremonies (` + ceremonyColumns + `) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (browser, purpose) DO UPDATE SET tenant_id = excluded.tenant_id, object_id = excluded.object_id,
				expires = excluded.expires, sealed = excluded.sealed`
			_, err := tx.ExecContext(ctx, replace, c.Browser, c.Purpose, c.TenantID, c.ObjectID, c.Expires.UnixMilli(), sealed)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("keeping a ceremony for %s: %w", c.Purpose, err)
	}
	return nil
}

// Ceremony gives what a browser has begun for a purpose, also when it has expired. The error wraps [ErrNotFound] if that is
// nothing.
func (s *Store) Ceremony(ctx context.Context, browser, purpose string) (Ceremony, error) {
	const query = `SELECT ` + ceremonyColumns + ` FROM ceremonies WHERE browser = ? AND purpose = ?`
	return s.openCeremony(s.reader.QueryRowContext(ctx, query, browser, purpose), purpose)
}

// TakeCeremony is as [Store.Ceremony] and removes it: of several callers, one gets it.
func (s *Store) TakeCeremony(ctx context.Context, browser, purpose string) (Ceremony, error) {
	const take = `DELETE FROM ceremonies WHERE browser = ? AND purpose = ? RETURNING ` + ceremonyColumns
	return s.openCeremony(s.writer.QueryRowContext(ctx, take, browser, purpose), purpose)
}

// openCeremony reads a row of ceremonyColumns and opens it.
func (s *Store) openCeremony(row scanner, purpose string) (c Ceremony, err error) {
	var expires sql.NullInt64
	err = row.Scan(&c.Browser, &c.Purpose, &c.TenantID, &c.ObjectID, &expires, &c.Content)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		c.Expires = fromMillis(expires)
		c.Content, err = s.ring.Unseal(c.Content, c.associatedData())
	}
	if err != nil {
		return Ceremony{}, fmt.Errorf("ceremony for %s: %w", purpose, err)
	}
	return c, nil
}
