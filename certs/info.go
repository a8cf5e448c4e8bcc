package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"
)

// Info describes a certificate to people.
type Info struct {
	Source    string   // where it comes from
	Names     []string // host names, then IP addresses
	Key       string   // such as ECDSA P-256
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	SHA256    string // of the whole certificate, in hex
	Renewed   bool   // the source renews it by itself
}

// Name gives the first of the names; empty where there is none.
func (i Info) Name() string {
	if len(i.Names) == 0 {
		return ""
	}
	return i.Names[0]
}

// Describe describes a certificate of a source.
func Describe(c *x509.Certificate, source fmt.Stringer) Info {
	sum := sha256.Sum256(c.Raw)
	_, inFiles := source.(*files)
	return Info{
		Source: source.String(), Names: names(c), Key: keyName(c), Issuer: c.Issuer.String(),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, SHA256: hex.EncodeToString(sum[:]), Renewed: !inFiles,
	}
}

// names gives what a certificate is for.
func names(c *x509.Certificate) []string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

func keyName(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
