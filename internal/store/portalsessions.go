package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// PortalSession is somebody who is signed in to the portal.
type PortalSession struct {
	Hash               []byte // of the key that the browser has
	Provider           string
	TenantID, ObjectID string
	Started            time.Time
	Expires            time.Time // unless a request comes
	Version            int64     // counts the changes
	Sealed             []byte    // the content, which is the portal's to seal
}

const portalSessionColumns = `hash, provider, tenant_id, object_id, started, expires, version, sealed`

// PortalSession finds a session that has not expired.
func (s *Store) PortalSession(ctx context.Context, hash []byte, now time.Time) (PortalSession, bool, error) {
	const query = `SELECT ` + portalSessionColumns + ` FROM portal_sessions WHERE hash = ? AND expires > ?`
	p, err := scanPortalSession(s.reader.QueryRowContext(ctx, query, hash, now.UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return PortalSession{}, false, nil
	}
	if err != nil {
		return PortalSession{}, false, fmt.Errorf("portal session: %w", err)
	}
	return p, true, nil
}

// AddPortalSession keeps a new session in the stead of the one with the hash replaced, if that is not nil, and removes
// those that have expired: all of it or nothing.
func (s *Store) AddPortalSession(ctx context.Context, p PortalSession, replaced []byte, now time.Time) error {
	const insert = `INSERT INTO portal_sessions (` + portalSessionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM portal_sessions WHERE expires <= ? OR hash = ?`, now.UnixMilli(), replaced); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, insert, p.Hash, p.Provider, p.TenantID, p.ObjectID, p.Started.UnixMilli(), p.Expires.UnixMilli(), p.Version, p.Sealed)
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping a portal session: %w", err)
	}
	return nil
}

// ChangePortalSession sets Expires, Version and Sealed of a session. It reports false, and changes nothing, if the stored
// version is not the one before p.Version, or there is no such session.
func (s *Store) ChangePortalSession(ctx context.Context, p PortalSession) (bool, error) {
	const update = `UPDATE portal_sessions SET expires = ?, version = ?, sealed = ? WHERE hash = ? AND version = ?`
	changed, err := affected(s.writer.ExecContext(ctx, update, p.Expires.UnixMilli(), p.Version, p.Sealed, p.Hash, p.Version-1))
	if err != nil {
		return false, fmt.Errorf("changing a portal session: %w", err)
	}
	return changed, nil
}

// UsePortalState notes that the state of a sign-in to the portal has come back, and reports false if it had before. It
// removes those that have expired.
func (s *Store) UsePortalState(ctx context.Context, hash []byte, expires, now time.Time) (first bool, err error) {
	err = s.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM portal_states WHERE expires <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		const insert = `INSERT INTO portal_states (hash, expires) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING`
		var err error
		first, err = affected(tx.ExecContext(ctx, insert, hash, expires.UnixMilli()))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("noting the state of a sign-in: %w", err)
	}
	return first, nil
}

// EndPortalSession removes a session, if it is there.
func (s *Store) EndPortalSession(ctx context.Context, hash []byte) error {
	if _, err := s.writer.ExecContext(ctx, `DELETE FROM portal_sessions WHERE hash = ?`, hash); err != nil {
		return fmt.Errorf("ending a portal session: %w", err)
	}
	return nil
}

// EndPortalSessions removes all sessions of a person, and gives their number.
func (s *Store) EndPortalSessions(ctx context.Context, provider, tenantID, objectID string) (int, error) {
	const remove = `DELETE FROM portal_sessions WHERE provider = ? AND tenant_id = ? AND object_id = ?`
	result, err := s.writer.ExecContext(ctx, remove, provider, tenantID, objectID)
	var n int64
	if err == nil {
		n, err = result.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("ending the portal sessions of %s: %w", objectID, err)
	}
	return int(n), nil
}

// scanPortalSession reads a row of portalSessionColumns.
func scanPortalSession(row scanner) (p PortalSession, err error) {
	var started, expires sql.NullInt64
	err = row.Scan(&p.Hash, &p.Provider, &p.TenantID, &p.ObjectID, &started, &expires, &p.Version, &p.Sealed)
	p.Started, p.Expires = fromMillis(started), fromMillis(expires)
	return p, err
}
