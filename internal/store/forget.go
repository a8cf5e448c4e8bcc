package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ForgetTokens removes the token caches of an account and has its person sign in again. What is in the memory of
// running gateways is [Store.TellForgotten]'s. The error wraps [ErrNotFound] if the account is not enrolled.
func (s *Store) ForgetTokens(ctx context.Context, provider, name, reason string, now time.Time) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := s.engine.serialise(ctx, tx, "enrolment", provider); err != nil {
			return err
		}
		const mark = `UPDATE accounts SET state = ?, reason = ?, since = ?, asked = 0, retry_at = NULL WHERE provider = ? AND name = ?`
		found, err := affected(tx.ExecContext(ctx, mark, string(NeedsSignIn), printable(reason), now.UnixMilli(), provider, name))
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		const remove = `DELETE FROM token_caches WHERE EXISTS (SELECT 1 FROM accounts a WHERE a.provider = ? AND a.name = ?
			AND a.provider = token_caches.provider AND a.tenant_id = token_caches.tenant_id AND a.object_id = token_caches.owner)`
		_, err = tx.ExecContext(ctx, remove, provider, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting the tokens of account %q of %s: %w", name, provider, err)
	}
	return nil
}

// ForgetApplicationTokens removes the token caches of a kind at a provider.
func (s *Store) ForgetApplicationTokens(ctx context.Context, provider, kind string) error {
	if _, err := s.writer.ExecContext(ctx, `DELETE FROM token_caches WHERE provider = ? AND kind = ?`, provider, kind); err != nil {
		return fmt.Errorf("forgetting the application's tokens of %s: %w", provider, err)
	}
	return nil
}

// TellForgotten has running gateways forget the tokens that they hold in memory for those within a scope.
func (s *Store) TellForgotten(ctx context.Context, scope Scope) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error { return s.withdraw(ctx, tx, TokensForgotten, scope.String()) })
	if err != nil {
		return fmt.Errorf("having tokens forgotten: %w", err)
	}
	return nil
}
