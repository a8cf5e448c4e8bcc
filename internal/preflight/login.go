package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/imapproxy"
	"postern/internal/config"
	"postern/internal/diagnosis"
	"postern/smtpproxy"
)

// The checks of a login.
const (
	checkToken       = "token"
	checkPermissions = "permissions"
	checkIMAP        = "imap"
	checkSMTP        = "smtp"
	checkSMTPAuth    = "smtp auth switch"
	checkPrincipal   = "service principal"
	checkMailbox     = "mailbox permission"
	checkShared      = "shared limits"
	checkSend        = "test message"
)

// visit is the checking of one login.
type visit struct {
	*sheet
	plan     *Plan
	login    auth.Mapping
	settings *config.Provider
	at       Provider
	reach    reach

	claims   claims
	readable bool    // the claims could be read
	imap     outcome // of signing in
	smtp     outcome
}

// outcome is what came of a sign-in at upstream.
type outcome struct {
	tried bool
	ok    bool
	name  string // of the diagnosis; empty where there is none
}

// checks gives the checks that a login has, in order.
func (v *visit) checks() []string {
	all := []string{checkToken, checkPermissions}
	if v.uses(auth.IMAP) {
		all = append(all, checkIMAP)
	}
	if v.uses(auth.SMTP) {
		all = append(all, checkSMTP, checkSMTPAuth)
	}
	if v.login.Account.Grant == token.Application {
		all = append(all, checkPrincipal)
	}
	all = append(all, checkMailbox)
	if v.uses(auth.SMTP) && v.plan.SendTo != "" {
		all = append(all, checkSend)
	}
	return all
}

func (v *visit) uses(protocol auth.Protocol) bool {
	return slices.Contains(v.login.Policy.Protocols, string(protocol))
}

// login tries one login, until something fails that makes the rest say nothing.
func (p *Plan) login(ctx context.Context, login auth.Mapping, r reach) []Line {
	ctx, cancel := context.WithTimeout(ctx, subjectTime)
	defer cancel()
	v := &visit{sheet: &sheet{subject: "login " + login.Login}, plan: p, login: login, reach: r}
	for _, provider := range p.Providers {
		if provider.Name == login.Account.Provider {
			v.at, v.settings = provider, provider.Settings
		}
	}
	if v.uses(auth.SMTP) {
		v.shared()
	}
	if why := v.hopeless(); why != "" {
		v.skipRest(v.checks(), why)
		return v.lines
	}
	if !v.token(ctx) {
		v.skipRest(v.checks(), "there is no token")
		return v.lines
	}
	v.permissions()
	if v.uses(auth.IMAP) {
		v.tryIMAP(ctx)
	}
	if v.uses(auth.SMTP) {
		v.trySMTP(ctx)
	}
	if login.Account.Grant == token.Application {
		v.principal()
	}
	v.mailbox()
	v.skipRest(v.checks(), "there was no need")
	return v.lines
}

// hopeless says why nothing of the login need be tried; empty where it is to be.
func (v *visit) hopeless() string {
	switch {
	case v.plan.Offline:
		return "offline"
	case !v.reach.authority:
		return "the provider's authority or tenant is not there"
	case v.login.Account.Grant == token.Application && v.reach.application != nil:
		return "Entra does not let the application sign in, see provider " + v.login.Account.Provider
	}
	return ""
}

func (v *visit) about() diagnosis.Subject {
	return diagnosis.Subject{
		Mailbox: v.login.Mailbox, Account: v.login.Account.Name, App: v.settings.ClientID, Provider: v.at.Name, Tenant: v.settings.Tenant,
		Principal: v.trustee(),
	}
}

// trustee is whom mailbox permissions name: the person, or the enterprise application by its object id.
func (v *visit) trustee() string {
	switch {
	case v.login.Account.Grant == token.Delegated:
		return v.login.Account.Name
	case v.claims.ObjectID == "":
		return "ENTERPRISE-APP-OBJECT-ID"
	}
	return v.claims.ObjectID
}

// token gets the account's token as the gateway does: one that is kept serves, and a new one is had under the account's lease, so
// that a running gateway's refresh token is not spent.
func (v *visit) token(ctx context.Context) bool {
	err := v.plan.Tokens.Use(ctx, v.login.Account, func(_ context.Context, access token.Access) error {
		v.claims, v.readable = readClaims(access.Token)
		v.ok(checkToken, "of %s, until %s", v.login.Account, access.Expires.Local().Format(time.TimeOnly))
		return nil
	})
	if err == nil {
		return true
	}
	var failed *token.Error
	if errors.As(err, &failed) && failed.Code == token.NotEnrolled {
		v.add(checkToken, Warning, "the person signs in: in the portal, or by device code", "postern user enroll "+v.login.Login,
			"nobody has signed in for %s yet", v.login.Account)
		return false
	}
	v.failed(checkToken, tokenFault(err, v.settings, v.login.Account))
	return false
}

// permissions looks for what the protocols need in the token.
func (v *visit) permissions() {
	if !v.readable {
		v.skip(checkPermissions, "the token does not show what it is for")
		return
	}
	var missing []string
	for _, need := range v.needs() {
		if !v.claims.has(need) {
			missing = append(missing, need)
		}
	}
	carried := strings.Join(append(strings.Fields(v.claims.Scopes), v.claims.Roles...), " ")
	if carried == "" {
		carried = "none"
	}
	switch {
	case len(missing) == 0:
		v.ok(checkPermissions, "the token has %s", carried)
	case slices.Equal(missing, []string{"SMTP.SendAsApp"}):
		// Without the claim, a group of mailboxes may decide (App RBAC), which shows when it is tried.
		v.add(checkPermissions, OK, "nothing, where SMTP is allowed by a group (docs/exchange-online.md); otherwise add SMTP.SendAsApp and consent", "",
			"the token has %s, and not SMTP.SendAsApp", carried)
	default:
		d, _, _ := diagnosis.Entra(65001, v.about())
		v.add(checkPermissions, Failed, "add "+strings.Join(missing, " and ")+" to the application's permissions, then an administrator consents", d.Command,
			"the token has %s, and lacks %s", carried, strings.Join(missing, " and "))
	}
}

// needs gives the permissions that the login's protocols need.
func (v *visit) needs() []string {
	names := map[auth.Protocol]string{auth.IMAP: "IMAP.AccessAsUser.All", auth.SMTP: "SMTP.Send"}
	if v.login.Account.Grant == token.Application {
		names = map[auth.Protocol]string{auth.IMAP: "IMAP.AccessAsApp", auth.SMTP: "SMTP.SendAsApp"}
	}
	var needs []string
	for _, protocol := range []auth.Protocol{auth.IMAP, auth.SMTP} {
		if v.uses(protocol) {
			needs = append(needs, names[protocol])
		}
	}
	return needs
}

// tryIMAP signs in and opens the mailbox.
func (v *visit) tryIMAP(ctx context.Context) {
	if !v.reach.imap {
		v.skip(checkIMAP, "the IMAP server is not reached")
		return
	}
	user, said := v.login.User(auth.IMAP), ""
	err := v.plan.Tokens.Use(ctx, v.login.Account, func(ctx context.Context, access token.Access) (err error) {
		said, err = imapproxy.Probe(ctx, v.at.IMAP, user, access.Token)
		return err
	})
	d, known := diagnosis.IMAP(said, v.about())
	v.imap = v.signedIn(checkIMAP, "the mailbox "+user+" opens", said, d, known && said != "", err)
}

// trySMTP signs in for submission, and sends the test message where one is wanted.
func (v *visit) trySMTP(ctx context.Context) {
	if !v.reach.smtp {
		v.skip(checkSMTP, "the SMTP server is not reached")
		v.skip(checkSMTPAuth, "the SMTP server is not reached")
		return
	}
	user, said := v.login.User(auth.SMTP), ""
	try := func(m *smtpproxy.Message) error {
		return v.plan.Tokens.Use(ctx, v.login.Account, func(ctx context.Context, access token.Access) (err error) {
			said, err = smtpproxy.Probe(ctx, v.at.SMTP, v.plan.Config.Domain, user, access.Token, m)
			return err
		})
	}
	err := try(nil)
	about := v.about()
	about.Mailbox = user
	d, known := diagnosis.SMTP(said, about)
	v.smtp = v.signedIn(checkSMTP, user+" may send", said, d, known, err)
	v.smtpSwitch(user, d)
	if v.plan.SendTo == "" || !v.smtp.ok {
		return
	}
	err = try(&smtpproxy.Message{From: v.login.Mailbox, To: v.plan.SendTo, Content: v.testMessage()})
	if err == nil {
		v.ok(checkSend, "sent to %s: %s", v.plan.SendTo, said)
		return
	}
	d, known = diagnosis.SMTP(said, about)
	v.signedIn(checkSend, "", said, d, known, err)
}

// testMessage is the message of --send-to. Its line ends are CRLF.
func (v *visit) testMessage() []byte {
	now := v.plan.Now()
	return []byte(strings.Join([]string{
		"Date: " + now.Format("Mon, 02 Jan 2006 15:04:05 -0700"),
		"From: " + v.login.Mailbox,
		"To: " + v.plan.SendTo,
		fmt.Sprintf("Message-ID: <check.%d@%s>", now.UnixNano(), v.plan.Config.Domain),
		"Subject: postern check",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		"postern check sent this message for the login " + v.login.Login + ".",
		"",
	}, "\r\n"))
}

// passing are diagnoses that time mends: something works, only not at the moment.
var passing = []string{"too-many-connections", "too-fast", "throttled", "daily-recipients", "tenant-recipients", "reputation", "upstream-trouble", "recipient-busy"}

// signedIn writes the line of a try at upstream.
func (v *visit) signedIn(check, good, said string, d diagnosis.Diagnosis, known bool, err error) outcome {
	o := outcome{tried: true, ok: err == nil, name: d.Name}
	var failed *token.Error
	if errors.As(err, &failed) {
		o.name = ""
	}
	switch {
	case err == nil:
		v.ok(check, "%s", good)
	case errors.As(err, &failed):
		// What upstream said before was said of a token in whose place there is no other.
		v.failed(check, tokenFault(err, v.settings, v.login.Account))
	case known:
		verdict := Failed
		if slices.Contains(passing, d.Name) {
			verdict = Warning
		}
		v.add(check, verdict, orWait(d.Fix), d.Command, "%s: %s", said, d.Cause)
	case said != "":
		v.add(check, Failed, "look the reply up in Microsoft's documentation, and please report it: Postern does not know it", "", "%s", said)
	default:
		v.add(check, Failed, "try again; where it lasts, look for what cuts connections between here and there", "", "%s", plainError(err))
	}
	return o
}

// smtpSwitch says what the reply to AUTH shows of SmtpClientAuthenticationDisabled, which has three values: of the mailbox it is
// true, false, or empty, and then the tenant's counts (reference D.2).
func (v *visit) smtpSwitch(user string, d diagnosis.Diagnosis) {
	switch {
	case v.smtp.ok:
		v.ok(checkSMTPAuth, "SmtpClientAuthenticationDisabled is False for %s, or empty and False for the tenant", user)
	case d.Name == "smtp-auth-off-tenant":
		v.add(checkSMTPAuth, Failed, d.Fix, d.Command, "SmtpClientAuthenticationDisabled is True for the tenant, and empty for %s", user)
	case d.Name == "smtp-auth-off-mailbox":
		v.add(checkSMTPAuth, Failed, d.Fix, d.Command, "SmtpClientAuthenticationDisabled is True for %s, whatever the tenant says", user)
	default:
		v.add(checkSMTPAuth, Skipped, "", "Get-CASMailbox "+user+" | fl SmtpClientAuthenticationDisabled", "the reply does not show it")
	}
}

// shared says with how many logins the mailbox's limits are shared.
func (v *visit) shared() {
	user, others := v.login.User(auth.SMTP), 0
	for _, other := range v.plan.Logins {
		if other.Login != v.login.Login && other.User(auth.SMTP) == user && other.Account.Provider == v.login.Account.Provider {
			others++
		}
	}
	if others == 0 {
		v.ok(checkShared, "%s is this login's alone", user)
		return
	}
	verdict, fix := OK, ""
	if others >= 10 {
		verdict, fix = Warning, "spread the devices over more mailboxes"
	}
	v.add(checkShared, verdict, fix, "", "%s sends for %d logins, which share %d messages a minute", user, others+1, v.settings.SMTPMessages)
}
