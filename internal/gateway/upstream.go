package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"

	"postern/auth/token"
	"postern/certs"
	"postern/imapproxy"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/smtpproxy"
)

// delegatedPermissions are what a person is asked to consent to: one token serves both protocols (reference A.3).
var delegatedPermissions = []string{"IMAP.AccessAsUser.All", "SMTP.Send"}

// upstream is a provider as the parts of a gateway see it, with what that was made of.
type upstream struct {
	imap   imapproxy.Upstream
	smtp   smtpproxy.Upstream
	tokens *token.Microsoft

	endpoints config.Resolved
	roots     []byte // what endpoints.CAFile held, in PEM
	asks      token.MicrosoftConfig
	assertion string // the file of asks.ClientAssertion
}

// upstreams are all providers by their names.
type upstreams map[string]*upstream

// newUpstreams reads the secrets and certificates of the providers and connects to nothing. What is as it was before is
// taken over with all that it has learnt: sessions of TLS, the pace of token requests.
func newUpstreams(providers map[string]*config.Provider, before upstreams) (upstreams, error) {
	all := make(upstreams)
	for name, provider := range providers {
		u, err := newUpstream(provider, before[name])
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
		all[name] = u
	}
	return all, nil
}

func newUpstream(provider *config.Provider, before *upstream) (*upstream, error) {
	u := &upstream{endpoints: provider.Resolve(), assertion: provider.ClientAssertionFile}
	var roots *x509.CertPool
	var err error
	if u.roots, roots, err = readRoots(u.endpoints.CAFile); err != nil {
		return nil, err
	}
	if u.asks, err = tokenConfig(provider, u.endpoints, roots); err != nil {
		return nil, err
	}
	if u.imap.TLS, err = upstreamTLS(u.endpoints.IMAP, roots); err != nil {
		return nil, err
	}
	if u.smtp.TLS, err = upstreamTLS(u.endpoints.SMTP, roots); err != nil {
		return nil, err
	}
	u.imap.Address, u.smtp.Address = u.endpoints.IMAP, u.endpoints.SMTP
	switch {
	case before == nil:
	case u.sameTokens(before):
		u.tokens = before.tokens
	default:
		u.asks.Predecessor = before.tokens
	}
	if before != nil && u.samePlaces(before) {
		u.imap.TLS, u.smtp.TLS = before.imap.TLS, before.smtp.TLS
	}
	u.imap.Sessions = provider.IMAPSessions
	if u.tokens == nil {
		u.tokens, err = token.NewMicrosoft(u.asks)
	}
	u.asks.Predecessor = nil // else every reload would keep all that came before it
	return u, err
}

// samePlaces reports whether mail goes where it went before, by the same trust.
func (u *upstream) samePlaces(before *upstream) bool {
	return u.endpoints.IMAP == before.endpoints.IMAP && u.endpoints.SMTP == before.endpoints.SMTP && bytes.Equal(u.roots, before.roots)
}

// sameTokens reports whether tokens are asked for as they were before.
func (u *upstream) sameTokens(before *upstream) bool {
	a, b := u.asks, before.asks
	return u.sameIdentity(before) && a.ClientSecret.Equal(b.ClientSecret) && a.ClientCertificate.Equal(b.ClientCertificate) &&
		u.assertion == before.assertion && a.ManagedIdentity == b.ManagedIdentity && a.TokenExchange == b.TokenExchange &&
		bytes.Equal(u.roots, before.roots)
}

// sameIdentity reports whether tokens are those of the same application of the same tenant as before.
func (u *upstream) sameIdentity(before *upstream) bool {
	a, b := u.asks, before.asks
	return a.Authority == b.Authority && a.ClientID == b.ClientID && slices.Equal(a.Scopes, b.Scopes) && a.ApplicationScope == b.ApplicationScope
}

// moved gives the names of the providers that are gone, or have become another's: what was open through them has nothing
// to stand on. Another credential of the same application is no reason.
func (all upstreams) moved(before upstreams) map[string]bool {
	names := make(map[string]bool)
	for name, was := range before {
		if is := all[name]; is == nil || !is.sameIdentity(was) || !is.samePlaces(was) {
			names[name] = true
		}
	}
	return names
}

// tokens gives where tokens come from, by the providers' names.
func (all upstreams) tokens() map[string]*token.Microsoft {
	tokens := make(map[string]*token.Microsoft)
	for name, u := range all {
		tokens[name] = u.tokens
	}
	return tokens
}

// tokenConfig says what a provider of tokens is made of.
func tokenConfig(provider *config.Provider, endpoints config.Resolved, roots *x509.CertPool) (token.MicrosoftConfig, error) {
	clientSecret, err := provider.ClientSecret()
	if err != nil {
		return token.MicrosoftConfig{}, err
	}
	certificate, err := provider.ClientCertificate()
	if err != nil {
		return token.MicrosoftConfig{}, err
	}
	var assertion func() (secret.Text, error)
	if provider.ClientAssertionFile != "" {
		assertion = provider.ClientAssertion
	}
	var scopes []string
	for _, permission := range delegatedPermissions {
		scopes = append(scopes, endpoints.DelegatedResource+"/"+permission)
	}
	return token.MicrosoftConfig{
		Authority:         endpoints.Authority,
		ClientID:          provider.ClientID,
		Scopes:            scopes,
		ApplicationScope:  endpoints.ApplicationResource + "/.default",
		ClientSecret:      clientSecret,
		ClientCertificate: certificate,
		ClientAssertion:   assertion,
		ManagedIdentity:   provider.ManagedIdentity,
		TokenExchange:     endpoints.TokenExchange,
		Roots:             roots,
	}, nil
}

// upstreamTLS makes the TLS configuration for an address: the name in it is the one that is verified.
func upstreamTLS(address string, roots *x509.CertPool) (*tls.Config, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return certs.UpstreamTLS(name, roots), nil
}

// readRoots reads root certificates, and gives them as they are in the file, too; none means the system's.
func readRoots(file string) ([]byte, *x509.CertPool, error) {
	if file == "" {
		return nil, nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("no certificate in %s", file)
	}
	return pem, roots, nil
}
