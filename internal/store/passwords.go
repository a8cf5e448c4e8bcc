package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Password is an app password: everything but the secret.
type Password struct {
	ID        string
	Login     string // in lower case
	Label     string
	Protocols []string
	Networks  []netip.Prefix // none means everywhere
	LegacyTLS bool
	ReadOnly  bool
	Created   time.Time
	Expires   time.Time // the zero time means never
	Revoked   time.Time // the zero time means not revoked
	Evidence  Evidence
	LastUse   Use    // the zero Use means never used
	HashKey   uint32 // id of the key that its hash is under; 0 where that was not noted
}

// Evidence is the proof of a stronger sign-in that a password stands on.
type Evidence struct {
	Method   string    `json:"method"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	TenantID string    `json:"tid,omitempty"`
	ObjectID string    `json:"oid,omitempty"`
}

// column gives the evidence as its column has it.
func (e Evidence) column() (string, error) {
	e.At = e.At.UTC().Truncate(time.Millisecond)
	text, err := json.Marshal(e)
	return string(text), err
}

// Use is a sign-in with a password.
type Use struct {
	ID       string // of the password
	At       time.Time
	From     netip.Addr
	Protocol string // imap or smtp; empty where that was not noted
	Client   string // written by a stranger
}

// AddPassword adds a password under the hash of its secret. It fails if the ID or the hash is there already. LastUse and
// Revoked are those of a new password, whatever p says.
func (s *Store) AddPassword(ctx context.Context, p Password, hash []byte) error {
	protocols, err := list(p.Protocols)
	if err != nil {
		return fmt.Errorf("app password %q: %w", p.ID, err)
	}
	networks, err := list(p.Networks)
	if err != nil {
		return fmt.Errorf("app password %q: %w", p.ID, err)
	}
	evidence, err := p.Evidence.column()
	if err != nil {
		return fmt.Errorf("app password %q: %w", p.ID, err)
	}
	const insert = `INSERT INTO app_passwords
		(id, login, label, protocols, networks, legacy_tls, read_only, created, expires, hash, evidence, hash_key, used_from, used_client)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '')`
	_, err = s.writer.ExecContext(ctx, insert, p.ID, p.Login, p.Label, protocols, networks, flag(p.LegacyTLS), flag(p.ReadOnly),
		millis(p.Created), millis(p.Expires), hash, evidence, int64(p.HashKey))
	if err != nil {
		return fmt.Errorf("app password %q: %w", p.ID, err)
	}
	return nil
}

const (
	passwordColumns = `id, login, label, protocols, networks, legacy_tls, read_only, created, expires, revoked, evidence,
		used_at, used_from, COALESCE(used_protocol, ''), used_client, hash_key`
	passwordByHashSQL = `SELECT ` + passwordColumns + ` FROM app_passwords WHERE hash = ?`
)

// PasswordByHash finds the password under one of the hashes; also one that is expired or revoked.
func (s *Store) PasswordByHash(ctx context.Context, hashes [][]byte) (p Password, found bool, err error) {
	for _, hash := range hashes {
		p, err = row(ctx, s.engine, s.passwordByHash, scanPassword, hash)
		if err == nil {
			return p, true, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Password{}, false, fmt.Errorf("app password by hash: %w", err)
		}
	}
	return Password{}, false, nil
}

// Password gives the password with that ID; an error wraps [ErrNotFound] if there is none.
func (s *Store) Password(ctx context.Context, id string) (Password, error) {
	p, err := scanPassword(s.reader.QueryRowContext(ctx, `SELECT `+passwordColumns+` FROM app_passwords WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Password{}, fmt.Errorf("app password %q: %w", id, err)
	}
	return p, nil
}

// Passwords gives the passwords of a login, or all of them for the empty login, by login and age.
func (s *Store) Passwords(ctx context.Context, login string) ([]Password, error) {
	query, arguments := `SELECT `+passwordColumns+` FROM app_passwords ORDER BY login, created, id`, []any(nil)
	if login != "" {
		query = `SELECT ` + passwordColumns + ` FROM app_passwords WHERE login = ? ORDER BY created, id`
		arguments = []any{login}
	}
	passwords, err := rows(ctx, s.reader, scanPassword, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("app passwords: %w", err)
	}
	return passwords, nil
}

// Rehash puts a password under another hash, with the key that it was made with.
func (s *Store) Rehash(ctx context.Context, id string, hash []byte, key uint32) error {
	const update = `UPDATE app_passwords SET hash = ?, hash_key = ? WHERE id = ?`
	if _, err := s.writer.ExecContext(ctx, update, hash, int64(key), id); err != nil {
		return fmt.Errorf("renewing the hash of app password %q: %w", id, err)
	}
	return nil
}

// RenewEvidence puts new evidence behind a password, in the stead of what was there. The error wraps [ErrNotFound] if
// there is no such password.
func (s *Store) RenewEvidence(ctx context.Context, id string, evidence Evidence) error {
	text, err := evidence.column()
	if err == nil {
		var found bool
		found, err = affected(s.writer.ExecContext(ctx, `UPDATE app_passwords SET evidence = ? WHERE id = ?`, text, id))
		if err == nil && !found {
			err = ErrNotFound
		}
	}
	if err != nil {
		return fmt.Errorf("renewing the evidence of app password %q: %w", id, err)
	}
	return nil
}

// RevokePassword revokes a password. One that is revoked already keeps its time. The error wraps [ErrNotFound] if there
// is no such password.
func (s *Store) RevokePassword(ctx context.Context, id string, at time.Time) error {
	const update = `UPDATE app_passwords SET revoked = COALESCE(revoked, ?) WHERE id = ?`
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		found, err := affected(tx.ExecContext(ctx, update, millis(at), id))
		switch {
		case err != nil:
			return err
		case !found:
			return ErrNotFound
		}
		return s.withdraw(ctx, tx, PasswordRevoked, id)
	})
	if err != nil {
		return fmt.Errorf("revoking app password %q: %w", id, err)
	}
	return nil
}

// StampUses notes last uses, all or none. A use older than the one that is noted changes nothing, and neither does one of
// a password that is not there.
func (s *Store) StampUses(ctx context.Context, uses []Use) error {
	const update = `UPDATE app_passwords SET used_at = ?, used_from = ?, used_protocol = ?, used_client = ?
		WHERE id = ? AND (used_at IS NULL OR used_at <= ?)`
	// Several gateways note uses of the same passwords: in one order, so that none waits for another in a circle.
	uses = slices.SortedStableFunc(slices.Values(uses), func(a, b Use) int { return cmp.Compare(a.ID, b.ID) })
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		for _, use := range uses {
			from := ""
			if use.From.IsValid() {
				from = use.From.String()
			}
			at := millis(use.At)
			if _, err := tx.ExecContext(ctx, update, at, from, use.Protocol, printable(use.Client), use.ID, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting the last uses of %d app passwords: %w", len(uses), err)
	}
	return nil
}

// scanPassword reads a row of passwordColumns.
func scanPassword(row scanner) (p Password, err error) {
	var protocols, networks, evidence, from string
	var created, expires, revoked, used sql.NullInt64
	err = row.Scan(&p.ID, &p.Login, &p.Label, &protocols, &networks, &p.LegacyTLS, &p.ReadOnly, &created, &expires, &revoked,
		&evidence, &used, &from, &p.LastUse.Protocol, &p.LastUse.Client, &p.HashKey)
	if err != nil {
		return Password{}, err
	}
	p.Created, p.Expires, p.Revoked = fromMillis(created), fromMillis(expires), fromMillis(revoked)
	if p.Protocols, err = fromList[string](protocols); err != nil {
		return Password{}, fmt.Errorf("protocols of %s: %w", p.ID, err)
	}
	if p.Networks, err = fromList[netip.Prefix](networks); err != nil {
		return Password{}, fmt.Errorf("networks of %s: %w", p.ID, err)
	}
	if err := json.Unmarshal([]byte(evidence), &p.Evidence); err != nil {
		return Password{}, fmt.Errorf("evidence of %s: %w", p.ID, err)
	}
	if used.Valid {
		p.LastUse.ID, p.LastUse.At = p.ID, fromMillis(used)
	}
	if from != "" {
		if p.LastUse.From, err = netip.ParseAddr(from); err != nil {
			return Password{}, fmt.Errorf("last use of %s: %w", p.ID, err)
		}
	}
	return p, nil
}
