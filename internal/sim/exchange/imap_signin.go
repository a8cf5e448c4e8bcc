package exchange

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// googleChallenge is how Google describes a refused token before it refuses it (reference B.1).
var googleChallenge = base64.StdEncoding.EncodeToString([]byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`))

// login answers LOGIN: basic authentication is over.
func (i *imapSession) login(c *command) error {
	for range 2 {
		if _, err := c.argument(); err != nil {
			return err
		}
	}
	return i.line("%s NO LOGIN failed.", c.tag)
}

// authenticate answers AUTHENTICATE XOAUTH2, on one line and on two.
func (i *imapSession) authenticate(c *command) error {
	mechanism, err := c.argument()
	if err != nil {
		return err
	}
	encoded := strings.TrimPrefix(string(c.rest), " ")
	if len(c.rest) == 0 {
		if encoded, err = i.ask("+ "); err != nil {
			return err
		}
	}
	if encoded == "*" {
		return i.line("%s BAD AUTHENTICATE failed.", c.tag)
	}
	if !strings.EqualFold(mechanism, sasl.MechXOAUTH2) {
		return i.line("%s NO AUTHENTICATE failed.", c.tag)
	}
	message, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return i.line("%s NO AUTHENTICATE failed.", c.tag)
	}
	user, token, err := sasl.ParseXOAUTH2(message)
	if err != nil {
		return i.line("%s NO AUTHENTICATE failed.", c.tag)
	}
	return i.signIn(c, user, token)
}

// ask sends a continuation request and reads the answer.
func (i *imapSession) ask(request string) (string, error) {
	if err := errors.Join(i.line("%s", request), i.flush()); err != nil {
		return "", err
	}
	line, err := i.in.ReadLine()
	return string(line), err
}

// signIn takes a token. One that is genuine signs in, whatever it opens: that shows at the next command (reference,
// section 0 item 2).
func (i *imapSession) signIn(c *command, user string, token secret.Text) error {
	reply, drop := i.server.strike(tenant.IMAPAuth, user)
	switch {
	case drop:
		return errBye
	case strings.HasPrefix(reply, "*"):
		return errors.Join(i.line("%s", reply), i.flush(), errBye)
	case reply != "":
		return i.line("%s %s", c.tag, reply)
	}
	claims, err := i.server.config.Tokens.Verify(token)
	if err != nil || claims.TenantID != i.server.config.Tenant.ID {
		if i.server.config.GoogleChallenge {
			if _, err := i.ask("+ " + googleChallenge); err != nil {
				return err
			}
		}
		return i.line("%s NO AUTHENTICATE failed.", c.tag)
	}
	i.token, i.claims, i.signedIn, i.bad = token, claims, true, 0
	i.verified = time.Now()
	i.mailbox, err = i.server.config.Tenant.OpenIMAP(claims, user)
	if err != nil {
		i.mailbox = ""
		i.server.config.Log.Debug("signed in and not connected", "user", user, "error", err)
	}
	i.expiry = time.AfterFunc(time.Until(claims.Expires), func() { i.end(expired) })
	return i.line("%s OK AUTHENTICATE completed.", c.tag)
}
