package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// AccountState is how an account stands with its provider.
type AccountState string

const (
	// OK: the last sign-in of the account is good, as far as is known.
	OK AccountState = "ok"
	// NeedsSignIn: the provider wants the person to sign in again.
	NeedsSignIn AccountState = "needs-sign-in"
)

// Account is a person's account that was enrolled. TenantID and ObjectID say who it is; the rest are labels.
type Account struct {
	Provider string // name in the configuration
	Name     string // user principal name in lower case
	TenantID string
	ObjectID string
	Username string // as the provider shows it
	State    AccountState
	Reason   string    // why a new sign-in is needed
	Since    time.Time // when State came to be
}

const (
	accountColumns = `provider, name, tenant_id, object_id, username, state, reason, since`
	accountSQL     = `SELECT ` + accountColumns + ` FROM accounts WHERE provider = ? AND name = ?`
)

// Account gives an account; an error wraps [ErrNotFound] if it is not enrolled.
func (s *Store) Account(ctx context.Context, provider, name string) (Account, error) {
	a, err := row(ctx, s.account, scanAccount, provider, name)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Account{}, fmt.Errorf("account %q of %s: %w", name, provider, err)
	}
	return a, nil
}

// Accounts gives all accounts, by provider and name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	accounts, err := rows(ctx, s.reader, scanAccount, `SELECT `+accountColumns+` FROM accounts ORDER BY provider, name`)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return accounts, nil
}

// SaveAccount keeps an account, in the stead of the one of that name.
func (s *Store) SaveAccount(ctx context.Context, a Account) error {
	return saveAccount(ctx, s.writer, a)
}

func saveAccount(ctx context.Context, db execer, a Account) error {
	const upsert = `INSERT INTO accounts (` + accountColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (provider, name) DO UPDATE SET tenant_id = excluded.tenant_id, object_id = excluded.object_id,
		username = excluded.username, state = excluded.state, reason = excluded.reason, since = excluded.since`
	_, err := db.ExecContext(ctx, upsert, a.Provider, a.Name, a.TenantID, a.ObjectID, printable(a.Username), string(a.State),
		printable(a.Reason), millis(a.Since))
	if err != nil {
		return fmt.Errorf("saving account %q of %s: %w", a.Name, a.Provider, err)
	}
	return nil
}

// SetAccountState changes how an account stands. The error wraps [ErrNotFound] if it is not enrolled.
func (s *Store) SetAccountState(ctx context.Context, provider, name string, state AccountState, reason string, since time.Time) error {
	const update = `UPDATE accounts SET state = ?, reason = ?, since = ? WHERE provider = ? AND name = ?`
	found, err := affected(s.writer.ExecContext(ctx, update, string(state), printable(reason), millis(since), provider, name))
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("state of account %q of %s: %w", name, provider, err)
	}
	return nil
}

// SaveEnrolment keeps an account and the token cache that its sign-in brought, both or neither. Caches of other kinds that
// the owner had are removed: their tokens are older.
func (s *Store) SaveEnrolment(ctx context.Context, a Account, key TokenCacheKey, content []byte) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := saveAccount(ctx, tx, a); err != nil {
			return err
		}
		const others = `DELETE FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind <> ?`
		if _, err := tx.ExecContext(ctx, others, key.Provider, key.TenantID, key.Owner, key.Kind); err != nil {
			return err
		}
		return s.saveTokenCache(ctx, tx, key, content)
	})
	if err != nil {
		return fmt.Errorf("enrolment: %w", err)
	}
	return nil
}

// scanAccount reads a row of accountColumns.
func scanAccount(row scanner) (a Account, err error) {
	var since sql.NullInt64
	err = row.Scan(&a.Provider, &a.Name, &a.TenantID, &a.ObjectID, &a.Username, &a.State, &a.Reason, &since)
	a.Since = fromMillis(since)
	return a, err
}
