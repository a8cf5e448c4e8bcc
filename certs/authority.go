package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// rootLife and leafLife are how long certificates of an authority last.
	rootLife = 5 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// skew is how far certificates reach back, for clients whose clock is behind.
	skew = time.Hour
)

// Authority is a private CA that lives in memory: its key is gone with the process. It is safe for concurrent use.
type Authority struct {
	now  func() time.Time
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a new key (ECDSA P-256); name is what people see as the issuer.
func NewAuthority(name string) (*Authority, error) { return newAuthority(name, time.Now) }

func newAuthority(name string, now func() time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now().Add(-skew),
		NotAfter:              now().Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // RFC 5280 section 4.2.1.9: no CA below this one
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	return &Authority{now: now, root: root, key: key}, nil
}

// RootPEM gives the root certificate for clients that take a CA file.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Roots gives a pool that holds the root certificate alone.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// Issue makes a server certificate with a new key (ECDSA P-256) for hosts: names or IP addresses. It is given ready for
// use, and as PEM for files.
func (a *Authority) Issue(hosts ...string) (certificate tls.Certificate, certPEM, keyPEM []byte, err error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, nil, nil, errors.New("issuing a certificate: no host is named")
	}
	certPEM, keyPEM, err = a.sign(a.leaf(hosts))
	if err == nil {
		certificate, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		return tls.Certificate{}, nil, nil, fmt.Errorf("issuing a certificate for %q: %w", hosts, err)
	}
	return certificate, certPEM, keyPEM, nil
}

// sign makes a key and the certificate for it.
func (a *Authority) sign(template *x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}

// leaf is the template of a server certificate.
func (a *Authority) leaf(hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: hosts[0]},
		NotBefore:             a.now().Add(-skew),
		NotAfter:              a.now().Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}
