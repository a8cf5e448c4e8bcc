package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// TokenCacheKey is the place of one token cache. All four parts take part in the sealing: a row that is copied to another
// place does not open there (threat model I-19).
type TokenCacheKey struct {
	Provider string // name in the configuration
	TenantID string
	Owner    string // whose tokens they are: the object id of a person, the client id of an application
	Kind     string // what the content is; the owner of the cache says
}

// associatedData describes the place to the sealing.
func (k TokenCacheKey) associatedData() []byte {
	return place("postern/token-cache/1", k.Provider, k.TenantID, k.Owner, k.Kind)
}

func (k TokenCacheKey) String() string {
	return fmt.Sprintf("%s of %s in tenant %s of %s", k.Kind, k.Owner, k.TenantID, k.Provider)
}

const tokenCacheSQL = `SELECT sealed FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind = ?`

// LoadTokenCache gives the content at a place. The error wraps [ErrNotFound] if there is none; another error is that of
// the database, or of content that does not open: damaged, moved, or sealed with other keys.
func (s *Store) LoadTokenCache(ctx context.Context, key TokenCacheKey) ([]byte, error) {
	sealed, err := row(ctx, s.engine, s.tokenCache, scanSealed, key.Provider, key.TenantID, key.Owner, key.Kind)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	var content []byte
	if err == nil {
		content, err = s.ring.Unseal(sealed, key.associatedData())
	}
	if err != nil {
		return nil, fmt.Errorf("token cache %s: %w", key, err)
	}
	return content, nil
}

func scanSealed(row scanner) (sealed []byte, err error) {
	err = row.Scan(&sealed)
	return sealed, err
}

// SaveTokenCache keeps content at a place, in the stead of what was there.
func (s *Store) SaveTokenCache(ctx context.Context, key TokenCacheKey, content []byte) error {
	return s.inTurn(ctx, func() error { return s.saveTokenCache(ctx, s.writer, key, content) })
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
}

func (s *Store) saveTokenCache(ctx context.Context, db execer, key TokenCacheKey, content []byte) error {
	sealed, err := s.ring.Seal(content, key.associatedData())
	if err == nil {
		const upsert = `INSERT INTO token_caches (provider, tenant_id, owner, kind, sealed, saved) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (provider, tenant_id, owner, kind) DO UPDATE SET sealed = excluded.sealed, saved = excluded.saved`
		_, err = db.ExecContext(ctx, upsert, key.Provider, key.TenantID, key.Owner, key.Kind, sealed, s.Now().UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("saving token cache %s: %w", key, err)
	}
	return nil
}

// TokensSaved gives when a token cache of an owner was last saved, of whatever kind; the zero time if that is not known or
// there is none.
func (s *Store) TokensSaved(ctx context.Context, provider, tenantID, owner string) (time.Time, error) {
	const query = `SELECT MAX(saved) FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ?`
	var saved sql.NullInt64
	if err := s.reader.QueryRowContext(ctx, query, provider, tenantID, owner).Scan(&saved); err != nil {
		return time.Time{}, fmt.Errorf("token caches of %s in tenant %s of %s: %w", owner, tenantID, provider, err)
	}
	return fromMillis(saved), nil
}
