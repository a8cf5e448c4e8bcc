package store

import (
	"context"
	"fmt"
	"time"
)

// TakeLease gives a holder the sole right to get new content for a token cache, for as long as life says or until
// [Store.ReleaseLease]; false when another holder has it. Who has it takes it anew, for the same life from now. A lease that
// ends later than two whole lives from now was taken by a clock that was wrong, or before this one was set back, and does not
// count. Leases are not for ever, and so not synced to the disk: after a loss of power nobody holds one.
func (s *Store) TakeLease(ctx context.Context, key TokenCacheKey, holder string, now time.Time, life time.Duration) (bool, error) {
	const take = `INSERT INTO token_leases (provider, tenant_id, owner, kind, holder, expires) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (provider, tenant_id, owner, kind) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
		WHERE token_leases.holder = excluded.holder OR token_leases.expires <= ? OR token_leases.expires > ?`
	var taken bool
	err := s.inTurn(ctx, func() error {
		var err error
		taken, err = affected(s.engine.hasty(ctx, take, key.Provider, key.TenantID, key.Owner, key.Kind, holder, millis(now.Add(life)),
			millis(now), millis(now.Add(2*life))))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease of token cache %s: %w", key, err)
	}
	return taken, nil
}

// ReleaseLease gives a lease back. It does nothing when the holder does not have it any more.
func (s *Store) ReleaseLease(ctx context.Context, key TokenCacheKey, holder string) error {
	const release = `DELETE FROM token_leases WHERE provider = ? AND tenant_id = ? AND owner = ? AND kind = ? AND holder = ?`
	err := s.inTurn(ctx, func() error {
		_, err := s.engine.hasty(ctx, release, key.Provider, key.TenantID, key.Owner, key.Kind, holder)
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing the lease of token cache %s: %w", key, err)
	}
	return nil
}
