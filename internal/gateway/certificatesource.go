package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postern/certs"
	"postern/certs/acme"
	"postern/internal/audit"
	"postern/internal/config"
)

// certificateSources are where the certificates of a configuration come from.
type certificateSources struct {
	ordinary, legacy []certs.Source
	private          *certs.PrivateCA // nil where nothing comes from it
	managers         []*acme.Manager  // those that have to run
}

// newCertificateSources makes the sources of a configuration; it reads nothing and makes nothing yet. record hears of a
// new root of the private CA, before there is one.
//
// For listeners with legacy_tls the private CA has a certificate where the configuration names none.
func newCertificateSources(c *config.Config, vault certs.Vault, record func(audit.Event) error, by string, log *slog.Logger) (certificateSources, error) {
	var s certificateSources
	ca := certs.NewPrivateCA(vault, c.PrivateRootNames(), func(root certs.Info) error {
		return record(audit.PrivateCACreated{Issuer: root.Issuer, Expires: root.NotAfter, SHA256: root.SHA256, By: by})
	})
	private := func(p *config.PrivateCA, uses ...certs.Use) certs.Source {
		s.private = ca
		return ca.Certificates(c.PrivateNames(p), uses...)
	}
	for _, certificate := range c.Certificates {
		into := &s.ordinary
		if certificate.LegacyTLS {
			into = &s.legacy
		}
		switch {
		case certificate.PrivateCA != nil && certificate.LegacyTLS:
			*into = append(*into, private(certificate.PrivateCA, certs.Legacy))
		case certificate.PrivateCA != nil:
			*into = append(*into, private(certificate.PrivateCA, certs.Modern, certs.Compatible))
		case certificate.ACME != nil:
			manager, err := acmeManager(certificate.ACME, vault, log)
			if err != nil {
				return s, err
			}
			s.managers = append(s.managers, manager)
			*into = append(*into, manager)
		default:
			pair := certs.Pair{Cert: certificate.Files.Cert, Key: certificate.Files.Key}
			*into = append(*into, certs.Files(pair, c.Domain))
		}
	}
	if len(s.legacy) == 0 && slices.ContainsFunc(c.Listeners, func(l config.Listener) bool { return l.LegacyTLS }) {
		s.legacy = append(s.legacy, private(nil, certs.Legacy))
	}
	return s, nil
}

// acmeManager makes the manager of an entry with acme.
func acmeManager(a *config.ACME, vault certs.Vault, log *slog.Logger) (*acme.Manager, error) {
	c := acme.Config{
		Names: a.Names, Directory: a.Directory, Email: a.Email, RSA: a.Key == "rsa", Challenge: a.Challenge, Listen: a.Listen,
		Vault: vault, Log: log,
	}
	var err error
	if _, c.Roots, err = readRoots(a.CAFile); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	if account := a.ExternalAccount; account != nil {
		key, err := account.MACKey()
		if err != nil {
			return nil, fmt.Errorf("acme: external_account: %w", err)
		}
		c.ExternalAccount = &acme.ExternalAccount{KeyID: account.KeyID, MACKey: key}
	}
	switch d := a.DNS; {
	case d == nil:
	case len(d.Hook) > 0:
		c.DNS = acme.Hook{Command: d.Hook, Propagation: time.Duration(d.Propagation)}
	default:
		key, err := d.TSIGKey()
		if err != nil {
			return nil, fmt.Errorf("acme: dns: %w", err)
		}
		c.DNS = acme.Update{Server: d.Server, Zone: d.Zone, KeyName: d.KeyName, Key: key, Propagation: time.Duration(d.Propagation)}
	}
	return acme.New(c), nil
}

// open opens what listeners show; legacy is nil where nothing is for them.
func (s certificateSources) open(ctx context.Context, domain string) (ordinary, legacy *certs.Store, err error) {
	ordinary, err = certs.Open(ctx, certs.Config{Domain: domain, Sources: s.ordinary})
	if err == nil && len(s.legacy) > 0 {
		legacy, err = certs.Open(ctx, certs.Config{Domain: domain, Sources: s.legacy})
	}
	return ordinary, legacy, err
}
