package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Scope says for whom a lockdown is.
type Scope struct {
	Kind ScopeKind
	Name string // of the login, in lower case, or of the policy; empty for all
}

// ScopeKind is how a [Scope] names whom it is for.
type ScopeKind string

// The kinds of scopes.
const (
	ScopeLogin  ScopeKind = "login"
	ScopePolicy ScopeKind = "policy"
	ScopeAll    ScopeKind = "all"
)

// Has reports whether a login with a policy is within the scope.
func (s Scope) Has(login, policy string) bool {
	switch s.Kind {
	case ScopeAll:
		return true
	case ScopePolicy:
		return s.Name == policy
	}
	return s.Name == login
}

// String gives the scope in words, as its withdrawal names it: all, login copier-3, policy device.
func (s Scope) String() string { return strings.TrimSpace(string(s.Kind) + " " + s.Name) }

// ScopeOf is the opposite of [Scope.String].
func ScopeOf(words string) Scope {
	kind, name, _ := strings.Cut(words, " ")
	return Scope{ScopeKind(kind), name}
}

// Lockdown is an emergency: nobody within its scope may sign in or send.
type Lockdown struct {
	Scope
	Since  time.Time
	By     string // who began it
	Reason string // may be empty
}

const lockdownColumns = `scope, name, since, locker, reason`

// BeginLockdowns begins lockdowns, all or none. One that is on already stays as it is.
func (s *Store) BeginLockdowns(ctx context.Context, all ...Lockdown) error {
	const insert = `INSERT INTO lockdowns (` + lockdownColumns + `) VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, name) DO NOTHING`
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		for _, l := range all {
			isNew, err := affected(tx.ExecContext(ctx, insert, string(l.Kind), l.Name, millis(l.Since), printable(l.By), printable(l.Reason)))
			if err == nil && isNew {
				err = s.withdraw(ctx, tx, LockdownBegun, l.Scope.String())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("beginning a lockdown: %w", err)
	}
	return nil
}

// LiftLockdown ends a lockdown. The error wraps [ErrNotFound] if it is not on.
func (s *Store) LiftLockdown(ctx context.Context, scope Scope) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		found, err := affected(tx.ExecContext(ctx, `DELETE FROM lockdowns WHERE scope = ? AND name = ?`, string(scope.Kind), scope.Name))
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		return s.withdraw(ctx, tx, LockdownLifted, scope.String())
	})
	if err != nil {
		return fmt.Errorf("lifting the lockdown of %s: %w", scope, err)
	}
	return nil
}

// Lockdowns gives the lockdowns that are on, the oldest first.
func (s *Store) Lockdowns(ctx context.Context) ([]Lockdown, error) {
	all, err := rows(ctx, s.reader, scanLockdown, `SELECT `+lockdownColumns+` FROM lockdowns ORDER BY since, scope, name`)
	if err != nil {
		return nil, fmt.Errorf("lockdowns: %w", err)
	}
	return all, nil
}

// scanLockdown reads a row of lockdownColumns.
func scanLockdown(row scanner) (l Lockdown, err error) {
	var since sql.NullInt64
	err = row.Scan(&l.Kind, &l.Name, &since, &l.By, &l.Reason)
	l.Since = fromMillis(since)
	return l, err
}

// BarQueued bars the waiting messages of a login that nobody is sending at the moment, and gives their number. The queue
// lets them go by itself once their login may send again.
func (s *Store) BarQueued(ctx context.Context, login, reason string) (n int, err error) {
	const update = `UPDATE queue_messages SET state = 'barred', reason = ? WHERE login = ? AND state = 'waiting' AND node IS NULL`
	err = s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, update, printable(reason), login)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		n = int(changed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("barring the messages of %q: %w", login, err)
	}
	return n, nil
}

// QueuedByLogin gives how many messages each login has in the queue.
func (s *Store) QueuedByLogin(ctx context.Context) (map[string]int, error) {
	counts := make(map[string]int)
	_, err := rows(ctx, s.reader, func(row scanner) (struct{}, error) {
		var login string
		var n int
		err := row.Scan(&login, &n)
		counts[login] = n
		return struct{}{}, err
	}, `SELECT login, COUNT(*) FROM queue_messages GROUP BY login`)
	if err != nil {
		return nil, fmt.Errorf("counting the queue by login: %w", err)
	}
	return counts, nil
}
