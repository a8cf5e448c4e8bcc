package audit

import "time"

// Certificate describes a certificate, as each event about one has it.
type Certificate struct {
	Source  string    `json:"source"`               // where it comes from, such as a file
	Names   []string  `json:"names"`                // that it is for
	Key     string    `json:"key"`                  // such as ECDSA P-256
	Issuer  string    `json:"issuer"`               // who signed it
	Expires time.Time `json:"expires"`              // when it ends
	SHA256  string    `json:"sha256"`               // its fingerprint, in hex
	Legacy  bool      `json:"legacy_tls,omitempty"` // for listeners with TLS below 1.2
}

// CertificateShown is a certificate that clients see from now on: at the start, and when there is a new one.
type CertificateShown struct{ Certificate }

// CertificateRefused is a new certificate that is no good, or that could not be had. What was shown before goes on.
type CertificateRefused struct {
	Reason string `json:"reason"`               // in words, with the file
	Legacy bool   `json:"legacy_tls,omitempty"` // for listeners with TLS below 1.2
}

// CertificateExpiring is a certificate that ends soon, or has ended: once each when 30, 7 and 1 days are left, or none.
type CertificateExpiring struct {
	Certificate
	Days int `json:"days"` // it has 30, 7 or 1 at most; 0 where it has ended
}

// PrivateCACreated is a new root of the private CA: the first, or another one. Certificates come from it from now on.
type PrivateCACreated struct {
	Issuer  string    `json:"issuer"`  // the name of the root
	Expires time.Time `json:"expires"` // when it ends
	SHA256  string    `json:"sha256"`  // its fingerprint, in hex
	By      string    `json:"by"`
}

func (CertificateShown) Kind() string    { return "certificate-shown" }
func (CertificateRefused) Kind() string  { return "certificate-refused" }
func (CertificateExpiring) Kind() string { return "certificate-expiring" }
func (PrivateCACreated) Kind() string    { return "private-ca-created" }

func (CertificateShown) Privileged() bool    { return true }
func (CertificateRefused) Privileged() bool  { return false }
func (CertificateExpiring) Privileged() bool { return false }
func (PrivateCACreated) Privileged() bool    { return true }
