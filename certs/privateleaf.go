package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Use says what a certificate of a [PrivateCA] is for.
type Use string

const (
	// Modern is a certificate with an ECDSA key.
	Modern Use = "ecdsa"
	// Compatible is one with an RSA key, for clients that know nothing else.
	Compatible Use = "rsa"
	// Legacy is one with an RSA key that also decrypts, for listeners with TLS below 1.2 and for nothing else.
	Legacy Use = "legacy"
)

// privateLeaves is the source of a private CA's certificates.
type privateLeaves struct {
	ca      *PrivateCA
	names   []string
	uses    []Use
	content map[Use][]byte
	current map[Use]*tls.Certificate
}

// Certificates makes a source of certificates of the CA, one for each use, for names: host names, wildcards and addresses, the
// most important one first. They are renewed after two thirds of their life, and when the root was replaced.
func (p *PrivateCA) Certificates(names []string, uses ...Use) Source {
	return &privateLeaves{ca: p, names: slices.Clone(names), uses: slices.Clone(uses), content: make(map[Use][]byte), current: make(map[Use]*tls.Certificate)}
}

// String is of [Source].
func (l *privateLeaves) String() string { return l.ca.String() }

// Certificates is of [Source].
func (l *privateLeaves) Certificates() []*tls.Certificate {
	var all []*tls.Certificate
	for _, use := range l.uses {
		if c := l.current[use]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Refresh is of [Source].
func (l *privateLeaves) Refresh(ctx context.Context) error {
	root, err := l.ca.Root(ctx)
	if err != nil {
		return err
	}
	for _, use := range l.uses {
		content, certificate, err := l.leaf(ctx, root, use)
		if err != nil {
			return fmt.Errorf("certificate of the private CA: %w", err)
		}
		if !bytes.Equal(content, l.content[use]) {
			l.content[use], l.current[use] = content, certificate
		}
	}
	return nil
}

// Look is of [Source].
func (l *privateLeaves) Look(ctx context.Context) ([]Info, error) {
	var all []Info
	for _, use := range l.uses {
		_, c, err := l.load(ctx, use)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Describe(c.Leaf, l))
	}
	return all, nil
}

// leaf gives the certificate for a use, and makes or renews it where that is due.
func (l *privateLeaves) leaf(ctx context.Context, root *Authority, use Use) ([]byte, *tls.Certificate, error) {
	content, certificate, err := l.load(ctx, use)
	if err == nil && !l.due(root, certificate.Leaf) {
		return content, certificate, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	unlock, err := l.ca.vault.Lock(ctx, l.name(use))
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if content, certificate, err := l.load(ctx, use); err == nil && !l.due(root, certificate.Leaf) {
		return content, certificate, nil // another gateway was quicker
	}
	return l.issue(ctx, root, use)
}

func (l *privateLeaves) load(ctx context.Context, use Use) ([]byte, *tls.Certificate, error) {
	item, err := l.ca.vault.Load(ctx, l.name(use))
	if err != nil {
		return nil, nil, err
	}
	certificate, err := tls.X509KeyPair(item.Content, item.Content)
	if err != nil {
		return nil, nil, err
	}
	return item.Content, &certificate, nil
}

// name is where a vault keeps the certificate for a use. The names are part of it: gateways that share a vault may have
// different ones.
func (l *privateLeaves) name(use Use) string {
	sum := sha256.Sum256([]byte(strings.Join(l.names, "\n")))
	return fmt.Sprintf("%s/%s/%s", leafFolder, hex.EncodeToString(sum[:8]), use)
}

// due reports whether a certificate is to be renewed.
func (l *privateLeaves) due(root *Authority, leaf *x509.Certificate) bool {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return leaf.CheckSignatureFrom(root.root) != nil || l.ca.now().After(leaf.NotBefore.Add(life*2/3)) && leaf.NotAfter.Before(root.root.NotAfter)
}

// issue makes a certificate for a use and keeps it.
func (l *privateLeaves) issue(ctx context.Context, root *Authority, use Use) ([]byte, *tls.Certificate, error) {
	template := root.leaf(l.names)
	if use == Legacy {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // with RSA key exchange the key decrypts
	}
	key, err := use.newKey()
	if err != nil {
		return nil, nil, err
	}
	certPEM, keyPEM, err := root.sign(template, key)
	if err != nil {
		return nil, nil, err
	}
	content := append(certPEM, keyPEM...)
	certificate, err := tls.X509KeyPair(content, content)
	if err == nil {
		err = vouches(root, certificate.Leaf)
	}
	if err == nil {
		err = l.ca.vault.Store(ctx, l.name(use), content)
	}
	if err != nil {
		return nil, nil, err
	}
	return content, &certificate, nil
}

func (u Use) newKey() (crypto.Signer, error) {
	if u == Modern {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}
