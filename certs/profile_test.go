package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

func serverFor(t *testing.T, a *Authority, hosts ...string) *tls.Config {
	t.Helper()
	certificate, _, _, err := a.Issue(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil })
}

func TestUpstreamVerifiesTheServer(t *testing.T) {
	a := authority(t)
	server := serverFor(t, a, "outlook.example", "127.0.0.1", "::1")
	for _, host := range []string{"outlook.example", "127.0.0.1", "::1"} {
		if _, _, err := handshake(t, server, UpstreamTLS(host, a.Roots())); err != nil {
			t.Errorf("server name %s: %v", host, err)
		}
	}

	_, _, err := handshake(t, server, UpstreamTLS("other.example", a.Roots()))
	if !errors.As(err, new(x509.HostnameError)) {
		t.Errorf("a certificate without the server's name: got %v, want a hostname error", err)
	}
	_, _, err = handshake(t, server, UpstreamTLS("outlook.example", authority(t).Roots()))
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("a certificate of another authority: got %v, want an unknown authority error", err)
	}
	_, _, err = handshake(t, server, UpstreamTLS("outlook.example", nil))
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("a certificate that the system does not know: got %v, want an unknown authority error", err)
	}
}

func TestProfilesMeet(t *testing.T) {
	a := authority(t)
	server := serverFor(t, a, "outlook.example")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := UpstreamTLS("outlook.example", a.Roots())
		client.MaxVersion = version
		state, _, err := handshake(t, server, client)
		if err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
			continue
		}
		if state.Version != version || state.CurveID != tls.X25519 {
			t.Errorf("got %s with %v, want %s with X25519", tls.VersionName(state.Version), state.CurveID, tls.VersionName(version))
		}
	}
}

func TestServerRefusesOldTLS(t *testing.T) {
	a := authority(t)
	client := UpstreamTLS("outlook.example", a.Roots())
	client.MinVersion, client.MaxVersion, client.CipherSuites = tls.VersionTLS10, tls.VersionTLS11, nil
	if _, _, err := handshake(t, serverFor(t, a, "outlook.example"), client); err == nil {
		t.Error("a client with TLS 1.1 was let in")
	}
}

func TestUpstreamRefusesOldTLS(t *testing.T) {
	a := authority(t)
	server := serverFor(t, a, "outlook.example")
	server.MinVersion, server.MaxVersion, server.CipherSuites = tls.VersionTLS10, tls.VersionTLS11, nil
	if _, _, err := handshake(t, server, UpstreamTLS("outlook.example", a.Roots())); err == nil {
		t.Error("a server with TLS 1.1 was accepted")
	}
}

// Go's default is the same today, and is GODEBUG's to change.
func TestProfilesNameTheirLowestVersion(t *testing.T) {
	for name, config := range map[string]*tls.Config{"server": ServerTLS(nil), "upstream": UpstreamTLS("outlook.example", nil)} {
		if config.MinVersion != tls.VersionTLS12 {
			t.Errorf("%s: got MinVersion %#x, want TLS 1.2", name, config.MinVersion)
		}
	}
}

func TestServerRefusesWeakCipherSuites(t *testing.T) {
	a := authority(t)
	client := UpstreamTLS("outlook.example", a.Roots())
	client.MaxVersion = tls.VersionTLS12
	client.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	if _, _, err := handshake(t, serverFor(t, a, "outlook.example"), client); err == nil {
		t.Error("a client without forward secrecy or authenticated encryption was let in")
	}
}

func TestServerDoesNotPayForPostQuantumKeys(t *testing.T) {
	a := authority(t)
	client := UpstreamTLS("outlook.example", a.Roots())
	client.CurvePreferences = nil // Go's own, which begin with X25519MLKEM768
	state, _, err := handshake(t, serverFor(t, a, "outlook.example"), client)
	if err != nil {
		t.Fatal(err)
	}
	if state.CurveID != tls.X25519 {
		t.Errorf("got %v, want X25519", state.CurveID)
	}
}

func TestUpstreamResumesSessions(t *testing.T) {
	a := authority(t)
	server := serverFor(t, a, "outlook.example")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := UpstreamTLS("outlook.example", a.Roots())
		client.MaxVersion = version
		for i, want := range []bool{false, true, true} {
			_, state, err := handshake(t, server, client)
			if err != nil {
				t.Fatal(err)
			}
			if state.DidResume != want {
				t.Errorf("%s, connection %d: resumed %v, want %v", tls.VersionName(version), i+1, state.DidResume, want)
			}
		}
	}
}

func TestAuthorityRefusesToIssueForNobody(t *testing.T) {
	if _, _, _, err := authority(t).Issue(); err == nil {
		t.Error("got a certificate without hosts")
	}
	if _, _, _, err := authority(t).Issue("münchen.example"); err == nil {
		t.Error("got a certificate for a name that is not ASCII")
	}
}

// TestI34LegacyTLSMeetsOldDevices: TLS 1.0 and 1.1 with RSA key exchange and CBC, as a device of 2005 has them, and the
// newest for whoever can do it (threat model I-34).
func TestI34LegacyTLSMeetsOldDevices(t *testing.T) {
	a := authority(t)
	ecdsa, rsa := pairIn(t.TempDir(), "ecdsa"), pairIn(t.TempDir(), "rsa")
	issueTo(t, a, ecdsa, "mail.example")
	issueRSA(t, a, rsa, "mail.example")
	store, err := loadAt(time.Now, ecdsa, rsa)
	if err != nil {
		t.Fatal(err)
	}
	server := LegacyTLS(store.GetCertificate)
	for _, test := range []struct {
		version uint16
		suite   uint16
		key     x509.PublicKeyAlgorithm
	}{
		{tls.VersionTLS10, tls.TLS_RSA_WITH_AES_128_CBC_SHA, x509.RSA},
		{tls.VersionTLS10, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, x509.RSA},
		{tls.VersionTLS11, tls.TLS_RSA_WITH_AES_256_CBC_SHA, x509.RSA},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, x509.RSA},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, x509.ECDSA},
		{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, x509.ECDSA},
	} {
		client := &tls.Config{ServerName: "mail.example", RootCAs: a.Roots(), MinVersion: test.version, MaxVersion: test.version, CipherSuites: []uint16{test.suite}}
		state, seen, err := handshake(t, server, client)
		if err != nil {
			t.Errorf("%s, %s: %v", tls.VersionName(test.version), tls.CipherSuiteName(test.suite), err)
			continue
		}
		if state.Version != test.version || seen.PeerCertificates[0].PublicKeyAlgorithm != test.key {
			t.Errorf("%s, %s: got %s and a %v key, want a %v key", tls.VersionName(test.version), tls.CipherSuiteName(test.suite),
				tls.VersionName(state.Version), seen.PeerCertificates[0].PublicKeyAlgorithm, test.key)
		}
	}
}

// TestI34TicketsOfOldTLSOpenNothingElse: a session of the legacy listener is not resumed on another, nor the other way.
func TestI34TicketsOfOldTLSOpenNothingElse(t *testing.T) {
	a := authority(t)
	modern := serverFor(t, a, "mail.example")
	legacy := LegacyTLS(modern.GetCertificate)
	for _, first := range []*tls.Config{modern, legacy} {
		second := legacy
		if first == legacy {
			second = modern
		}
		client := UpstreamTLS("mail.example", a.Roots())
		client.MaxVersion = tls.VersionTLS12
		for i, server := range []*tls.Config{first, first, second} {
			_, state, err := handshake(t, server, client)
			if want := i == 1; err != nil || state.DidResume != want {
				t.Errorf("connection %d: %v, resumed %v, want %v", i+1, err, state.DidResume, want)
			}
		}
	}
}
