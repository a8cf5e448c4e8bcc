package smtpproxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/session"
	"postern/internal/wire"
)

// errCancelled is an exchange that the client gave up with an asterisk (RFC 4954 section 4).
var errCancelled = errors.New("exchange cancelled")

// errMalformed is a message of an exchange that is not base64 or not of its mechanism's form.
var errMalformed = errors.New("malformed authentication exchange")

// auth answers AUTH (RFC 4954).
func (d *dialogue) auth(ctx context.Context, rest string) error {
	switch {
	case d.grant != nil, d.transaction != nil:
		return d.reject(replySequence)
	case d.hello == "", !d.extended && !d.door.Profile.AuthAfterHELO:
		return d.reject(say(503, "5.5.1 EHLO first"))
	case !d.conn.MaySignIn():
		return d.send(say(538, "5.7.11 Encryption required for requested authentication mechanism"))
	}
	mechanism, initial, hasInitial := strings.Cut(rest, " ")
	attempt := d.attempt()
	attempt.Mechanism = strings.ToUpper(mechanism)
	server := mechanismServer(&attempt)
	if server == nil {
		return d.send(say(504, "5.5.4 Unrecognized authentication type"))
	}
	if hasInitial && attempt.Mechanism == "LOGIN" && !d.door.Profile.LoginInitialResponse {
		return d.reject(say(501, "5.5.4 AUTH LOGIN takes no initial response on this listener"))
	}
	var response []byte
	if hasInitial {
		var err error
		if response, err = decode(initial); err != nil {
			return d.reject(say(501, "5.5.2 Invalid base64"))
		}
	}
	err := d.exchange(server, response)
	switch {
	case errors.Is(err, errCancelled):
		return d.send(say(501, "5.0.0 Authentication cancelled"))
	case errors.Is(err, wire.ErrLineTooLong): // RFC 4954 section 4
		return d.reject(replyLineTooLong)
	case errors.Is(err, errMalformed):
		return d.reject(say(501, "5.5.2 Invalid authentication message"))
	case err != nil:
		return err
	}
	if err := d.signIn(ctx, attempt, d.proxy.Gate.SignIn); err != nil {
		return d.refuse(err, signInReply(err))
	}
	return d.send(say(235, "2.7.0 Authentication successful"))
}

// decision is a method of [Gate].
type decision func(context.Context, auth.Attempt, func(context.Context, auth.Grant) error) (auth.Grant, error)

// attempt gives what is known of an attempt to sign in before the client shows anything.
func (d *dialogue) attempt() auth.Attempt {
	return auth.Attempt{
		Session:  d.conn.Session,
		Protocol: auth.SMTP,
		Remote:   d.conn.Remote,
		TLS:      d.conn.TLSVersion(),
		Client:   d.hello,
	}
}

// mechanismServer gives the mechanism that fills in the credentials of an attempt; nil when there is none of its name.
func mechanismServer(attempt *auth.Attempt) gosasl.Server {
	switch attempt.Mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(identity, username string, password secret.Text) error {
			attempt.Identity, attempt.Login, attempt.Secret = identity, username, password
			return nil
		})
	case "LOGIN":
		return sasl.NewLoginServer(func(username string, password secret.Text) error {
			attempt.Login, attempt.Secret = username, password
			return nil
		})
	}
	return nil
}

// decode reads base64 of RFC 4648 section 4; "=" stands for the empty message (RFC 4954 section 4).
func decode(encoded string) ([]byte, error) {
	if encoded == "=" {
		return []byte{}, nil
	}
	decoded, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, []byte(encoded))
	if err != nil {
		return nil, errMalformed
	}
	return decoded, nil
}

// exchange plays a mechanism's challenges and the client's responses until the mechanism has what it wants.
func (d *dialogue) exchange(server gosasl.Server, response []byte) error {
	for {
		challenge, done, err := server.Next(response)
		if err != nil {
			return errMalformed
		}
		if done {
			return nil
		}
		if err := d.send(say(334, base64.StdEncoding.EncodeToString(challenge))); err != nil {
			return err
		}
		if err := d.flush(); err != nil {
			return err
		}
		line, err := d.readLine()
		switch {
		case errors.Is(err, wire.ErrLineTooLong):
			return err
		case errors.Is(err, wire.ErrBareLineEnd):
			return errMalformed
		case err != nil:
			return err
		case string(line) == "*":
			return errCancelled
		}
		if response, err = decode(string(line)); err != nil {
			return err
		}
	}
}

// signIn has the gate decide, takes a place in the register, and begins the session. Upstream is not asked: that a message
// can be sent is found out with the message. Its error is a refusal.
func (d *dialogue) signIn(ctx context.Context, attempt auth.Attempt, decide decision) error {
	link := newLink(d.conn.Conn)
	grant, err := decide(ctx, attempt, func(_ context.Context, grant auth.Grant) error {
		live, err := d.proxy.Sessions.Add(session.Limits{Login: grant.Policy.Limits.Connections}, session.Info{
			ID:       d.conn.Session,
			Protocol: string(auth.SMTP),
			Login:    grant.Login,
			Mailbox:  grant.Mailbox,
			Account:  grant.Account.String(),
			Password: grant.Password,
			Remote:   d.conn.Remote,
			Started:  d.proxy.Now(),
			Expires:  grant.Expires,
			Grant:    &grant,
		}, link.cut)
		if err != nil {
			return auth.TooMany(err)
		}
		d.live, d.link = live, link
		return nil
	})
	if err == nil {
		err = d.begin(grant)
	}
	return err
}

// byAddress has a client sign in that shows nothing but its address.
func (d *dialogue) byAddress(ctx context.Context) (known bool, err error) {
	if refusal := d.signIn(ctx, d.attempt(), d.proxy.Gate.SignInByAddress); refusal != nil {
		return false, d.refuse(refusal, addressReply(refusal))
	}
	return true, nil
}

// begin records that the session starts.
func (d *dialogue) begin(grant auth.Grant) error {
	begin := audit.SessionBegin{
		Session:  d.conn.Session,
		Protocol: string(auth.SMTP),
		Login:    grant.Login,
		Mailbox:  grant.Mailbox,
		Account:  grant.Account.String(),
		Remote:   d.conn.Remote.String(),
		Password: grant.Password,
	}
	if version := d.conn.TLSVersion(); version != 0 {
		begin.TLS = tls.VersionName(version)
	}
	if err := d.proxy.Audit.Record(begin); err != nil {
		return &auth.Refusal{Kind: auth.Unavailable, Reason: auth.AuditUnavailable, Err: err}
	}
	d.conn.SignedIn()
	d.grant, d.started, d.bad = &grant, d.proxy.Now(), 0
	d.log = d.log.With("login", grant.Login)
	d.log.Info("signed in", "mailbox", grant.Mailbox)
	return nil
}

// refuse tells the client why it is not signed in.
func (d *dialogue) refuse(err error, r reply) error {
	d.log.Info("sign-in refused", "error", err)
	if d.live != nil {
		d.live.Remove()
		d.live = nil
	}
	if err := d.send(r); err != nil {
		return err
	}
	if d.refusals++; d.refusals >= maxRefusals {
		d.farewell(say(421, "4.7.0 Too many refused attempts to sign in"))
		return errDone
	}
	return nil
}
