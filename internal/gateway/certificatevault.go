package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"postern/certs"
	"postern/internal/store"
)

const (
	// lockLife is how long a lock on a certificate holds that nobody extends: whoever had it has died.
	lockLife = time.Minute
	// lockPause is the time between two looks at a lock that another has.
	lockPause = 500 * time.Millisecond
)

// certificateVault is the store as package certs wants it.
type certificateVault struct {
	store *store.Store
	log   *slog.Logger
}

// Load is of [certs.Vault].
func (v certificateVault) Load(ctx context.Context, name string) (certs.Item, error) {
	item, err := v.store.CertificateItem(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return certs.Item(item), err
}

// Store is of [certs.Vault].
func (v certificateVault) Store(ctx context.Context, name string, content []byte) error {
	return v.store.SaveCertificateItem(ctx, store.CertificateItem{Name: name, Modified: time.Now(), Content: content})
}

// Delete is of [certs.Vault].
func (v certificateVault) Delete(ctx context.Context, name string) error {
	return v.store.DeleteCertificateItems(ctx, name)
}

// List is of [certs.Vault].
func (v certificateVault) List(ctx context.Context, name string) ([]certs.Item, error) {
	rows, err := v.store.CertificateItems(ctx, name)
	items := make([]certs.Item, len(rows))
	for i, row := range rows {
		items[i] = certs.Item(row)
	}
	return items, err
}

// Lock is of [certs.Vault].
func (v certificateVault) Lock(ctx context.Context, name string) (unlock func(), err error) {
	id := make([]byte, 16)
	rand.Read(id) // never fails
	holder := hex.EncodeToString(id)
	for {
		taken, err := v.store.TakeCertificateLease(ctx, name, holder, time.Now(), lockLife)
		if err != nil {
			return nil, err
		}
		if taken {
			return v.hold(context.WithoutCancel(ctx), name, holder), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// hold extends a lock until it is given back.
func (v certificateVault) hold(ctx context.Context, name, holder string) (unlock func()) {
	ctx, cancel := context.WithCancel(ctx)
	var extending sync.WaitGroup
	extending.Go(func() {
		ticker := time.NewTicker(lockLife / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			taken, err := v.store.TakeCertificateLease(ctx, name, holder, time.Now(), lockLife)
			if ctx.Err() == nil && (err != nil || !taken) {
				v.log.Warn("a lock on a certificate cannot be held on to", "name", name, "error", err)
			}
		}
	})
	return func() {
		cancel()
		extending.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := v.store.ReleaseCertificateLease(ctx, name, holder); err != nil {
			v.log.Warn("a lock on a certificate is not given back; it ends by itself", "name", name, "error", err)
		}
	}
}
