package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// selfSignedLife is how long a self-signed certificate is valid: devices that verify it have it installed by hand, and
// nobody walks to them twice. It ends before 2038, which some of them do not know.
const selfSignedLife = 10 * 365 * 24 * time.Hour

// EnsureSelfSigned makes a self-signed certificate with an RSA key for a host, in the files of a pair, unless they are
// there: to begin with, until a real one takes its place, and where only the key matters.
//
// The key is written first and synced, both with mode 0600, so that a crash leaves no certificate without its key.
func EnsureSelfSigned(pair Pair, host string) error {
	_, err := os.Stat(pair.Cert)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for a certificate: %w", err)
	}
	certPEM, keyPEM, err := selfSigned(host, time.Now())
	if err != nil {
		return fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	for _, file := range []struct {
		path    string
		content []byte
	}{{pair.Key, keyPEM}, {pair.Cert, certPEM}} {
		if err := writeFile(file.path, file.content); err != nil {
			return fmt.Errorf("writing a certificate: %w", err)
		}
	}
	return nil
}

func selfSigned(host string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(selfSignedLife),
		// With RSA key exchange the key decrypts.
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return certPEM, keyPEM, nil
}

// writeFile puts a file in its place whole or not at all.
func writeFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
