package e2e

import (
	"testing"

	"postern/certs"
)

// authority makes a certificate authority of one test.
func authority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority("Postern test authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue writes a certificate for loopback, and its key, into a folder and gives their paths.
func issue(t *testing.T, a *certs.Authority, folder string) (cert, key string) {
	t.Helper()
	_, certPEM, keyPEM, err := a.Issue("localhost", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	return write(t, folder, "server.pem", string(certPEM)), write(t, folder, keyFile, string(keyPEM))
}
