package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lock is a login that may not sign in.
type Lock struct {
	Login  string // in lower case
	Since  time.Time
	By     string // who locked it
	Reason string // may be empty
}

const (
	lockColumns = `login, since, locker, reason`
	lockedSQL   = `SELECT EXISTS (SELECT 1 FROM login_locks WHERE login = ?), EXISTS (SELECT 1 FROM lockdowns
		WHERE scope = 'login' AND name = ? OR scope = 'policy' AND name = ? OR scope = 'all')`
)

// LockLogin locks a login. One that is locked already keeps its lock as it is.
func (s *Store) LockLogin(ctx context.Context, l Lock) error {
	const insert = `INSERT INTO login_locks (` + lockColumns + `) VALUES (?, ?, ?, ?) ON CONFLICT (login) DO NOTHING`
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		isNew, err := affected(tx.ExecContext(ctx, insert, l.Login, millis(l.Since), printable(l.By), printable(l.Reason)))
		if err != nil || !isNew {
			return err
		}
		return s.withdraw(ctx, tx, LoginLocked, l.Login)
	})
	if err != nil {
		return fmt.Errorf("locking %q: %w", l.Login, err)
	}
	return nil
}

// UnlockLogin takes the lock from a login. The error wraps [ErrNotFound] if there is none.
func (s *Store) UnlockLogin(ctx context.Context, login string) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		found, err := affected(tx.ExecContext(ctx, `DELETE FROM login_locks WHERE login = ?`, login))
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		return s.withdraw(ctx, tx, LoginUnlocked, login)
	})
	if err != nil {
		return fmt.Errorf("unlocking %q: %w", login, err)
	}
	return nil
}

// Locked reports whether a login is locked, and whether a lockdown is on for it or for its policy; an empty policy is
// none's.
func (s *Store) Locked(ctx context.Context, login, policy string) (locked, lockdown bool, err error) {
	both, err := row(ctx, s.engine, s.locked, scanLocked, login, login, policy)
	if err != nil {
		return false, false, fmt.Errorf("lock of %q: %w", login, err)
	}
	return both.login, both.lockdown, nil
}

// keptOut says why a login may not sign in.
type keptOut struct{ login, lockdown bool }

func scanLocked(row scanner) (k keptOut, err error) {
	err = row.Scan(&k.login, &k.lockdown)
	return k, err
}

// Lock gives the lock of a login; an error wraps [ErrNotFound] if it has none.
func (s *Store) Lock(ctx context.Context, login string) (Lock, error) {
	l, err := scanLock(s.reader.QueryRowContext(ctx, `SELECT `+lockColumns+` FROM login_locks WHERE login = ?`, login))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Lock{}, fmt.Errorf("lock of %q: %w", login, err)
	}
	return l, nil
}

// Locks gives all locks, by login.
func (s *Store) Locks(ctx context.Context) ([]Lock, error) {
	locks, err := rows(ctx, s.reader, scanLock, `SELECT `+lockColumns+` FROM login_locks ORDER BY login`)
	if err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	return locks, nil
}

// scanLock reads a row of lockColumns.
func scanLock(row scanner) (l Lock, err error) {
	var since sql.NullInt64
	err = row.Scan(&l.Login, &since, &l.By, &l.Reason)
	l.Since = fromMillis(since)
	return l, err
}
