package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern/certs"
	"postern/internal/config"
)

// certificateCheck is how often certificate files are looked at for changes.
const certificateCheck = 10 * time.Second

// certificates are those that listeners show. The legacy ones are for TLS below 1.2 and serve nothing else; nil where there
// are none (threat model I-34).
type certificates struct {
	ordinary, legacy *certs.Store
}

// loadCertificates loads the certificates of a configuration. For listeners with legacy_tls, one is made where the
// configuration has none for them.
func loadCertificates(c *config.Config) (certificates, error) {
	pairs := make(map[bool][]certs.Pair)
	for _, certificate := range c.Certificates {
		pair := certs.Pair{Cert: certificate.Files.Cert, Key: certificate.Files.Key}
		pairs[certificate.LegacyTLS] = append(pairs[certificate.LegacyTLS], pair)
	}
	if len(pairs[true]) == 0 && slices.ContainsFunc(c.Listeners, func(l config.Listener) bool { return l.LegacyTLS }) {
		made := certs.Pair{Cert: filepath.Join(filepath.Dir(c.KeysFile), "postern.legacy.pem"), Key: filepath.Join(filepath.Dir(c.KeysFile), "postern.legacy.key")}
		if err := certs.EnsureSelfSigned(made, c.Domain); err != nil {
			return certificates{}, err
		}
		pairs[true] = append(pairs[true], made)
	}
	var all certificates
	var err error
	if all.ordinary, err = certs.LoadFiles(pairs[false]); err == nil && len(pairs[true]) > 0 {
		all.legacy, err = certs.LoadFiles(pairs[true])
	}
	return all, err
}

// profiles gives the TLS profiles of listeners, each with session tickets of its own; the legacy one is nil where no
// certificate is for it.
func (c certificates) profiles() (ordinary, legacy *tls.Config) {
	if c.legacy != nil {
		legacy = certs.LegacyTLS(c.legacy.GetCertificate)
	}
	return certs.ServerTLS(c.ordinary.GetCertificate), legacy
}

// watch takes up changed certificate files until ctx ends.
func (c certificates) watch(ctx context.Context, wait *sync.WaitGroup, log *slog.Logger) {
	for _, store := range []*certs.Store{c.ordinary, c.legacy} {
		if store != nil {
			wait.Go(func() { watchCertificates(ctx, store, log) })
		}
	}
}

func watchCertificates(ctx context.Context, store *certs.Store, log *slog.Logger) {
	ticker := time.NewTicker(certificateCheck)
	defer ticker.Stop()
	store.Watch(ctx, ticker.C, func(changed bool, err error) {
		if err != nil {
			log.Error("a changed certificate is not used; the one before it goes on", "error", err)
		}
		if changed {
			log.Info("certificates reloaded")
		}
	})
}
