package store

import (
	"context"
	"database/sql"
	"fmt"
)

// WithdrawalKind is what a [Withdrawal] does.
type WithdrawalKind string

const (
	// PasswordRevoked: an app password is no longer taken.
	PasswordRevoked WithdrawalKind = "password-revoked"
	// LoginLocked: a login may not sign in.
	LoginLocked WithdrawalKind = "login-locked"
	// LoginUnlocked: a login may sign in again.
	LoginUnlocked WithdrawalKind = "login-unlocked"
	// LockdownBegun: nobody within a scope may sign in or send.
	LockdownBegun WithdrawalKind = "lockdown-begun"
	// LockdownLifted: they may again.
	LockdownLifted WithdrawalKind = "lockdown-lifted"
	// TokensForgotten: tokens in memory of those within a scope are to be forgotten.
	TokensForgotten WithdrawalKind = "tokens-forgotten"
)

// Withdrawal is one change of what sessions stand on. Number says which one it is, from 1; later ones have greater
// numbers.
type Withdrawal struct {
	Number  int64
	Kind    WithdrawalKind
	Subject string // id of the password, the login, or the words of a [Scope]
}

// withdraw notes a withdrawal in the transaction that makes it. Numbers become visible in their order: whoever has seen one
// has seen all before it.
func (s *Store) withdraw(ctx context.Context, tx *sql.Tx, kind WithdrawalKind, subject string) error {
	if err := s.engine.serialise(ctx, tx, "withdrawals"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO withdrawals (kind, subject) VALUES (?, ?)`, string(kind), subject)
	return err
}

// LastWithdrawal gives the number of the newest withdrawal; 0 when there is none.
func (s *Store) LastWithdrawal(ctx context.Context) (number int64, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM withdrawals`).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("number of the last withdrawal: %w", err)
	}
	return number, nil
}

// Withdrawals gives those that came after a number, in their order.
func (s *Store) Withdrawals(ctx context.Context, after int64) ([]Withdrawal, error) {
	const query = `SELECT number, kind, subject FROM withdrawals WHERE number > ? ORDER BY number`
	found, err := rows(ctx, s.reader, scanWithdrawal, query, after)
	if err != nil {
		return nil, fmt.Errorf("withdrawals: %w", err)
	}
	return found, nil
}

func scanWithdrawal(row scanner) (w Withdrawal, err error) {
	err = row.Scan(&w.Number, &w.Kind, &w.Subject)
	return w, err
}
