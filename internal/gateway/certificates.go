package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/certs"
	"postern/internal/config"
)

// certificateCheck is how often certificate files are looked at for changes.
const certificateCheck = 10 * time.Second

// certificates are those that listeners show. The TLS profiles stay for as long as the gateway runs, so that their session
// tickets do; a reload puts other certificates behind them. The legacy ones are for TLS below 1.2 and serve nothing else
// (threat model I-34).
type certificates struct {
	ordinary, legacy shown
	log              *slog.Logger
	ctx              context.Context // ends when files are not to be looked at any more
	watching         sync.WaitGroup
}

// shown is what a profile shows.
type shown struct {
	store atomic.Pointer[certs.Store] // nil for none
	stop  context.CancelFunc          // ends the watch over store's files
}

// errNoCertificate cannot be met by a validated configuration.
var errNoCertificate = errors.New("no certificate is configured for this listener")

// certificate serves as GetCertificate of a [tls.Config].
func (s *shown) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	store := s.store.Load()
	if store == nil {
		return nil, errNoCertificate
	}
	return store.GetCertificate(hello)
}

// part loads the certificates of the next generation.
func (c *certificates) part(_, next *generation) (change, error) {
	ordinary, legacy, err := loadCertificates(next.config)
	if err != nil {
		return change{}, err
	}
	return change{commit: func() {
		c.show(&c.ordinary, ordinary)
		c.show(&c.legacy, legacy)
	}}, nil
}

// loadCertificates loads the certificates of a configuration. For listeners with legacy_tls, one is made where the
// configuration has none for them; legacy is nil where there are no such listeners.
func loadCertificates(c *config.Config) (ordinary, legacy *certs.Store, err error) {
	pairs := make(map[bool][]certs.Pair)
	for _, certificate := range c.Certificates {
		pair := certs.Pair{Cert: certificate.Files.Cert, Key: certificate.Files.Key}
		pairs[certificate.LegacyTLS] = append(pairs[certificate.LegacyTLS], pair)
	}
	if len(pairs[true]) == 0 && slices.ContainsFunc(c.Listeners, func(l config.Listener) bool { return l.LegacyTLS }) {
		made := certs.Pair{Cert: filepath.Join(filepath.Dir(c.KeysFile), "postern.legacy.pem"), Key: filepath.Join(filepath.Dir(c.KeysFile), "postern.legacy.key")}
		if err := certs.EnsureSelfSigned(made, c.Domain); err != nil {
			return nil, nil, err
		}
		pairs[true] = append(pairs[true], made)
	}
	if ordinary, err = certs.LoadFiles(pairs[false]); err == nil && len(pairs[true]) > 0 {
		legacy, err = certs.LoadFiles(pairs[true])
	}
	return ordinary, legacy, err
}

// profiles gives the TLS profiles of listeners, each with session tickets of its own.
func (c *certificates) profiles() (ordinary, legacy *tls.Config) {
	return certs.ServerTLS(c.ordinary.certificate), certs.LegacyTLS(c.legacy.certificate)
}

// show has a profile show the certificates of a store, nil for none, and takes up changed files of theirs from now on.
func (c *certificates) show(s *shown, store *certs.Store) {
	if s.stop != nil {
		s.stop()
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s.stop = cancel
	s.store.Store(store)
	if store != nil {
		c.watching.Go(func() { c.watch(ctx, store) })
	}
}

func (c *certificates) watch(ctx context.Context, store *certs.Store) {
	ticker := time.NewTicker(certificateCheck)
	defer ticker.Stop()
	store.Watch(ctx, ticker.C, func(changed bool, err error) {
		if err != nil {
			c.log.Error("a changed certificate is not used; the one before it goes on", "error", err)
		}
		if changed {
			c.log.Info("certificates reloaded")
		}
	})
}
