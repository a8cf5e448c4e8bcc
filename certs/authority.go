package certs

import (
	"crypto"
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
	// authorityLife and leafLife are how long certificates of an authority last.
	authorityLife = 5 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// skew is how far certificates reach back, for clients whose clock is behind.
	skew = time.Hour
	// maxCommonName is the longest common name that X.520 allows (RFC 5280 appendix A, ub-common-name).
	maxCommonName = 64
)

// Authority is a certification authority in memory. What makes one that lasts is [PrivateCA]. It is safe for concurrent use.
type Authority struct {
	now  func() time.Time
	root *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority with a new key (ECDSA P-256), which is gone with the process; name is what people see as
// the issuer.
func NewAuthority(name string) (*Authority, error) { return newAuthority(name, time.Now) }

func newAuthority(name string, now func() time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	template := rootTemplate(pkix.Name{CommonName: name}, now(), authorityLife)
	a, err := selfSign(template, key, now)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	return a, nil
}

// rootTemplate is the template of a root certificate.
func rootTemplate(name pkix.Name, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               name,
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // RFC 5280 section 4.2.1.9: no CA below this one
	}
}

// selfSign makes an authority of a template and a key.
func selfSign(template *x509.Certificate, key crypto.Signer, now func() time.Time) (*Authority, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{now: now, root: root, key: key}, nil
}

// RootPEM gives the root certificate for clients that take a CA file.
func (a *Authority) RootPEM() []byte { return certificatePEM(a.root.Raw) }

// Root gives the root certificate.
func (a *Authority) Root() *x509.Certificate { return a.root }

// Info describes the root certificate.
func (a *Authority) Info() Info { return Describe(a.root, authoritySource{}) }

type authoritySource struct{}

func (authoritySource) String() string { return "private CA" }

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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		certPEM, keyPEM, err = a.sign(a.leaf(hosts), key)
	}
	if err == nil {
		certificate, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		return tls.Certificate{}, nil, nil, fmt.Errorf("issuing a certificate for %q: %w", hosts, err)
	}
	return certificate, certPEM, keyPEM, nil
}

// sign makes the certificate for a key.
func (a *Authority) sign(template *x509.Certificate, key crypto.Signer) (certPEM, keyPEM []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = privateKeyPEM(key)
	return certificatePEM(der), keyPEM, err
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func privateKeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// leaf is the template of a server certificate. It does not outlive its root.
func (a *Authority) leaf(hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		NotBefore:             a.now().Add(-skew),
		NotAfter:              a.now().Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.root.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	if len(hosts[0]) <= maxCommonName { // where old devices look for the name
		template.Subject.CommonName = hosts[0]
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
