package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"
)

// TestI34KeyOfItsOwn: a certificate for old devices is made once, with an RSA key that only the owner can read, and kept.
func TestI34KeyOfItsOwn(t *testing.T) {
	pair := pairIn(t.TempDir(), "legacy")
	for range 2 {
		if err := EnsureSelfSigned(pair, "mail.example"); err != nil {
			t.Fatal(err)
		}
	}
	store, err := loadAt(time.Now, pair)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(pair.Key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
	_, state, err := handshake(t, LegacyTLS(store.GetCertificate), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
	if err != nil {
		t.Fatal(err)
	}
	if c := state.PeerCertificates[0]; c.PublicKeyAlgorithm != x509.RSA || c.VerifyHostname("mail.example") != nil {
		t.Errorf("got a certificate of %v for %v", c.PublicKeyAlgorithm, c.DNSNames)
	}
	before, _ := os.ReadFile(pair.Cert)
	if err := EnsureSelfSigned(pair, "other.example"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(pair.Cert); !bytes.Equal(before, after) {
		t.Error("a certificate that devices may know was made anew")
	}
	if err := EnsureSelfSigned(pairIn(t.TempDir()+"/nowhere", "x"), "mail.example"); err == nil {
		t.Error("no error where it cannot be written")
	}
}
