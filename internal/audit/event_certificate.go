package audit

import "time"

// Certificate describes a certificate, as each event about one has it.
type Certificate struct {
	Source  string    `json:"source"` // where it comes from, such as a file
	Names   []string  `json:"names"`
	Key     string    `json:"key"` // such as ECDSA P-256
	Issuer  string    `json:"issuer"`
	Expires time.Time `json:"expires"`
	SHA256  string    `json:"sha256"`
	Legacy  bool      `json:"legacy_tls,omitempty"` // for listeners with TLS below 1.2
}

// CertificateShown is a certificate that clients see from now on.
type CertificateShown struct{ Certificate }

// CertificateRefused is a new certificate that is no good, or that could not be had. What was shown before goes on.
type CertificateRefused struct {
	Reason string `json:"reason"` // in words, with the file
	Legacy bool   `json:"legacy_tls,omitempty"`
}

// CertificateExpiring is a certificate that ends soon, or has ended.
type CertificateExpiring struct {
	Certificate
	Days int `json:"days"` // it has 30, 7 or 1 at most; 0 where it has ended
}

// PrivateCACreated is a new root of the private CA. Certificates come from it from now on.
type PrivateCACreated struct {
	Issuer  string    `json:"issuer"`
	Expires time.Time `json:"expires"`
	SHA256  string    `json:"sha256"`
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
