package exchange

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"postern/internal/sasl"
	"postern/internal/sim/tenant"
	"postern/internal/wire"
)

const (
	// maxMessage is the SIZE that Exchange announces.
	maxMessage = 157286400
	// smtpIdle is when a silent client is let go.
	smtpIdle = 5 * time.Minute
	// maxLogonFailures is how many refused AUTHs a connection may have (reference C).
	maxLogonFailures = 3
	// maxRecipients is how many recipients a message may have.
	maxRecipients = 500
)

// smtpSession is one submission connection.
type smtpSession struct {
	server *Server
	conn   net.Conn
	in     *wire.Reader
	out    *bufio.Writer
	id     string

	hello    string
	secured  bool
	failures int
	mailbox  string // the address that may send; empty before AUTH

	sender     string
	inMail     bool
	recipients []string
}

// serveSMTP serves one connection.
func (s *Server) serveSMTP(conn net.Conn) {
	m := &smtpSession{server: s, id: newID(8)}
	m.layer(conn)
	defer func() { _ = m.conn.Close() }()
	reply, drop := s.strike(tenant.SMTPConnect)
	switch {
	case drop:
		return
	case reply != "":
		_ = m.say("%s", reply)
		_ = m.out.Flush()
		return
	}
	err := m.say("220 %s Microsoft ESMTP MAIL Service ready at %s [%s]", host, time.Now().UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"), m.id)
	for err == nil {
		err = m.next()
	}
	_ = m.out.Flush()
}

func (m *smtpSession) layer(conn net.Conn) {
	m.conn = conn
	m.in = wire.NewReader(conn, 12288)
	m.out = bufio.NewWriter(conn)
}

// say puts a reply into the buffer.
func (m *smtpSession) say(format string, arguments ...any) error {
	_, err := fmt.Fprintf(m.out, format+"\r\n", arguments...)
	return err
}

// trailer is what Exchange ends its refusals with.
func (m *smtpSession) trailer() string {
	return fmt.Sprintf("[%s %s %s]", host, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), m.id)
}

// next reads and answers one command.
func (m *smtpSession) next() error {
	if !m.in.HasLine() {
		if err := m.out.Flush(); err != nil {
			return err
		}
	}
	_ = m.conn.SetDeadline(time.Now().Add(smtpIdle))
	line, err := m.in.ReadLine()
	if errors.Is(err, wire.ErrLineTooLong) || errors.Is(err, wire.ErrBareLineEnd) {
		return m.say("500 5.3.3 Unrecognized command")
	}
	if err != nil {
		return err
	}
	verb, rest, _ := strings.Cut(string(line), " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		return m.ehlo(strings.ToUpper(verb), rest)
	case "STARTTLS":
		return m.startTLS()
	case "AUTH":
		return m.auth(rest)
	case "MAIL":
		return m.mail(rest)
	case "RCPT":
		return m.rcpt(rest)
	case "DATA":
		return m.data()
	case "BDAT":
		return m.bdat(rest)
	case "RSET":
		m.reset()
		return m.say("250 2.0.0 Resetting")
	case "NOOP":
		return m.say("250 2.0.0 OK")
	case "VRFY":
		return m.say("252 2.1.5 Cannot VRFY user")
	case "QUIT":
		_ = m.say("221 2.0.0 Service closing transmission channel")
		return errBye
	}
	return m.say("500 5.3.3 Unrecognized command '%s'", "unknown")
}

func (m *smtpSession) reset() {
	m.sender, m.inMail, m.recipients = "", false, nil
}

func (m *smtpSession) ehlo(verb, name string) error {
	if name == "" {
		return m.say("501 5.5.4 Invalid domain name")
	}
	m.reset()
	m.hello = name
	address, _, _ := net.SplitHostPort(m.conn.RemoteAddr().String())
	if verb == "HELO" {
		return m.say("250 %s Hello [%s]", host, address)
	}
	security := "STARTTLS"
	if m.secured {
		security = "AUTH LOGIN XOAUTH2"
	}
	return m.say("250-%s Hello [%s]\r\n250-SIZE %d\r\n250-PIPELINING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-%s\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8",
		host, address, maxMessage, security)
}

func (m *smtpSession) startTLS() error {
	if m.secured {
		return m.say("503 5.5.2 Only one STARTTLS command can be issued per session")
	}
	_ = m.say("220 2.0.0 SMTP server ready")
	if err := m.out.Flush(); err != nil {
		return err
	}
	encrypted := tls.Server(m.conn, m.server.config.TLS)
	if err := encrypted.Handshake(); err != nil {
		return err
	}
	m.reset()
	m.layer(encrypted)
	m.secured, m.hello = true, ""
	return nil
}

// auth answers AUTH XOAUTH2, on one line and on two; LOGIN is taken and refused.
func (m *smtpSession) auth(rest string) error {
	mechanism, encoded, _ := strings.Cut(rest, " ")
	switch {
	case !m.secured:
		return m.say("530 5.7.0 Must issue a STARTTLS command first")
	case m.hello == "":
		return m.say("503 5.5.2 Send hello first")
	case m.mailbox != "":
		return m.say("503 5.5.2 Already authenticated")
	}
	switch strings.ToUpper(mechanism) {
	case "LOGIN":
		return m.basic(encoded)
	case sasl.MechXOAUTH2:
	default:
		return m.say("504 5.7.4 Unrecognized authentication type %s", m.trailer())
	}
	if encoded == "" {
		var err error
		if encoded, err = m.ask("334 "); err != nil {
			return err
		}
	}
	if encoded == "*" {
		return m.say("501 5.7.0 Authentication aborted")
	}
	return m.xoauth2(encoded)
}

func (m *smtpSession) ask(challenge string) (string, error) {
	_ = m.say("%s", challenge)
	if err := m.out.Flush(); err != nil {
		return "", err
	}
	line, err := m.in.ReadLine()
	return string(line), err
}

// basic plays AUTH LOGIN to its end, to refuse it.
func (m *smtpSession) basic(encoded string) error {
	if encoded == "" {
		if _, err := m.ask("334 VXNlcm5hbWU6"); err != nil {
			return err
		}
	}
	if _, err := m.ask("334 UGFzc3dvcmQ6"); err != nil {
		return err
	}
	return m.denied("5.7.139 Authentication unsuccessful, basic authentication is disabled.")
}

// denied refuses a sign-in; after a few of them the connection is closed.
func (m *smtpSession) denied(words string) error {
	if err := m.say("535 %s %s", words, m.trailer()); err != nil {
		return err
	}
	if m.failures++; m.failures >= maxLogonFailures {
		return errors.Join(m.out.Flush(), errBye)
	}
	return nil
}

// xoauth2 takes a token.
func (m *smtpSession) xoauth2(encoded string) error {
	const unsuccessful = "5.7.3 Authentication unsuccessful"
	message, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return m.denied(unsuccessful)
	}
	user, token, err := sasl.ParseXOAUTH2(message)
	if err != nil {
		return m.denied(unsuccessful)
	}
	reply, drop := m.server.strike(tenant.SMTPAuth, user)
	switch {
	case drop:
		return errBye
	case reply != "":
		return m.say("%s", reply)
	}
	claims, err := m.server.config.Tokens.Verify(token)
	if err != nil || claims.TenantID != m.server.config.Tenant.ID {
		if m.server.config.GoogleChallenge {
			if _, err := m.ask("334 " + googleChallenge); err != nil {
				return err
			}
		}
		return m.denied(unsuccessful)
	}
	mailbox, err := m.server.config.Tenant.OpenSMTP(claims, user)
	switch {
	case errors.Is(err, tenant.ErrSMTPDisabledForTenant), errors.Is(err, tenant.ErrSMTPDisabledForMailbox):
		return m.denied("5.7.139 Authentication unsuccessful, " + err.Error() + ". Visit https://aka.ms/smtp_auth_disabled for more information.")
	case err != nil:
		return m.denied(unsuccessful)
	}
	m.mailbox = mailbox
	return m.say("235 2.7.0 Authentication successful")
}
