package imapproxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/wire"
)

// credentials are what a client signs in with.
type credentials struct {
	mechanism string
	identity  string // who the client wants to act as; empty for itself
	username  string
	password  secret.Text
}

// login answers LOGIN (RFC 9051 section 6.2.3).
func (d *dialogue) login(ctx context.Context, tag string, p *parser) error {
	if !d.conn.MaySignIn() {
		return d.refuseClear(tag, p)
	}
	c := credentials{mechanism: "LOGIN"}
	var password string
	for _, argument := range []*string{&c.username, &password} {
		if err := p.space(); err != nil {
			return err
		}
		var err error
		if *argument, err = p.astring(); err != nil {
			return err
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	c.password = secret.New(password)
	return d.signIn(ctx, tag, "LOGIN", c)
}

// authenticate answers AUTHENTICATE (RFC 9051 section 6.2.2) by PLAIN and LOGIN, with and without an initial response
// (RFC 4959).
func (d *dialogue) authenticate(ctx context.Context, tag string, p *parser) error {
	if !d.conn.MaySignIn() {
		return d.refuseClear(tag, p)
	}
	if err := p.space(); err != nil {
		return err
	}
	mechanism, err := p.command()
	if err != nil {
		return err
	}
	response, err := initialResponse(p)
	if err != nil {
		return err
	}
	c := credentials{mechanism: mechanism}
	var server gosasl.Server
	switch mechanism {
	case "PLAIN":
		server = sasl.NewPlainServer(func(identity, username string, password secret.Text) error {
			c.identity, c.username, c.password = identity, username, password
			return nil
		})
	case "LOGIN":
		server = sasl.NewLoginServer(func(username string, password secret.Text) error {
			c.username, c.password = username, password
			return nil
		})
	default:
		return d.send(tag + " NO [CANNOT] Use AUTHENTICATE PLAIN, AUTHENTICATE LOGIN or LOGIN")
	}
	if err := d.exchange(server, response); err != nil {
		return err
	}
	return d.signIn(ctx, tag, "AUTHENTICATE", c)
}

// initialResponse reads the initial response of AUTHENTICATE: nil when there is none, empty for "=".
func initialResponse(p *parser) ([]byte, error) {
	if len(p.rest) == 0 {
		return nil, nil
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	if string(p.rest) == "=" {
		return []byte{}, nil
	}
	return decode(p.rest)
}

// decode reads base64 of RFC 4648 section 4, with padding and nothing else.
func decode(encoded []byte) ([]byte, error) {
	decoded, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, encoded)
	if err != nil {
		return nil, syntaxError("Invalid base64")
	}
	return decoded, nil
}

// exchange plays a mechanism's challenges and the client's responses until the mechanism has what it wants.
func (d *dialogue) exchange(server gosasl.Server, response []byte) error {
	for {
		challenge, done, err := server.Next(response)
		if err != nil {
			return syntaxError("Invalid credentials message")
		}
		if done {
			return nil
		}
		if err := d.send("+ " + base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		line, err := d.in.ReadLine()
		switch {
		case errors.Is(err, wire.ErrLineTooLong), errors.Is(err, wire.ErrBareLineEnd):
			return syntaxError("Invalid response")
		case err != nil:
			return err
		case string(line) == "*": // RFC 9051 section 6.2.2: the client gives up
			return syntaxError("AUTHENTICATE cancelled")
		}
		if response, err = decode(line); err != nil {
			return err
		}
	}
}

// refuseClear answers a sign-in without TLS. The credentials may have been sent all the same: they are not looked at.
func (d *dialogue) refuseClear(tag string, p *parser) error {
	if err := p.skipLiterals(); err != nil {
		return err
	}
	return d.send(tag + " NO [PRIVACYREQUIRED] Sign in over TLS only")
}

// signIn has the gate decide, opens the mailbox, and leaves the session to be gone on with when the dialogue is over. It
// returns nil when the client may try again.
func (d *dialogue) signIn(ctx context.Context, tag, command string, c credentials) error {
	attempt := auth.Attempt{
		Session:   d.conn.Session,
		Protocol:  auth.IMAP,
		Login:     c.username,
		Identity:  c.identity,
		Secret:    c.password,
		Mechanism: c.mechanism,
		Remote:    d.conn.Remote,
		TLS:       d.conn.TLSVersion(),
		Client:    d.client,
	}
	junction, grant, err := d.openSession(ctx, attempt)
	if err != nil {
		return d.refuse(tag, err)
	}
	d.log.Info("signed in", "login", grant.Login, "mailbox", grant.Mailbox)
	ok := fmt.Sprintf("%s OK [CAPABILITY %s] %s completed", tag, strings.Join(compose(junction.upstream.capabilities, rulesOf(grant)), " "), command)
	d.conn.SignedIn()
	d.session = func(ended func()) { junction.run(ok, grant, ended) }
	return errDone
}

// openSession has the gate decide, opens the mailbox, and records that the session begins. Where it does not begin, all
// that was opened is closed before the client hears of it; also after a panic, or the login would be short of one session
// for ever (threat model I-32).
func (d *dialogue) openSession(ctx context.Context, attempt auth.Attempt) (*junction, auth.Grant, error) {
	j, begun := &junction{dialogue: d}, false
	defer func() {
		if !begun {
			j.close()
		}
	}()
	grant, err := d.proxy.Gate.SignIn(ctx, attempt, j.open)
	if err != nil {
		return nil, grant, err
	}
	if err := d.proxy.Audit.Record(d.beginning(grant)); err != nil {
		d.log.Error("session not begun: the audit log cannot be written", "error", err)
		return nil, grant, &auth.Refusal{Kind: auth.Unavailable, Reason: auth.AuditUnavailable, Err: err}
	}
	begun = true
	return j, grant, nil
}

// refuse tells the client why it is not signed in.
func (d *dialogue) refuse(tag string, err error) error {
	d.log.Info("sign-in refused", "error", err)
	if err := d.send(tag + " NO " + refusalText(err)); err != nil {
		return err
	}
	if d.refusals++; d.refusals >= maxRefusals {
		return d.bye("Too many refused attempts to sign in")
	}
	return nil
}

// beginning is the audit's line of a session that starts.
func (d *dialogue) beginning(grant auth.Grant) audit.SessionBegin {
	begin := audit.SessionBegin{
		Session:  d.conn.Session,
		Protocol: string(auth.IMAP),
		Login:    grant.Login,
		Mailbox:  grant.Mailbox,
		Account:  grant.Account.String(),
		Remote:   d.conn.Remote.String(),
		Password: grant.Password,
	}
	if version := d.conn.TLSVersion(); version != 0 {
		begin.TLS = tls.VersionName(version)
	}
	return begin
}
