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
	// Refused: the provider refuses the account for a reason that no sign-in mends, such as a Conditional Access policy.
	Refused AccountState = "refused"
)

// Account is a person's account that was enrolled. TenantID and ObjectID say who it is; the rest are labels.
type Account struct {
	Provider string // name in the configuration
	Name     string // user principal name in lower case
	TenantID string
	ObjectID string
	Username string // as the provider shows it
	Standing
}

// Standing is how an account stands, and since when.
type Standing struct {
	State  AccountState
	Reason string    // why it is not OK
	Since  time.Time // when State came to be
	// Asked is how often the provider was asked in vain since the first refusal; of Refused.
	Asked int
	// RetryAt is when it may be asked again; of Refused, and the zero time when somebody has to act first.
	RetryAt time.Time
}

const (
	accountColumns = `provider, name, tenant_id, object_id, username, state, reason, since, asked, retry_at`
	accountSQL     = `SELECT ` + accountColumns + ` FROM accounts WHERE provider = ? AND name = ?`
)

// Account gives an account; an error wraps [ErrNotFound] if it is not enrolled.
func (s *Store) Account(ctx context.Context, provider, name string) (Account, error) {
	a, err := row(ctx, s.engine, s.account, scanAccount, provider, name)
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

// AccountsOf gives the accounts of a person, by name: one, unless they had another name once.
func (s *Store) AccountsOf(ctx context.Context, provider, tenantID, objectID string) ([]Account, error) {
	const query = `SELECT ` + accountColumns + ` FROM accounts WHERE provider = ? AND tenant_id = ? AND object_id = ? ORDER BY name`
	accounts, err := rows(ctx, s.reader, scanAccount, query, provider, tenantID, objectID)
	if err != nil {
		return nil, fmt.Errorf("accounts of %s: %w", objectID, err)
	}
	return accounts, nil
}

// IdleAccounts gives the accounts that are OK and whose token cache was last saved before a time, or is said to have been
// saved after another: a time that lies ahead is that of a clock which was wrong, and says nothing. The longest idle come
// first, limit of them at most.
func (s *Store) IdleAccounts(ctx context.Context, before, ahead time.Time, limit int) ([]Account, error) {
	const query = `SELECT ` + accountColumns + ` FROM accounts JOIN (
			SELECT provider AS p, tenant_id AS t, owner AS o, COALESCE(MAX(saved), 0) AS last FROM token_caches GROUP BY provider, tenant_id, owner
		) AS idle ON p = provider AND t = tenant_id AND o = object_id
		WHERE state = ? AND (last < ? OR last > ?) ORDER BY last > ?, last, provider, name LIMIT ?`
	idle, err := rows(ctx, s.reader, scanAccount, query, string(OK), millis(before), millis(ahead), millis(ahead), limit)
	if err != nil {
		return nil, fmt.Errorf("idle accounts: %w", err)
	}
	return idle, nil
}

// SetStanding changes how an account stands. The error wraps [ErrNotFound] if it is not enrolled.
func (s *Store) SetStanding(ctx context.Context, provider, name string, now Standing) error {
	const update = `UPDATE accounts SET state = ?, reason = ?, since = ?, asked = ?, retry_at = ? WHERE provider = ? AND name = ?`
	found, err := affected(s.writer.ExecContext(ctx, update, string(now.State), printable(now.Reason), millis(now.Since), now.Asked,
		millis(now.RetryAt), provider, name))
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("standing of account %q of %s: %w", name, provider, err)
	}
	return nil
}

// SaveEnrolment keeps an account and the token cache that its sign-in brought, both or neither. It takes the stead of an
// earlier enrolment: caches of other kinds that the owner had are removed, for their tokens are older; and where it was
// another person's, all that was kept of them, unless another account is theirs.
func (s *Store) SaveEnrolment(ctx context.Context, a Account, key TokenCacheKey, content []byte) error {
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		// Two enrolments may be about the same account or the same person, and each looks for what the other changes.
		if err := s.engine.serialise(ctx, tx, "enrolment", a.Provider); err != nil {
			return err
		}
		before, err := scanAccount(tx.QueryRowContext(ctx, accountSQL, a.Provider, a.Name))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("the enrolment before: %w", err)
		}
		if err := saveAccount(ctx, tx, a); err != nil {
			return err
		}
		const others = `DELETE FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind <> ?`
		if _, err := tx.ExecContext(ctx, others, key.Provider, key.TenantID, key.Owner, key.Kind); err != nil {
			return err
		}
		if err := removeOrphan(ctx, tx, before); err != nil {
			return err
		}
		return s.saveTokenCache(ctx, tx, key, content)
	})
	if err != nil {
		return fmt.Errorf("enrolment: %w", err)
	}
	return nil
}

func saveAccount(ctx context.Context, tx *sql.Tx, a Account) error {
	const upsert = `INSERT INTO accounts (` + accountColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (provider, name) DO UPDATE SET tenant_id = excluded.tenant_id, object_id = excluded.object_id,
		username = excluded.username, state = excluded.state, reason = excluded.reason, since = excluded.since,
		asked = excluded.asked, retry_at = excluded.retry_at`
	_, err := tx.ExecContext(ctx, upsert, a.Provider, a.Name, a.TenantID, a.ObjectID, printable(a.Username), string(a.State),
		printable(a.Reason), millis(a.Since), a.Asked, millis(a.RetryAt))
	if err != nil {
		return fmt.Errorf("saving account %q of %s: %w", a.Name, a.Provider, err)
	}
	return nil
}

// removeOrphan removes the token caches of a person whom no account is any more.
func removeOrphan(ctx context.Context, tx *sql.Tx, before Account) error {
	const remove = `DELETE FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND NOT EXISTS (
		SELECT 1 FROM accounts a WHERE a.provider = token_caches.provider AND a.tenant_id = token_caches.tenant_id AND a.object_id = owner)`
	if _, err := tx.ExecContext(ctx, remove, before.Provider, before.TenantID, before.ObjectID); err != nil {
		return fmt.Errorf("removing the token cache of the person before: %w", err)
	}
	return nil
}

// scanAccount reads a row of accountColumns.
func scanAccount(row scanner) (a Account, err error) {
	var since, retryAt sql.NullInt64
	err = row.Scan(&a.Provider, &a.Name, &a.TenantID, &a.ObjectID, &a.Username, &a.State, &a.Reason, &since, &a.Asked, &retryAt)
	a.Since, a.RetryAt = fromMillis(since), fromMillis(retryAt)
	return a, err
}
