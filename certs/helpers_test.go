package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority("Test CA")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// authorityAt is an authority whose clock stands still.
func authorityAt(t *testing.T, now time.Time) *Authority {
	t.Helper()
	a, err := newAuthority("Test CA", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// issueTo writes a new certificate for hosts over the files of pair.
func issueTo(t *testing.T, a *Authority, pair Pair, hosts ...string) tls.Certificate {
	t.Helper()
	certificate, certPEM, keyPEM, err := a.Issue(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair.Cert, certPEM)
	write(t, pair.Key, keyPEM)
	return certificate
}

// issueRSA writes a new RSA certificate for host over the files of pair.
func issueRSA(t *testing.T, a *Authority, pair Pair, host string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.leaf([]string{host}), a.root, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, pair.Key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// pairIn names the files of a pair in a folder.
func pairIn(folder, name string) Pair {
	return Pair{Cert: filepath.Join(folder, name+".pem"), Key: filepath.Join(folder, name+".key")}
}

// handshake connects a client to a server over loopback. It gives both ends' view of the connection.
func handshake(t *testing.T, server, client *tls.Config) (serverState, clientState tls.ConnectionState, err error) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan tls.ConnectionState, 1)
	go func() {
		defer close(accepted)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if conn.(*tls.Conn).Handshake() == nil {
			accepted <- conn.(*tls.Conn).ConnectionState()
			_, _ = conn.Write([]byte("hello"))
		}
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", listener.Addr().String(), client)
	if err == nil {
		clientState = conn.ConnectionState()
		// With TLS 1.3 the session's ticket comes after the handshake, ahead of the first bytes (RFC 8446 section 4.6.1);
		// a server's refusal too.
		_, err = io.ReadFull(conn, make([]byte, 5))
		conn.Close()
	}
	return <-accepted, clientState, err
}
