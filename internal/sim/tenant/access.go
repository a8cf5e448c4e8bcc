package tenant

import (
	"errors"
	"slices"
	"strings"
	"time"

	"postern/internal/secret"
)

// Claims are what an access token says, once it has been found genuine.
type Claims struct {
	ID       string // of the token
	TenantID string
	ObjectID string // of the person, or of the application's service principal
	ClientID string
	UPN      string   // empty for an application's own token
	Scopes   []string // of a delegated token
	Roles    []string // of an application's own token
	Expires  time.Time
}

// delegated reports whether a person's sign-in stands behind the token.
func (c Claims) delegated() bool { return c.UPN != "" }

// Verifier tells genuine tokens, which are for the mail service and still valid, from others.
type Verifier interface {
	Verify(token secret.Text) (Claims, error)
}

// Why a token does not open a mailbox.
var (
	// ErrNoAccess: no such mailbox, no permission on it, or a token without the protocol's scope.
	ErrNoAccess = errors.New("no access to the mailbox")
	// ErrProtocolDisabled: the protocol is switched off for the user.
	ErrProtocolDisabled = errors.New("protocol disabled for the user")
	// ErrSMTPDisabledForTenant and ErrSMTPDisabledForMailbox: SmtpClientAuthenticationDisabled.
	ErrSMTPDisabledForTenant  = errors.New("SmtpClientAuthentication is disabled for the Tenant")
	ErrSMTPDisabledForMailbox = errors.New("SmtpClientAuthentication is disabled for the Mailbox")
)

// OpenIMAP decides whether a token opens a mailbox by IMAP, and gives the mailbox's address (reference B.2 and D).
func (t *Tenant) OpenIMAP(c Claims, user string) (string, error) {
	mailbox, ok := t.Mailbox(user)
	switch {
	case !ok, c.delegated() && !has(c.Scopes, "IMAP.AccessAsUser.All"), !c.delegated() && !has(c.Roles, "IMAP.AccessAsApp"):
		return "", ErrNoAccess
	case !mailbox.opensTo(c):
		return "", ErrNoAccess
	}
	if toggles, ok := t.toggles(c, mailbox); ok && toggles.IMAPDisabled {
		return "", ErrProtocolDisabled
	}
	return mailbox.Address, nil
}

// OpenSMTP decides whether a token may submit for a mailbox, and gives the mailbox's address (reference B.4 and D).
func (t *Tenant) OpenSMTP(c Claims, user string) (string, error) {
	mailbox, ok := t.Mailbox(user)
	if !ok || !t.submits(c, mailbox) {
		return "", ErrNoAccess
	}
	toggles, ok := t.toggles(c, mailbox)
	switch {
	case !ok:
		return "", ErrNoAccess
	case toggles.SMTPAuthDisabled != nil && *toggles.SMTPAuthDisabled:
		return "", ErrSMTPDisabledForMailbox
	case toggles.SMTPAuthDisabled == nil && t.tenantDisablesSMTP():
		return "", ErrSMTPDisabledForTenant
	}
	return mailbox.Address, nil
}

func (t *Tenant) tenantDisablesSMTP() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.smtpAuthDisabled
}

// submits applies the two ways of the application grant: the claim with a mailbox permission, or App RBAC without the
// claim (reference D.3).
func (t *Tenant) submits(c Claims, mailbox Mailbox) bool {
	switch {
	case c.delegated():
		return has(c.Scopes, "SMTP.Send") && (mailbox.opensTo(c) || has(mailbox.SendAs, c.ObjectID))
	case has(c.Roles, "SMTP.SendAsApp"):
		return mailbox.opensTo(c)
	}
	return has(mailbox.SMTPApps, c.ClientID)
}

// toggles gives the mailbox whose protocol switches count: the person's own for a delegated token, whatever mailbox is
// opened; the opened one for an application (reference D.2).
func (t *Tenant) toggles(c Claims, opened Mailbox) (Mailbox, bool) {
	if c.delegated() {
		return t.ownMailbox(c.ObjectID)
	}
	return opened, true
}

func (m *Mailbox) opensTo(c Claims) bool {
	return m.Owner != "" && m.Owner == c.ObjectID || has(m.FullAccess, c.ObjectID)
}

// MaySendAs reports whether a message submitted for a mailbox may be from an address: its own, or one whose owner gave
// it Send As.
func (t *Tenant) MaySendAs(mailbox, from string) bool {
	sender, ok := t.Mailbox(mailbox)
	if !ok {
		return false
	}
	as, ok := t.Mailbox(from)
	if !ok {
		return false
	}
	return as.Address == sender.Address || has(as.SendAs, sender.Address) || sender.Owner != "" && has(as.SendAs, sender.Owner)
}

// has reports whether list has a word, without regard to case.
func has(list []string, word string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, word) })
}
