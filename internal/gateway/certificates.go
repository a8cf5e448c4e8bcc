package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"postern/certs"
	"postern/certs/acme"
	"postern/internal/audit"
	"postern/internal/metrics"
)

// certificates are those that listeners show. The TLS profiles stay for as long as the gateway runs, so that their session
// tickets do; a reload puts other certificates behind them. The legacy ones are for TLS below 1.2 and serve nothing else
// (threat model I-34).
type certificates struct {
	ordinary, legacy shown
	vault            certs.Vault
	record           func(audit.Event) error
	log              *slog.Logger
	ctx              context.Context    // ends when certificates are not to be looked at any more
	unmanage         context.CancelFunc // ends the getting of certificates; nil before it began
	watching         sync.WaitGroup
}

// shown is what a profile shows.
type shown struct {
	store atomic.Pointer[certs.Store] // nil for none
	stop  context.CancelFunc          // ends the watch over store
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

// certificates gives what is shown now.
func (s *shown) certificates() []certs.Info {
	if store := s.store.Load(); store != nil {
		return store.Certificates()
	}
	return nil
}

// part opens the certificates of the next generation.
func (c *certificates) part(_, next *generation) (change, error) {
	sources, err := newCertificateSources(next.config, c.vault, c.record, "gateway", c.log)
	if err != nil {
		return change{}, err
	}
	ordinary, legacy, err := sources.open(c.ctx, next.config.Domain)
	if err != nil {
		return change{}, err
	}
	return change{commit: func() {
		c.show(&c.ordinary, ordinary, false)
		c.show(&c.legacy, legacy, true)
		c.manage(sources.managers)
	}}, nil
}

// profiles gives the TLS profiles of listeners, each with session tickets of its own.
func (c *certificates) profiles() (ordinary, legacy *tls.Config) {
	return certs.ServerTLS(c.ordinary.certificate), certs.LegacyTLS(c.legacy.certificate)
}

// show has a profile show the certificates of a store, nil for none, and looks after them from now on.
func (c *certificates) show(s *shown, store *certs.Store, legacy bool) {
	if s.stop != nil {
		s.stop()
	}
	before := s.certificates()
	ctx, cancel := context.WithCancel(c.ctx)
	s.stop = cancel
	s.store.Store(store)
	if store == nil {
		return
	}
	w := &certificateWatch{store: store, legacy: legacy, record: c.record, log: c.log}
	w.report(slices.DeleteFunc(store.Certificates(), func(i certs.Info) bool {
		return slices.ContainsFunc(before, func(b certs.Info) bool { return b.SHA256 == i.SHA256 })
	}), nil)
	c.watching.Go(func() { w.run(ctx) })
}

// manage has certificates got from authorities by these managers from now on, and by no others.
func (c *certificates) manage(managers []*acme.Manager) {
	if c.unmanage != nil {
		c.unmanage()
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.unmanage = cancel
	for _, m := range managers {
		c.watching.Go(func() { m.Run(ctx) })
	}
}

// figures gives what monitoring sees of the certificates. Two that differ in nothing that it sees are one to it, the one
// that ends first.
func (c *certificates) figures() []metrics.Certificate {
	var all []metrics.Certificate
	for _, i := range slices.Concat(c.ordinary.certificates(), c.legacy.certificates()) {
		all = append(all, metrics.Certificate{Source: i.Source, Name: i.Name(), Key: i.Key, NotAfter: i.NotAfter})
	}
	slices.SortStableFunc(all, func(a, b metrics.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	seen := make(map[[3]string]bool)
	return slices.DeleteFunc(all, func(m metrics.Certificate) bool {
		key := [3]string{m.Source, m.Name, m.Key}
		defer func() { seen[key] = true }()
		return seen[key]
	})
}
