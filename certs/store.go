// Package certs is about the certificates and the TLS of the gateway's connections, towards clients and upstream.
//
// A [Store] holds the certificates that listeners show: it reads them from files, chooses one for each handshake, and
// takes up changed files without a restart. [ServerTLS], [LegacyTLS] and [UpstreamTLS] are the TLS profiles. An [Authority] is a
// small private CA for the demo and for tests.
//
// The package accepts and dials no connections and does not know who connects.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pair is a certificate with its private key, as two files in PEM.
type Pair struct {
	// Cert is the path of the chain: the server's own certificate first, then the intermediates.
	Cert string
	// Key is the path of the private key, not encrypted.
	Key string
}

// Store is a set of certificates for listeners. It is safe for concurrent use.
type Store struct {
	now   func() time.Time
	pairs []Pair

	reloading sync.Mutex
	loaded    []loaded // one for each of pairs; guarded by reloading

	choice atomic.Pointer[[]*tls.Certificate] // in the order of preference; never empty
}

// loaded is a pair as its files were when it was taken up.
type loaded struct {
	certPEM, keyPEM []byte
	certificate     *tls.Certificate
}

// LoadFiles reads every pair. It fails when any of them cannot be used now, with an error that names the file, and when
// there is none.
func LoadFiles(pairs []Pair) (*Store, error) { return loadFiles(pairs, time.Now) }

func loadFiles(pairs []Pair, now func() time.Time) (*Store, error) {
	if len(pairs) == 0 {
		return nil, errors.New("no certificate is configured: a listener with TLS needs one")
	}
	s := &Store{now: now, pairs: slices.Clone(pairs), loaded: make([]loaded, len(pairs))}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again and takes up the pairs that changed; changed reports whether there were any. A pair that
// cannot be used keeps what it had, and the error says why; it does not keep the other pairs from being taken up.
//
// It is the content that is compared and not the time of change: certificates come by rename, by symbolic link and by
// clocks that are wrong.
func (s *Store) Reload() (changed bool, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var problems []error
	for i, pair := range s.pairs {
		fresh, err := pair.read()
		if err == nil && s.loaded[i].same(fresh) {
			continue
		}
		if err == nil {
			err = fresh.use(pair, s.now())
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.loaded[i], changed = fresh, true
	}
	if changed {
		s.choose()
	}
	return changed, errors.Join(problems...)
}

// choose makes the list that handshakes choose from. ECDSA comes before RSA, which costs a sign-in twice the time and is
// there for clients that know nothing else; apart from that the order of the configuration holds.
func (s *Store) choose() {
	var certificates []*tls.Certificate
	for _, l := range s.loaded {
		if l.certificate != nil {
			certificates = append(certificates, l.certificate)
		}
	}
	slices.SortStableFunc(certificates, func(a, b *tls.Certificate) int { return rank(a) - rank(b) })
	s.choice.Store(&certificates)
}

func rank(c *tls.Certificate) int {
	if c.Leaf.PublicKeyAlgorithm == x509.RSA {
		return 1
	}
	return 0
}

// GetCertificate chooses the certificate for a handshake; it serves as the field of that name in [tls.Config]. It takes
// the first one that has the name asked for and that the client can verify. A client that names no host, or one that no
// certificate has, gets the first one that it can verify: devices are often told an address instead of a name, and do
// not look at the name in the certificate.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificates := *s.choice.Load()
	if len(certificates) == 1 {
		return certificates[0], nil
	}
	nameless := *hello
	nameless.ServerName = ""
	for _, asked := range []*tls.ClientHelloInfo{hello, &nameless} {
		for _, c := range certificates {
			if asked.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return certificates[0], nil // the handshake fails, and says why better than this package could
}

// Watch calls [Store.Reload] at every tick until ctx ends. report hears of each reload that changed something or failed,
// but of the same failure once only.
func (s *Store) Watch(ctx context.Context, ticks <-chan time.Time, report func(changed bool, err error)) {
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		changed, err := s.Reload()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if changed || text != "" && text != told {
			report(changed, err)
		}
		told = text
	}
}

// read reads the files of a pair.
func (p Pair) read() (loaded, error) {
	certPEM, err := os.ReadFile(p.Cert)
	if err != nil {
		return loaded{}, fmt.Errorf("reading a certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(p.Key)
	if err != nil {
		return loaded{}, fmt.Errorf("reading the key of a certificate: %w", err)
	}
	return loaded{certPEM: certPEM, keyPEM: keyPEM}, nil
}

// same reports whether two readings brought the same content.
func (l loaded) same(m loaded) bool {
	return l.certificate != nil && bytes.Equal(l.certPEM, m.certPEM) && bytes.Equal(l.keyPEM, m.keyPEM)
}

// use makes the certificate of what was read, if it can be shown to clients now.
func (l *loaded) use(p Pair, now time.Time) error {
	if block, _ := pem.Decode(l.keyPEM); block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return fmt.Errorf("key %q: it is encrypted with a passphrase: decrypt it, for example with openssl pkey", p.Key)
	}
	c, err := tls.X509KeyPair(l.certPEM, l.keyPEM)
	if err != nil {
		return fmt.Errorf("certificate %q with key %q: %w", p.Cert, p.Key, err)
	}
	const day = "2006-01-02 15:04 MST"
	switch leaf := c.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("certificate %q: it is not valid before %s: check the clock of this machine", p.Cert, leaf.NotBefore.Format(day))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("certificate %q: it expired on %s: renew it", p.Cert, leaf.NotAfter.Format(day))
	}
	l.certificate = &c
	return nil
}
