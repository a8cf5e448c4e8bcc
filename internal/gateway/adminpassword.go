package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/store"
)

// bind holds a request for an app password against the policy of its login, and fills in what the policy decides.
func bind(r *PasswordRequest, mapping auth.Mapping, now time.Time) error {
	if err := acceptsCommandLine(mapping); err != nil {
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

// acceptsCommandLine gives an error if an administrator's word is no evidence for a login's policy.
func acceptsCommandLine(mapping auth.Mapping) error {
	if mapping.Policy.MFA.Accepts(config.CommandLine) {
		return nil
	}
	return fmt.Errorf("the policy %s of %s accepts no evidence from the command line, only %s: a password that is issued here would be refused; add command-line to its mfa.evidence, or use another policy",
		mapping.Policy.Name, mapping.Login, strings.Join(mapping.Policy.MFA.Evidence, ", "))
}

// Suspended says in words why a password that is in force is refused all the same, for want of evidence; empty when it is
// not, or when the configuration has no such login.
func (a *Admin) Suspended(p apppassword.Record, now time.Time) string {
	mapping, known := a.directory.Lookup(p.Login)
	if !known {
		return ""
	}
	return suspended(p, mapping, now)
}

func suspended(p apppassword.Record, mapping auth.Mapping, now time.Time) string {
	switch {
	case !mapping.Policy.MFA.Accepts(p.Evidence.Method):
		return "evidence not accepted"
	case mapping.Policy.MFA.Aged(p.Evidence.At, now):
		return "evidence too old"
	}
	return ""
}

// RenewPassword puts an administrator's word behind an app password, in the stead of the evidence that it stood on: where
// that was too old, the password is accepted again, unchanged.
func (a *Admin) RenewPassword(ctx context.Context, id string) (apppassword.Record, error) {
	p, err := passwordStore{a.state.Store}.password(ctx, id)
	if err != nil {
		return p, err
	}
	now := time.Now()
	switch {
	case !p.Revoked.IsZero():
		return p, fmt.Errorf("%s of %s was revoked on %s, and stays so: issue a new one", p.ID, p.Login, p.Revoked.Local().Format(time.DateOnly))
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return p, fmt.Errorf("%s of %s expired on %s, which evidence does not mend: issue a new one", p.ID, p.Login, p.Expires.Local().Format(time.DateOnly))
	}
	mapping, err := a.mapping(p.Login)
	if err != nil {
		return p, err
	}
	if err := acceptsCommandLine(mapping); err != nil {
		return p, err
	}
	p.Evidence = a.evidence(now)
	if err := a.state.Audit.Record(audit.PasswordRenewed{ID: p.ID, Login: p.Login, Evidence: p.Evidence.Method, By: a.by}); err != nil {
		return p, err
	}
	return p, a.state.Store.RenewEvidence(ctx, id, store.Evidence(p.Evidence))
}
