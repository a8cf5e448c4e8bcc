// Package certs is about the certificates and the TLS of the gateway's connections, towards clients and upstream.
//
// A [Store] holds the certificates that listeners show. They come from sources: files, [PrivateCA], or ACME (package
// certs/acme). The store chooses one for each handshake, and takes up new ones without a restart; a source whose new
// certificate is no good goes on with the one that it had. [ServerTLS], [LegacyTLS] and [UpstreamTLS] are the TLS profiles.
// An [Authority] is a certification authority in memory, for the demo and for tests.
//
// The package accepts and dials no connections and does not know who connects.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where certificates come from. A store calls its methods one at a time.
type Source interface {
	// Refresh looks whether there is a newer certificate, and takes it up if it is good. An error says what is wrong with it;
	// what the source had before stays.
	Refresh(ctx context.Context) error
	// Certificates gives those that can be shown now, with their Leaf; none while there is none yet.
	Certificates() []*tls.Certificate
	// Look gives what the source has, without taking it up and without making anything: for who wants to know.
	Look(ctx context.Context) ([]Info, error)
	// String names the source for people, such as "file mail.pem".
	String() string
}

// Challenger is a source whose authority proves itself the gateway's name by handshakes that ask for a certificate of their
// own (RFC 8737).
type Challenger interface {
	// Challenge gives that certificate; nil where the handshake is an ordinary one or another source's.
	Challenge(hello *tls.ClientHelloInfo) *tls.Certificate
}

// Config says what a store shows.
type Config struct {
	// Domain is the name for clients that ask for none, or for one that no certificate has. Empty means that they get the
	// first certificate.
	Domain  string
	Sources []Source // one at least
}

// Store is a set of certificates for listeners. It is safe for concurrent use.
type Store struct {
	domain  string
	sources []Source

	reloading sync.Mutex
	taken     map[*tls.Certificate]bool // those of the last reload; guarded by reloading

	choice atomic.Pointer[[]candidate] // in the order of preference
}

// candidate is a certificate with its source.
type candidate struct {
	*tls.Certificate
	source Source
}

// Open makes a store of its sources. It fails when one of them has nothing good to show, with an error that says what is
// wrong, and when there is none.
func Open(ctx context.Context, c Config) (*Store, error) {
	if len(c.Sources) == 0 {
		return nil, errors.New("no certificate is configured: a listener with TLS needs one")
	}
	s := &Store{domain: c.Domain, sources: slices.Clone(c.Sources)}
	if _, err := s.Reload(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload asks the sources for newer certificates and gives those that were taken up. A source without a good one keeps what
// it had, and the error says why; it does not keep the others from being taken up.
func (s *Store) Reload(ctx context.Context) (taken []Info, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var problems []error
	var all []candidate
	now := make(map[*tls.Certificate]bool)
	for _, source := range s.sources {
		if err := source.Refresh(ctx); err != nil {
			problems = append(problems, err)
		}
		for _, c := range source.Certificates() {
			all = append(all, candidate{c, source})
			now[c] = true
			if !s.taken[c] {
				taken = append(taken, Describe(c.Leaf, source))
			}
		}
	}
	s.taken = now
	// ECDSA comes before RSA, which costs a sign-in twice the time and is there for clients that know nothing else; apart
	// from that the order of the configuration holds.
	slices.SortStableFunc(all, func(a, b candidate) int { return rank(a.Certificate) - rank(b.Certificate) })
	s.choice.Store(&all)
	return taken, errors.Join(problems...)
}

func rank(c *tls.Certificate) int {
	if c.Leaf.PublicKeyAlgorithm == x509.RSA {
		return 1
	}
	return 0
}

// Certificates gives what the store shows, in the order of preference.
func (s *Store) Certificates() []Info {
	var all []Info
	for _, c := range *s.choice.Load() {
		all = append(all, Describe(c.Leaf, c.source))
	}
	return all
}

// GetCertificate chooses the certificate for a handshake; it serves as the field of that name in [tls.Config]. It takes
// the first one that has the name asked for and that the client can verify. A client that names no host, or one that no
// certificate has, gets one for the domain, and where there is none the first one that it can verify: devices are often
// told an address instead of a name, and do not look at the name in the certificate.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.challenge(hello); c != nil {
		return c, nil
	}
	certificates := *s.choice.Load()
	if len(certificates) == 0 {
		return nil, fmt.Errorf("there is no certificate yet from %s", s.sourceNames())
	}
	asked, domain, nameless := *hello, *hello, *hello
	asked.ServerName = strings.TrimSuffix(hello.ServerName, ".")
	domain.ServerName, nameless.ServerName = s.domain, ""
	for _, wish := range []*tls.ClientHelloInfo{&asked, &domain, &nameless} {
		if wish != &nameless && wish.ServerName == "" {
			continue
		}
		for _, c := range certificates {
			if wish.SupportsCertificate(c.Certificate) == nil {
				return c.Certificate, nil
			}
		}
	}
	return certificates[0].Certificate, nil // the handshake fails, and says why better than this package could
}

// challenge gives the certificate that an authority asks for, if that is who connects.
func (s *Store) challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	if !slices.Equal(hello.SupportedProtos, []string{ChallengeProtocol}) {
		return nil
	}
	for _, source := range s.sources {
		if challenger, ok := source.(Challenger); ok {
			if c := challenger.Challenge(hello); c != nil {
				return c
			}
		}
	}
	return nil
}

// ChallengeProtocol is the ALPN protocol of an authority that proves a name by a handshake (RFC 8737 section 6.2).
const ChallengeProtocol = "acme-tls/1"

func (s *Store) sourceNames() string {
	names := make([]string, len(s.sources))
	for i, source := range s.sources {
		names[i] = source.String()
	}
	return strings.Join(names, ", ")
}

// Watch calls [Store.Reload] at every tick until ctx ends. report hears of each reload that took something up or failed, but
// of the same failure once only, and of none that has passed by the next tick: a certificate and its key come one after the
// other, and between the two they do not match.
func (s *Store) Watch(ctx context.Context, ticks <-chan time.Time, report func(taken []Info, err error)) {
	told, before := "", ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		taken, err := s.Reload(ctx)
		text := ""
		if err != nil {
			text = err.Error()
		}
		lasting := text != "" && text == before
		if !lasting {
			err = nil
		}
		if len(taken) > 0 || lasting && text != told {
			report(taken, err)
		}
		if text == "" || lasting {
			told = text
		}
		before = text
	}
}
