// Package acme gets certificates from authorities that speak ACME (RFC 8555), such as Let's Encrypt or one of one's own, and
// renews them. A [Manager] is a source for [certs.Store].
//
// The protocol is certmagic's; the package adds where it keeps things (a [certs.Vault], shared by all gateways on one store,
// which take turns by its locks), what it says and to whom, and the proofs by DNS. A failure leaves the certificate that
// there is; it is tried again, ever later, for as long as the gateway runs.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	acmeproto "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"postern/certs"
	"postern/internal/secret"
)

// How a name is proven to an authority.
const (
	HTTP01    = "http-01"     // RFC 8555 section 8.3
	TLSALPN01 = "tls-alpn-01" // RFC 8737
	DNS01     = "dns-01"      // RFC 8555 section 8.4
)

// Config says from whom certificates come, and what for.
type Config struct {
	Names     []string // each gets a certificate of its own
	Directory string   // the authority's URL
	// Roots are for the connection to the authority; nil means the system's.
	Roots *x509.CertPool
	Email string // may be empty
	RSA   bool   // RSA with 2048 bits instead of ECDSA P-256
	// ExternalAccount ties the account to one at the authority; nil for none.
	ExternalAccount *ExternalAccount

	Challenge string // HTTP01, TLSALPN01 or DNS01
	// Listen is where the authority's look at HTTP01 or TLSALPN01 arrives, host:port. It is opened for that time; where
	// something listens there already, that has to answer: see [Manager.Challenge].
	Listen string
	DNS    DNS // for DNS01

	Vault certs.Vault
	Log   *slog.Logger
	// Check is how often certificates are held against their time; zero means every ten minutes.
	Check time.Duration
	// RenewalRatio is which part of its life a certificate has left when it is renewed; zero means a third.
	RenewalRatio float64
}

// ExternalAccount is an account that the authority has made by other means (RFC 8555 section 7.3.4).
type ExternalAccount struct {
	KeyID  string
	MACKey secret.Text // in base64url, as authorities give it
}

// Manager gets the certificates of a [Config] and keeps them. It is safe for concurrent use.
type Manager struct {
	config  Config
	storage *storage

	mu       sync.Mutex
	running  *certmagic.Config     // nil before Run
	problems map[string]error      // name → why it could not be had at the last try
	loaded   map[string]loadedPair // name → what was read last
}

// loadedPair is a certificate as the vault had it.
type loadedPair struct {
	chain, key  string
	certificate *tls.Certificate
}

// New makes a manager. It gets nothing before [Manager.Run].
func New(c Config) *Manager {
	return &Manager{config: c, storage: newStorage(c.Vault, c.RSA), problems: make(map[string]error), loaded: make(map[string]loadedPair)}
}

// String is of [certs.Source].
func (m *Manager) String() string { return "ACME " + m.config.Directory }

// Run gets and renews certificates until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	log := zap.New(newCore(m.config.Log))
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		RenewCheckInterval: m.config.Check,
		Logger:             log,
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{
		Storage: m.storage, Logger: log, OnEvent: m.event, RenewalWindowRatio: m.config.RenewalRatio,
		KeySource: certmagic.StandardKeyGenerator{KeyType: m.keyType()},
		// Let's Encrypt has ended OCSP, and mail clients do not look for it.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(config, m.issuer(log))}
	m.mu.Lock()
	m.running = config
	m.mu.Unlock()
	if err := config.ManageAsync(ctx, m.config.Names); err != nil {
		m.fail(m.config.Names[0], err)
	}
	<-ctx.Done()
}

func (m *Manager) keyType() certmagic.KeyType {
	if m.config.RSA {
		return certmagic.RSA2048
	}
	return certmagic.P256
}

// issuer is the template of the authority for certmagic.
func (m *Manager) issuer(log *zap.Logger) certmagic.ACMEIssuer {
	i := certmagic.ACMEIssuer{
		CA: m.config.Directory, TestCA: m.config.Directory, Email: m.config.Email, Agreed: true, TrustedRoots: m.config.Roots, Logger: log,
		DisableHTTPChallenge: m.config.Challenge != HTTP01, DisableTLSALPNChallenge: m.config.Challenge != TLSALPN01,
	}
	if m.config.Challenge == DNS01 {
		i.DNS01Solver = solver{m.config.DNS}
	} else if host, port, err := net.SplitHostPort(m.config.Listen); err == nil {
		i.ListenHost = host
		n, _ := strconv.Atoi(port) // the configuration has looked at it
		i.AltHTTPPort, i.AltTLSALPNPort = n, n
	}
	if account := m.config.ExternalAccount; account != nil {
		i.ExternalAccount = &acmeproto.EAB{KeyID: account.KeyID, MACKey: account.MACKey.Reveal()}
	}
	return i
}

// event hears of what certmagic does.
func (m *Manager) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_failed":
		err, _ := data["error"].(error)
		m.fail(name, err)
	case "cert_obtained":
		m.fail(name, nil)
	}
	return nil
}

// fail remembers why a certificate could not be had; nil when it could.
func (m *Manager) fail(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.problems, name)
		return
	}
	m.problems[name] = err
}

// Refresh is of [certs.Source]. Its error says what the authority had against it at the last try.
func (m *Manager) Refresh(ctx context.Context) error {
	var problems []error
	for _, name := range m.config.Names {
		pair, err := m.load(ctx, name)
		m.mu.Lock()
		switch last := m.problems[name]; {
		case err == nil:
			if held := m.loaded[name]; held.chain != pair.chain || held.key != pair.key {
				m.loaded[name] = pair
			}
			err = last
		case errors.Is(err, fs.ErrNotExist):
			err = last
		}
		m.mu.Unlock()
		if err != nil {
			problems = append(problems, fmt.Errorf("certificate for %s from %s: %w", name, m.config.Directory, err))
		}
	}
	return errors.Join(problems...)
}

// Certificates is of [certs.Source].
func (m *Manager) Certificates() []*tls.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*tls.Certificate
	for _, name := range m.config.Names {
		if pair, ok := m.loaded[name]; ok {
			all = append(all, pair.certificate)
		}
	}
	return all
}

// Look is of [certs.Source].
func (m *Manager) Look(ctx context.Context) ([]certs.Info, error) {
	var all []certs.Info
	for _, name := range m.config.Names {
		pair, err := m.load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", name, err)
		}
		all = append(all, certs.Describe(pair.certificate.Leaf, m))
	}
	return all, nil
}

// load reads a certificate from the vault.
func (m *Manager) load(ctx context.Context, name string) (loadedPair, error) {
	issuer := (&certmagic.ACMEIssuer{CA: m.config.Directory}).IssuerKey()
	chain, err := m.storage.Load(ctx, certmagic.StorageKeys.SiteCert(issuer, name))
	if err != nil {
		return loadedPair{}, err
	}
	key, err := m.storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuer, name))
	if err != nil {
		return loadedPair{}, err
	}
	certificate, err := tls.X509KeyPair(chain, key)
	return loadedPair{string(chain), string(key), &certificate}, err
}

// Challenge is of [certs.Challenger].
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	m.mu.Lock()
	running := m.running
	m.mu.Unlock()
	if running == nil || m.config.Challenge != TLSALPN01 || !slices.Contains(m.config.Names, hello.ServerName) {
		return nil
	}
	certificate, err := running.GetCertificate(hello)
	if err != nil {
		return nil // somebody asks who is not the authority, or too late
	}
	return certificate
}
