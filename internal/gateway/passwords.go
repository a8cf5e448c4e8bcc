package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/store"
)

// passwordDesk issues, renews and revokes app passwords: the same way, under the same rules, for whoever asks, be it on
// the command line or in the portal. Who may ask for which login is its caller's to know; what the login's policy allows
// is decided here. Each is in the audit log before it is done, by whom the caller says.
type passwordDesk struct {
	directory *auth.Directory
	state     *State
	now       func() time.Time
}

// PasswordRequest is a new app password as somebody asks for it.
type PasswordRequest struct {
	Login     string
	Label     string
	Protocols []string       // none means all that the policy allows
	Networks  []netip.Prefix // none means as the policy says
	LegacyTLS bool           // accepted below TLS 1.2 too, for old devices
	ReadOnly  bool           // for reading by IMAP, and nothing else
	Expires   time.Time      // the zero time means as late as the policy allows
	Short     bool           // 16 characters instead of 24
}

// issue issues an app password on evidence that was just given. The secret is given here and never again.
func (d passwordDesk) issue(
	ctx context.Context, r PasswordRequest, evidence apppassword.Evidence, by string,
) (apppassword.Record, secret.Text, error) {
	mapping, err := mappingOf(d.directory, r.Login)
	if err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	now := d.now()
	if err := bind(&r, mapping, evidence, now); err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	if err := lockdownOf(ctx, d.state.Store, mapping); err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	record := func(p apppassword.Record) error { return d.state.Audit.Record(issued(p, by)) }
	return apppassword.Issue(ctx, passwordStore{d.state.Store}, d.state.Keys, apppassword.Request{
		Login:     mapping.Login,
		Label:     r.Label,
		Protocols: r.Protocols,
		Networks:  r.Networks,
		LegacyTLS: r.LegacyTLS,
		ReadOnly:  r.ReadOnly,
		Expires:   r.Expires,
		Short:     r.Short,
		Evidence:  evidence,
	}, now, rand.Reader, record)
}

// issued is the audit's event of a password that is about to be issued.
func issued(p apppassword.Record, by string) audit.PasswordIssued {
	event := audit.PasswordIssued{
		ID: p.ID, Login: p.Login, Label: p.Label, Protocols: p.Protocols, LegacyTLS: p.LegacyTLS, ReadOnly: p.ReadOnly,
		Evidence: p.Evidence.Method, By: by,
	}
	for _, network := range p.Networks {
		event.Networks = append(event.Networks, network.String())
	}
	if !p.Expires.IsZero() {
		event.Expires = &p.Expires
	}
	return event
}

// renew puts new evidence behind an app password, in the stead of what it stood on: where that was too old, the password
// is accepted again, unchanged.
func (d passwordDesk) renew(ctx context.Context, id string, evidence apppassword.Evidence, by string) (apppassword.Record, error) {
	p, err := passwordStore{d.state.Store}.password(ctx, id)
	if err != nil {
		return p, err
	}
	switch {
	case !p.Revoked.IsZero():
		return p, fmt.Errorf("%s of %s was revoked on %s, and stays so: issue a new one", p.ID, p.Login, p.Revoked.Local().Format(time.DateOnly))
	case !p.Expires.IsZero() && !d.now().Before(p.Expires):
		return p, fmt.Errorf("%s of %s expired on %s, which evidence does not mend: issue a new one", p.ID, p.Login, p.Expires.Local().Format(time.DateOnly))
	}
	mapping, err := mappingOf(d.directory, p.Login)
	if err != nil {
		return p, err
	}
	if err := vouches(evidence, mapping, d.now()); err != nil {
		return p, err
	}
	if err := lockdownOf(ctx, d.state.Store, mapping); err != nil {
		return p, err
	}
	p.Evidence = evidence
	if err := d.state.Audit.Record(audit.PasswordRenewed{ID: p.ID, Login: p.Login, Evidence: evidence.Method, By: by}); err != nil {
		return p, err
	}
	return p, d.state.Store.RenewEvidence(ctx, id, store.Evidence(evidence))
}

// revoke revokes an app password: it is refused from the next sign-in on, and its sessions end within a second. Revoking
// it once more does nothing.
func (d passwordDesk) revoke(ctx context.Context, id, by string) (apppassword.Record, error) {
	p, err := passwordStore{d.state.Store}.password(ctx, id)
	if err != nil {
		return p, err
	}
	if err := d.state.Audit.Record(audit.PasswordRevoked{ID: p.ID, Login: p.Login, By: by}); err != nil {
		return p, err
	}
	return p, d.state.Store.RevokePassword(ctx, id, d.now())
}

// mappingOf finds what the configuration says of a login.
func mappingOf(directory *auth.Directory, login string) (auth.Mapping, error) {
	mapping, ok := directory.Lookup(login)
	if !ok {
		return mapping, fmt.Errorf("no user of the configuration fits %q; postern user list shows the logins", login)
	}
	return mapping, nil
}

// bind holds a request for an app password against the policy of its login, and fills in what the policy decides.
func bind(r *PasswordRequest, mapping auth.Mapping, evidence apppassword.Evidence, now time.Time) error {
	if err := vouches(evidence, mapping, now); err != nil {
		return err
	}
	if err := bindProtocols(r, mapping); err != nil {
		return err
	}
	rules := mapping.Policy.Passwords
	switch {
	case rules.Length == 24 && r.Short:
		return fmt.Errorf("the policy %s of %s wants passwords of 24 characters; for a device that takes no more than 16, set passwords: {length: 16} in its policy",
			mapping.Policy.Name, mapping.Login)
	case rules.Length == 16:
		r.Short = true
	}
	if rules.MaxLife == 0 {
		return nil
	}
	latest := now.Add(time.Duration(rules.MaxLife))
	if r.Expires.IsZero() {
		r.Expires = latest
	}
	// The request was made a moment before now.
	if r.Expires.After(latest) {
		return fmt.Errorf("the policy %s of %s allows passwords of at most %s, until %s; this one would be valid until %s",
			mapping.Policy.Name, mapping.Login, rules.MaxLife, latest.Local().Format(time.DateOnly), r.Expires.Local().Format(time.DateOnly))
	}
	return nil
}

// bindProtocols holds a request's protocols against the policy.
func bindProtocols(r *PasswordRequest, mapping auth.Mapping) error {
	if len(r.Protocols) == 0 {
		r.Protocols = mapping.Policy.Protocols
		if r.ReadOnly {
			r.Protocols = []string{"imap"}
		}
	}
	if r.ReadOnly && !slices.Equal(r.Protocols, []string{"imap"}) {
		return fmt.Errorf("a read-only password is for imap alone; it cannot be for %s", strings.Join(r.Protocols, ", "))
	}
	for _, protocol := range r.Protocols {
		if !slices.Contains(mapping.Policy.Protocols, protocol) {
			return fmt.Errorf("the policy %s of %s does not allow %q; it allows %s",
				mapping.Policy.Name, mapping.Login, protocol, strings.Join(mapping.Policy.Protocols, ", "))
		}
	}
	return nil
}

// vouches gives an error unless evidence is such that a login's policy accepts, and was given just now: what is issued or
// renewed stands on it for the policy's max_age, whoever asks.
func vouches(evidence apppassword.Evidence, mapping auth.Mapping, now time.Time) error {
	mfa := mapping.Policy.MFA
	switch accepted := strings.Join(mfa.Evidence, ", "); {
	case !mfa.Accepts(evidence.Method) && evidence.Method == config.CommandLine:
		return fmt.Errorf("the policy %s of %s accepts no evidence from the command line, only %s: a password that is issued here would be refused; add command-line to its mfa.evidence, or use another policy",
			mapping.Policy.Name, mapping.Login, accepted)
	case !mfa.Accepts(evidence.Method):
		return fmt.Errorf("the policy %s of %s does not accept %s as evidence, only %s", mapping.Policy.Name, mapping.Login, evidence.Method, accepted)
	case mfa.Aged(evidence.At, now):
		return fmt.Errorf("the evidence is older than the policy %s of %s allows, which is %s", mapping.Policy.Name, mapping.Login, mfa.MaxAge)
	case !factor.IsFresh(evidence.At, now):
		return fmt.Errorf("MFA was proved at %s, and counts for %s: prove it again", evidence.At.Local().Format(time.DateTime), factor.Fresh)
	}
	return nil
}

// suspended says in words why a password that is in force is refused all the same, for want of evidence; empty when it is not.
func suspended(p apppassword.Record, mapping auth.Mapping, now time.Time) string {
	switch {
	case !mapping.Policy.MFA.Accepts(p.Evidence.Method):
		return "evidence not accepted"
	case mapping.Policy.MFA.Aged(p.Evidence.At, now):
		return "evidence too old"
	}
	return ""
}
