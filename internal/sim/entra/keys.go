package entra

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signingKey is a key that tokens are signed with, and its certificate.
type signingKey struct {
	id          string // kid, which in Entra is the certificate's x5t
	private     *rsa.PrivateKey
	certificate []byte // DER
}

// keyring holds the keys: the newest signs, all are published. It is safe for concurrent use.
type keyring struct {
	mu   sync.Mutex
	keys []*signingKey // the newest last
}

func newKeyring(now time.Time) (*keyring, error) {
	k := &keyring{}
	return k, k.rotate(now)
}

// rotate adds a key, which signs from now on.
func (k *keyring) rotate(now time.Time) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "accounts.accesscontrol.simulated"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return fmt.Errorf("making a signing key's certificate: %w", err)
	}
	thumbprint := sha1.Sum(certificate) // RFC 7517 section 4.8 asks for SHA-1
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append(k.keys, &signingKey{
		id: base64.RawURLEncoding.EncodeToString(thumbprint[:]), private: private, certificate: certificate,
	})
	return nil
}

// sign makes a token of claims.
func (k *keyring) sign(claims jwt.MapClaims) (string, error) {
	k.mu.Lock()
	key := k.keys[len(k.keys)-1]
	k.mu.Unlock()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"], token.Header["x5t"] = key.id, key.id
	return token.SignedString(key.private)
}

// public finds the key that a token names, for the parser of tokens.
func (k *keyring) public(token *jwt.Token) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if key.id == token.Header["kid"] {
			return &key.private.PublicKey, nil
		}
	}
	return nil, errors.New("no such signing key")
}

// webKey is a published key (RFC 7517 section 4).
type webKey struct {
	Type        string   `json:"kty"`
	Use         string   `json:"use"`
	ID          string   `json:"kid"`
	Thumbprint  string   `json:"x5t"`
	Modulus     string   `json:"n"`
	Exponent    string   `json:"e"`
	Certificate []string `json:"x5c"`
	Issuer      string   `json:"issuer"`
}

// published gives all keys in the form of a key set.
func (k *keyring) published(issuer string) []webKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make([]webKey, 0, len(k.keys))
	for _, key := range k.keys {
		exponent := big.NewInt(int64(key.private.E)).Bytes()
		keys = append(keys, webKey{
			Type: "RSA", Use: "sig", ID: key.id, Thumbprint: key.id,
			Modulus:     base64.RawURLEncoding.EncodeToString(key.private.N.Bytes()),
			Exponent:    base64.RawURLEncoding.EncodeToString(exponent),
			Certificate: []string{base64.StdEncoding.EncodeToString(key.certificate)},
			Issuer:      issuer,
		})
	}
	return keys
}
