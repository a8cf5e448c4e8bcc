package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"syscall"
	"time"

	"postern/internal/diagnosis"
)

// fault is a step that failed, with what mends it.
type fault struct{ seen, fix, command string }

func (s *sheet) failed(check string, f *fault) {
	s.add(check, Failed, f.fix, f.command, "%s", f.seen)
}

// dial connects to host:port, and tells a name that is not found from a port that is not reached.
func dial(ctx context.Context, address string) (net.Conn, *fault) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &fault{seen: err.Error(), fix: "correct endpoints of the provider"}
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		return nil, &fault{"the name " + host + " is not resolved: " + plainError(err),
			"check the spelling in endpoints, and DNS on this machine", "getent hosts " + host}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &fault{fmt.Sprintf("no connection to port %s of %s: %s", port, host, plainError(err)),
			"let this machine out to that port; firewalls often close 587 and 993", "nc -vz " + host + " " + port}
	}
	_ = conn.SetDeadline(time.Now().Add(stepTime))
	return conn, nil
}

// orWait gives what mends something, or that time does.
func orWait(fix string) string {
	if fix == "" {
		return "try again in some minutes"
	}
	return fix
}

// plainError says why a connection failed, without the addresses, which the line has already.
func plainError(err error) string {
	var (
		dns     *net.DNSError
		number  syscall.Errno
		network net.Error
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns) && dns.IsTimeout:
		return "the name server did not answer in time"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}

// tlsFault says what is wrong with a handshake.
func tlsFault(host string, err error) *fault {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	const inspected = "where a firewall opens TLS, take the gateway's connections out of it, or name its root in endpoints.ca_file"
	switch {
	case errors.As(err, &unknown):
		issuer := "somebody"
		if unknown.Cert != nil {
			issuer = unknown.Cert.Issuer.String()
		}
		return &fault{fmt.Sprintf("the certificate of %s is issued by %s, whom this machine does not trust", host, issuer), inspected,
			"openssl s_client -connect " + host + " -showcerts"}
	case errors.As(err, &name):
		return &fault{fmt.Sprintf("the certificate is not for %s: %s", host, name.Error()), "check the name in endpoints; " + inspected, ""}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &fault{"the certificate of " + host + " is out of its time: " + invalid.Error(), "check this machine's clock", "timedatectl status"}
	case strings.Contains(err.Error(), "protocol version"):
		d, _ := diagnosis.SMTP("421 4.7.66 TLS 1.0 and 1.1 are not supported", diagnosis.Subject{})
		return &fault{"TLS 1.2 is not to be had from " + host, d.Fix, ""}
	}
	return &fault{"TLS with " + host + " fails: " + plainError(err), inspected, ""}
}

// secured describes a verified connection.
func secured(state tls.ConnectionState) string {
	leaf := state.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate by %s until %s", tls.VersionName(state.Version), leaf.Issuer.CommonName,
		leaf.NotAfter.Local().Format(time.DateOnly))
}

// reachIMAP connects, secures the connection, and reads the greeting.
func reachIMAP(ctx context.Context, address string, config *tls.Config) (seen string, failed *fault) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	conn, failed := dial(ctx, address)
	if failed != nil {
		return "", failed
	}
	defer conn.Close()
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return "", tlsFault(config.ServerName, err)
	}
	greeting := make([]byte, 512)
	n, err := encrypted.Read(greeting)
	if err != nil || !strings.HasPrefix(string(greeting[:n]), "* OK") {
		return "", &fault{address + " takes TLS and does not greet as an IMAP server", "check endpoints.imap of the provider", ""}
	}
	return fmt.Sprintf("%s from %s; %s", address, conn.RemoteAddr(), secured(encrypted.ConnectionState())), nil
}

// maxDialogue bounds what a submission server may say before anybody signs in, in bytes.
const maxDialogue = 64 << 10

// boundedConn is a connection from which no more than some bytes are read.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("it says too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// reachSMTP connects, upgrades to TLS, and looks for the sign-in that Exchange offers.
func reachSMTP(ctx context.Context, address, domain string, config *tls.Config) (seen string, failed *fault) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	conn, failed := dial(ctx, address)
	if failed != nil {
		return "", failed
	}
	defer conn.Close()
	wrong := func(err error) *fault {
		var reply *textproto.Error
		if errors.As(err, &reply) {
			said := fmt.Sprintf("%d %s", reply.Code, strings.Join(strings.Fields(reply.Msg), " "))
			if d, known := diagnosis.SMTP(said, diagnosis.Subject{}); known {
				return &fault{said + ": " + d.Cause, orWait(d.Fix), d.Command}
			}
		}
		return &fault{address + " does not speak as a submission server: " + plainError(err), "check endpoints.smtp of the provider", ""}
	}
	client, err := smtp.NewClient(&boundedConn{conn, maxDialogue}, config.ServerName)
	if err != nil {
		return "", wrong(err)
	}
	if err := client.Hello(domain); err != nil {
		return "", wrong(err)
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		return "", &fault{address + " offers no STARTTLS", "a firewall or a virus scanner takes it out: take the gateway's connections out of SMTP inspection", ""}
	}
	if err := client.StartTLS(config); err != nil {
		return "", tlsFault(config.ServerName, err)
	}
	state, _ := client.TLSConnectionState()
	_, mechanisms := client.Extension("AUTH")
	if !strings.Contains(mechanisms, "XOAUTH2") {
		return "", &fault{fmt.Sprintf("%s offers no sign-in by XOAUTH2 (AUTH %s)", address, mechanisms),
			"check endpoints.smtp of the provider; smtp.office365.com:587 is the usual one", ""}
	}
	_, size := client.Extension("SIZE")
	_ = client.Quit()
	return fmt.Sprintf("%s from %s; %s; takes %s bytes", address, conn.RemoteAddr(), secured(state), size), nil
}
