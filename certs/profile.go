package certs

import (
	"crypto/tls"
	"crypto/x509"
)

// cipherSuites are for TLS 1.2: forward secret and authenticated, all of them (RFC 9325 section 4.2). Those of TLS 1.3
// are not configurable. Named here and not left to Go's defaults, so that neither GODEBUG nor a new Go changes them.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// legacyCipherSuites are for devices that stopped learning between 2002 and 2012: those of today first, then CBC with a
// forward secret key exchange, then RSA key exchange, 3DES at the very end. No RC4 and nothing without encryption.
var legacyCipherSuites = append(append([]uint16{}, cipherSuites...),
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA,
	tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
)

// sessions is how many sessions a client's cache keeps: one is in use for each server name, and a configuration serves
// one name.
const sessions = 4

// ServerTLS gives the profile for listeners: TLS 1.2 and 1.3, for what clients of the last ten years can do. The caller
// sets NextProtos where its protocol wants it.
//
// The key exchange is X25519 or P-256, and not the hybrid with ML-KEM that Go prefers: that costs a quarter of the
// processor time of a sign-in, and no mail client of today speaks it. What it guards against is a recording of the
// traffic that is opened by a quantum computer one day; app passwords do not live that long, and can be revoked.
//
// Session tickets are on, with keys that Go makes and changes each day.
func ServerTLS(getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		CipherSuites:     cipherSuites,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		GetCertificate:   getCertificate,
	}
}

// LegacyTLS gives the profile for listeners of old devices (threat model I-34): TLS 1.0 and all that came after it, with RSA
// key exchange and CBC where the device knows nothing better. It is all said here and nothing left to GODEBUG, whose
// switches for it end with Go 1.27.
//
// What is sent over such TLS can be opened by somebody who works at it, and RSA key exchange can be made to give away
// what its key can do. So give it certificates whose keys serve nothing else. Its session tickets have keys of their own,
// for it is a configuration of its own: do not make it by cloning another that has served.
func LegacyTLS(getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS10,
		CipherSuites:     legacyCipherSuites,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		GetCertificate:   getCertificate,
	}
}

// UpstreamTLS gives the profile for connections to a server upstream: TLS 1.2 and 1.3, the chain verified to one of
// roots (nil means the system's) and for serverName. Sessions are resumed between all connections that use this one
// configuration, which saves a quarter of the processor time of a sign-in; so make it once for each server and keep it.
//
// Exchange Online requires TLS 1.2 and offers nothing post-quantum; P-384 is for its government clouds.
func UpstreamTLS(serverName string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		CipherSuites:       cipherSuites,
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		ServerName:         serverName,
		RootCAs:            roots,
		ClientSessionCache: tls.NewLRUClientSessionCache(sessions),
	}
}
