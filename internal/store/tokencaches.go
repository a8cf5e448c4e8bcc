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
	sealed, err := row(ctx, s.tokenCache, scanSealed, key.Provider, key.TenantID, key.Owner, key.Kind)
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
	return s.saveTokenCache(ctx, s.writer, key, content)
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
		_, err = db.ExecContext(ctx, upsert, key.Provider, key.TenantID, key.Owner, key.Kind, sealed, time.Now().UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("saving token cache %s: %w", key, err)
	}
	return nil
}

// TokenCacheSaved gives when the content at a place was last saved; the zero time if that is not known. The error wraps
// [ErrNotFound] if there is none.
func (s *Store) TokenCacheSaved(ctx context.Context, key TokenCacheKey) (time.Time, error) {
	const query = `SELECT saved FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind = ?`
	var saved sql.NullInt64
	err := s.reader.QueryRowContext(ctx, query, key.Provider, key.TenantID, key.Owner, key.Kind).Scan(&saved)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("token cache %s: %w", key, err)
	}
	return fromMillis(saved), nil
}

// DeleteTokenCache removes what is at a place, if anything.
func (s *Store) DeleteTokenCache(ctx context.Context, key TokenCacheKey) error {
	const remove = `DELETE FROM token_caches WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind = ?`
	if _, err := s.writer.ExecContext(ctx, remove, key.Provider, key.TenantID, key.Owner, key.Kind); err != nil {
		return fmt.Errorf("deleting token cache %s: %w", key, err)
	}
	return nil
}
