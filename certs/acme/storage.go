package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"

	"postern/certs"
)

// folder is where a vault has what belongs to ACME.
const folder = "acme/"

// storage is a vault as certmagic wants it. Certificates of each kind of key have a place of their own; accounts are the
// same for both.
type storage struct {
	vault certs.Vault
	kind  string

	mu      sync.Mutex
	unlocks map[string]func() // lock → what gives it back
}

func newStorage(vault certs.Vault, rsa bool) *storage {
	kind := "ecdsa/"
	if rsa {
		kind = "rsa/"
	}
	return &storage{vault: vault, kind: kind, unlocks: make(map[string]func())}
}

// place gives where a key of certmagic's is in the vault.
func (s *storage) place(key string) string {
	if key == "certificates" || strings.HasPrefix(key, "certificates/") {
		return folder + s.kind + key
	}
	return folder + key
}

// Load is of [certmagic.Storage], and so are all that follow.
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	item, err := s.vault.Load(ctx, s.place(key))
	return item.Content, err
}

func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	return s.vault.Store(ctx, s.place(key), value)
}

func (s *storage) Delete(ctx context.Context, key string) error {
	return s.vault.Delete(ctx, s.place(key))
}

func (s *storage) Exists(ctx context.Context, key string) bool {
	items, err := s.vault.List(ctx, s.place(key))
	return err == nil && len(items) > 0
}

func (s *storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	place := strings.TrimSuffix(s.place(path), "/")
	items, err := s.vault.List(ctx, place)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, item := range items {
		below, ok := strings.CutPrefix(item.Name, place+"/")
		if !ok {
			continue
		}
		if !recursive {
			below, _, _ = strings.Cut(below, "/")
		}
		if key := path + "/" + below; !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return keys, nil
}

func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	items, err := s.vault.List(ctx, s.place(key))
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	if len(items) == 0 {
		return certmagic.KeyInfo{}, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return certmagic.KeyInfo{Key: key, Modified: items[0].Modified, IsTerminal: items[0].Name == s.place(key)}, nil
}

func (s *storage) Lock(ctx context.Context, name string) error {
	unlock, err := s.vault.Lock(ctx, folder+"lock/"+name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlocks[name] = unlock
	return nil
}

func (s *storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	unlock := s.unlocks[name]
	delete(s.unlocks, name)
	s.mu.Unlock()
	if unlock == nil {
		return errors.New("it is not locked")
	}
	unlock()
	return nil
}
