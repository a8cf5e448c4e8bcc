// Package front is a client's connection as a listener hands it to a proxy: where it comes from, what protects it, and
// the way to protect it later by STARTTLS.
package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"postern/internal/relay"
)

const (
	// HandshakeTimeout bounds a TLS handshake (threat model I-28).
	HandshakeTimeout = 15 * time.Second
	// SignInTimeout is how long a client has from being accepted until it has sent its credentials (I-28).
	SignInTimeout = 60 * time.Second
	// MaxBadCommands is how many commands that make no sense a client may send before it signs in (I-28).
	MaxBadCommands = 10
)

// Conn is a client's connection. Its net.Conn is the outermost layer: the TLS connection once there is one.
type Conn struct {
	net.Conn
	// Session is the connection's id in the log and the audit.
	Session string
	// Remote is the client's address.
	Remote netip.AddrPort
	// StartTLS is the configuration for an upgrade; nil where none is offered: implicit TLS, or after the upgrade.
	StartTLS *tls.Config
	// ClearAllowed says that credentials may be sent without TLS: a listener with tls: optional or none.
	ClearAllowed bool
	// Accepted is when the connection was accepted.
	Accepted time.Time
	// OnSignIn is called when the client has signed in; nil is not. The limits on strangers end there.
	OnSignIn func()
}

// New makes a Conn of an accepted connection. For implicit TLS, call [Conn.Handshake] next.
func New(conn net.Conn, session string, accepted time.Time) *Conn {
	remote, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return &Conn{Conn: conn, Session: session, Accepted: accepted,
		Remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())}
}

// Handshake lays TLS over the connection. What a client sent before it must have been read and forgotten by the
// caller. After an error the connection can only be closed.
func (c *Conn) Handshake(ctx context.Context, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	encrypted := relay.Server(c.Conn, config)
	// HandshakeContext closes the connection when ctx ends.
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.Conn, c.StartTLS = encrypted, nil
	return nil
}

// TLSVersion gives the TLS version as in crypto/tls; 0 when the connection is in clear.
func (c *Conn) TLSVersion() uint16 {
	if encrypted, ok := c.Conn.(*tls.Conn); ok {
		return encrypted.ConnectionState().Version
	}
	return 0
}

// SignedIn is to be called once when the client has signed in.
func (c *Conn) SignedIn() {
	if c.OnSignIn != nil {
		c.OnSignIn()
	}
}

// MaySignIn reports whether credentials may be sent now.
func (c *Conn) MaySignIn() bool { return c.ClearAllowed || c.TLSVersion() != 0 }
