package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/keys"
	"postern/internal/store"
)

// State is what a gateway keeps on the disk: its store, the keys that seal it, and the audit log. A command of the
// administrator may have it open while the gateway runs.
type State struct {
	Keys  *keys.Ring
	Store *store.Store
	Audit *audit.Log
}

// OpenState opens the state that a configuration names, and makes it where there is none yet. Keys are never made for a
// store that exists already: without the keys that belong to it, its content is lost, and new ones would hide that
// (threat model I-42).
func OpenState(ctx context.Context, c *config.Config) (*State, error) {
	password, err := c.StorePassword()
	if err != nil {
		return nil, fmt.Errorf("the store's password: %w", err)
	}
	ring, err := openKeys(ctx, c, store.WithPassword(password))
	if err != nil {
		return nil, err
	}
	s := &State{Keys: ring}
	if s.Store, err = store.Open(ctx, c.Store, ring, store.WithPassword(password)); err != nil {
		return nil, err
	}
	if s.Audit, err = audit.Open(c.AuditFile, nil); err != nil {
		return nil, errors.Join(err, s.Store.Close())
	}
	s.Audit.Sign(ring)
	return s, nil
}

func openKeys(ctx context.Context, c *config.Config, password store.Option) (*keys.Ring, error) {
	if _, err := os.Stat(c.KeysFile); !errors.Is(err, os.ErrNotExist) {
		ring, err := keys.Open(c.KeysFile)
		if err != nil || ring.Signs() {
			return ring, err
		}
		return keys.AddSigning(c.KeysFile)
	}
	there, err := store.Exists(ctx, c.Store, password)
	if err != nil {
		return nil, err
	}
	if there {
		return nil, fmt.Errorf("the keys file %s is missing, and %s is sealed with it: bring it back from a copy; without it the store has to be moved away and everybody enrolled anew",
			c.KeysFile, strings.TrimPrefix(c.Store, "sqlite:"))
	}
	return keys.Create(c.KeysFile)
}

// Close closes the state.
func (s *State) Close() error { return errors.Join(s.Store.Close(), s.Audit.Close()) }
