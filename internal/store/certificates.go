package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// CertificateItem is something that belongs to the certificates of listeners: a certificate with its key, an account at an
// authority, an answer that an authority is about to ask for. Its name is a path, such as private-ca/root.
type CertificateItem struct {
	Name     string
	Modified time.Time
	Content  []byte // sealed in the database; nil in lists
}

func certificatePlace(name string) []byte { return place("postern/certificate/1", name) }

// SaveCertificateItem keeps an item in the stead of the one of that name.
func (s *Store) SaveCertificateItem(ctx context.Context, item CertificateItem) error {
	sealed, err := s.ring.Seal(item.Content, certificatePlace(item.Name))
	if err == nil {
		err = s.inTransaction(ctx, func(tx *sql.Tx) error {
			const upsert = `INSERT INTO certificate_items (name, modified, sealed) VALUES (?, ?, ?)
				ON CONFLICT (name) DO UPDATE SET modified = excluded.modified, sealed = excluded.sealed`
			_, err := tx.ExecContext(ctx, upsert, item.Name, item.Modified.UnixMilli(), sealed)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("keeping certificate item %q: %w", item.Name, err)
	}
	return nil
}

// CertificateItem gives an item. The error wraps [ErrNotFound] when there is none of that name.
func (s *Store) CertificateItem(ctx context.Context, name string) (CertificateItem, error) {
	item := CertificateItem{Name: name}
	var modified sql.NullInt64
	var sealed []byte
	// A key that was just replaced must not be taken for the one of its certificate: the writer has no old view.
	err := s.writer.QueryRowContext(ctx, `SELECT modified, sealed FROM certificate_items WHERE name = ?`, name).Scan(&modified, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		item.Modified = fromMillis(modified)
		item.Content, err = s.ring.Unseal(sealed, certificatePlace(name))
	}
	if err != nil {
		return CertificateItem{}, fmt.Errorf("certificate item %q: %w", name, err)
	}
	return item, nil
}

// CertificateItems gives the item of a name and all that are below it, by name and without their content.
func (s *Store) CertificateItems(ctx context.Context, name string) ([]CertificateItem, error) {
	const query = `SELECT name, modified FROM certificate_items WHERE name = ? OR name > ? AND name < ? ORDER BY name`
	items, err := rows(ctx, s.writer, func(row scanner) (item CertificateItem, err error) {
		var modified sql.NullInt64
		err = row.Scan(&item.Name, &modified)
		item.Modified = fromMillis(modified)
		return item, err
	}, query, name, name+"/", name+"0") // 0 comes behind the slash
	if err != nil {
		return nil, fmt.Errorf("certificate items of %q: %w", name, err)
	}
	return items, nil
}

// DeleteCertificateItems removes the item of a name and all that are below it. That there is none is no error.
func (s *Store) DeleteCertificateItems(ctx context.Context, name string) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM certificate_items WHERE name = ? OR name > ? AND name < ?`, name, name+"/", name+"0")
		return err
	})
	if err != nil {
		return fmt.Errorf("removing certificate items of %q: %w", name, err)
	}
	return nil
}

// TakeCertificateLease gives a holder the sole right to what name stands for, as [Store.TakeLease] does for token caches.
func (s *Store) TakeCertificateLease(ctx context.Context, name, holder string, now time.Time, life time.Duration) (bool, error) {
	const take = `INSERT INTO certificate_leases (name, holder, expires) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
		WHERE certificate_leases.holder = excluded.holder OR certificate_leases.expires <= ? OR certificate_leases.expires > ?`
	taken, err := affected(s.engine.hasty(ctx, take, name, holder, millis(now.Add(life)), millis(now), millis(now.Add(2*life))))
	if err != nil {
		return false, fmt.Errorf("lease of certificate %q: %w", name, err)
	}
	return taken, nil
}

// ReleaseCertificateLease gives a lease back. It does nothing when the holder does not have it any more.
func (s *Store) ReleaseCertificateLease(ctx context.Context, name, holder string) error {
	_, err := s.engine.hasty(ctx, `DELETE FROM certificate_leases WHERE name = ? AND holder = ?`, name, holder)
	if err != nil {
		return fmt.Errorf("releasing the lease of certificate %q: %w", name, err)
	}
	return nil
}
