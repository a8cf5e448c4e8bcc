package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"postern/auth/token"
	"postern/certs"
	"postern/imapproxy"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/smtpproxy"
)

// delegatedPermissions are what a person is asked to consent to: one token serves both protocols (reference A.3).
var delegatedPermissions = []string{"IMAP.AccessAsUser.All", "SMTP.Send"}

// upstreams are all providers as the parts of a gateway see them, by their names.
type upstreams struct {
	imap   map[string]imapproxy.Upstream
	smtp   map[string]smtpproxy.Upstream
	tokens map[string]*token.Microsoft
}

// newUpstreams reads the secrets and certificates of the providers and connects to nothing.
func newUpstreams(providers map[string]*config.Provider) (*upstreams, error) {
	u := &upstreams{make(map[string]imapproxy.Upstream), make(map[string]smtpproxy.Upstream), make(map[string]*token.Microsoft)}
	for name, provider := range providers {
		if err := u.add(name, provider); err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
	}
	return u, nil
}

func (u *upstreams) add(name string, provider *config.Provider) error {
	endpoints := provider.Resolve()
	roots, err := readRoots(endpoints.CAFile)
	if err != nil {
		return err
	}
	imapTLS, err := upstreamTLS(endpoints.IMAP, roots)
	if err != nil {
		return err
	}
	smtpTLS, err := upstreamTLS(endpoints.SMTP, roots)
	if err != nil {
		return err
	}
	u.imap[name] = imapproxy.Upstream{Address: endpoints.IMAP, TLS: imapTLS, Sessions: provider.IMAPSessions}
	u.smtp[name] = smtpproxy.Upstream{Address: endpoints.SMTP, TLS: smtpTLS}
	u.tokens[name], err = newTokens(provider, endpoints, roots)
	return err
}

// newTokens makes the provider of tokens.
func newTokens(provider *config.Provider, endpoints config.Resolved, roots *x509.CertPool) (*token.Microsoft, error) {
	clientSecret, err := provider.ClientSecret()
	if err != nil {
		return nil, err
	}
	certificate, err := provider.ClientCertificate()
	if err != nil {
		return nil, err
	}
	var assertion func() (secret.Text, error)
	if provider.ClientAssertionFile != "" {
		assertion = provider.ClientAssertion
	}
	var scopes []string
	for _, permission := range delegatedPermissions {
		scopes = append(scopes, endpoints.DelegatedResource+"/"+permission)
	}
	return token.NewMicrosoft(token.MicrosoftConfig{
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
	})
}

// upstreamTLS makes the TLS configuration for an address: the name in it is the one that is verified.
func upstreamTLS(address string, roots *x509.CertPool) (*tls.Config, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return certs.UpstreamTLS(name, roots), nil
}

// readRoots reads root certificates; none means the system's.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return roots, nil
}
