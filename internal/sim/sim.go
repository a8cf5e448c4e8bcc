// Package sim is the simulator of a Microsoft 365 tenant: Entra ID and Exchange Online on loopback, with the people,
// mailboxes and the application of a made-up company. It serves the demo, tests, and people without a tenant.
//
// The parts are in the packages below: tenant is what both services know, entra and exchange are the services. Here
// they are put together, and a control endpoint is added, through which another process orders faults, approves device
// codes and throws switches. Nothing is kept once the simulator has ended.
package sim

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"postern/internal/secret"
	"postern/internal/sim/entra"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// Options are what a simulator is made of.
type Options struct {
	Tenant      *tenant.Tenant  // nil for Contoso
	Certificate tls.Certificate // required: for localhost and the hosts of the addresses
	// IMAPAddress, SMTPAddress and EntraAddress are host:port to listen on; empty is 127.0.0.1 with a free port.
	IMAPAddress, SMTPAddress, EntraAddress string
	TokenLife                              time.Duration // of access tokens; 0 is a random 60 to 90 minutes, as in Entra
	Limits                                 exchange.Limits
	Log                                    *slog.Logger // nil for none
}

// Sim is a running simulator.
type Sim struct {
	Tenant   *tenant.Tenant
	Entra    *entra.Server
	Exchange *exchange.Server
}

// anywhere is loopback with a free port.
const anywhere = "127.0.0.1:0"

// Start starts both services. Close ends them.
func Start(o Options) (*Sim, error) {
	for _, address := range []*string{&o.IMAPAddress, &o.SMTPAddress, &o.EntraAddress} {
		if *address == "" {
			*address = anywhere
		}
	}
	if o.Tenant == nil {
		o.Tenant = Contoso()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config := &tls.Config{Certificates: []tls.Certificate{o.Certificate}, MinVersion: tls.VersionTLS12}
	s := &Sim{Tenant: o.Tenant}
	var err error
	s.Entra, err = entra.Start(entra.Config{
		Tenant: o.Tenant, TLS: config.Clone(), Address: o.EntraAddress, TokenLife: o.TokenLife, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	s.Exchange, err = exchange.Start(exchange.Config{
		Tenant: o.Tenant, Tokens: s.Entra, TLS: config, Limits: o.Limits, IMAPAddress: o.IMAPAddress, SMTPAddress: o.SMTPAddress, Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, s.Entra.Close())
	}
	s.Entra.Handle("/sim/", loopbackOnly(http.StripPrefix("/sim", s.control())))
	return s, nil
}

// Close ends both services and waits for them.
func (s *Sim) Close() error { return errors.Join(s.Exchange.Close(), s.Entra.Close()) }

// Authority gives the https URL that a configuration names as the authority: Entra's with the tenant's domain.
func (s *Sim) Authority() string { return s.Entra.URL() + "/" + s.Tenant.Domains[0] }

// SetRedirectURIs says where Contoso's application may have people sent back to.
func (s *Sim) SetRedirectURIs(uris ...string) {
	s.Tenant.UpdateApplication(ClientID, func(a *tenant.Application) { a.RedirectURIs = uris })
}

// ClientSecret gives the client secret of Contoso's application; the empty secret in a tenant without it.
func (s *Sim) ClientSecret() secret.Text {
	application, ok := s.Tenant.Application(ClientID)
	if !ok || len(application.Secrets) == 0 {
		return secret.Text{}
	}
	return application.Secrets[0].Value
}
