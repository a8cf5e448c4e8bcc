package front

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	// proxyHeaderTimeout is how long a load balancer has for its header.
	proxyHeaderTimeout = 5 * time.Second
	// maxProxyLine is the longest header of version 1 with its end, in bytes, and maxProxyBlock the most that may follow the
	// fixed part of one of version 2: addresses and a few extensions.
	maxProxyLine  = 107
	maxProxyBlock = 1024
)

// errNoProxyHeader is a peer that has to say for whom it speaks, and does not.
var errNoProxyHeader = errors.New("no PROXY protocol header at the beginning")

// ReadProxyHeader reads the header of the PROXY protocol, version 1 or 2, that a load balancer puts before a client's
// bytes, and gives the client's address; the peer's own where the balancer speaks for itself, as health checks do. It
// takes nothing of what follows. After an error the connection can only be closed.
//
// The format is HAProxy's proxy-protocol.txt of 2020-03-05, sections 2.1 and 2.2. Whether a peer may be believed is the
// caller's to know (threat model I-36).
func ReadProxyHeader(conn net.Conn) (netip.AddrPort, error) {
	_ = conn.SetReadDeadline(time.Now().Add(proxyHeaderTimeout))
	client, err := readProxyHeader(conn)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("PROXY protocol: %w", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	if !client.IsValid() {
		client, err = netip.ParseAddrPort(conn.RemoteAddr().String())
	}
	return netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), err
}

// readProxyHeader gives the client's address; the zero one where the peer speaks for itself.
func readProxyHeader(from io.Reader) (netip.AddrPort, error) {
	text, err := proxyHeaderText(from)
	if err != nil {
		return netip.AddrPort{}, err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case header.Command.IsLocal(), header.TransportProtocol == proxyproto.UNSPEC:
		return netip.AddrPort{}, nil
	}
	source, _, ok := header.TCPAddrs()
	if !ok {
		return netip.AddrPort{}, errors.New("the client is not one of TCP")
	}
	client := source.AddrPort()
	if !client.Addr().IsValid() || client.Addr().IsUnspecified() {
		return netip.AddrPort{}, errors.New("the client has no address")
	}
	return client, nil
}

// proxyHeaderText takes a header, bounded, and not a byte more: what follows is TLS's, or the client's.
func proxyHeaderText(from io.Reader) ([]byte, error) {
	text := make([]byte, len(proxyproto.SIGV2), maxProxyLine)
	if _, err := io.ReadFull(from, text); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoProxyHeader, err)
	}
	switch {
	case bytes.Equal(text, proxyproto.SIGV2):
		fixed := make([]byte, 4) // version and command, family, length
		if _, err := io.ReadFull(from, fixed); err != nil {
			return nil, err
		}
		length := binary.BigEndian.Uint16(fixed[2:])
		if length > maxProxyBlock {
			return nil, fmt.Errorf("a header of %d bytes", length)
		}
		block := make([]byte, length)
		_, err := io.ReadFull(from, block)
		return bytes.Join([][]byte{text, fixed, block}, nil), err
	case !bytes.HasPrefix(text, proxyproto.SIGV1):
		return nil, errNoProxyHeader
	}
	for !bytes.HasSuffix(text, []byte("\r\n")) {
		if len(text) == maxProxyLine {
			return nil, errors.New("a line that is too long")
		}
		var next [1]byte
		if _, err := io.ReadFull(from, next[:]); err != nil {
			return nil, err
		}
		text = append(text, next[0])
	}
	return text, nil
}
