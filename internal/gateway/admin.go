package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/secret"
)

// Admin carries out an administrator's commands on a gateway's state, whether the gateway runs or not. Each is in the
// audit log before it is done.
type Admin struct {
	config    *config.Config
	directory *auth.Directory
	state     *State
	by        string // who gives the commands, for the audit
}

// NewAdmin opens the state of a configuration for the commands of by. Close closes it.
func NewAdmin(ctx context.Context, c *config.Config, by string) (*Admin, error) {
	state, err := OpenState(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Admin{config: c, directory: auth.NewDirectory(c), state: state, by: by}, nil
}

// Close closes the state.
func (a *Admin) Close() error { return a.state.Close() }

// desk is where app passwords are issued, renewed and revoked.
func (a *Admin) desk() passwordDesk { return passwordDesk{a.directory, a.state, time.Now} }

// evidence is what an administrator's word is worth.
func (a *Admin) evidence() apppassword.Evidence {
	return apppassword.Evidence{Method: config.CommandLine, By: a.by, At: time.Now()}
}

// IssuePassword issues an app password. The secret is given here and never again.
func (a *Admin) IssuePassword(ctx context.Context, r PasswordRequest) (apppassword.Record, secret.Text, error) {
	return a.desk().issue(ctx, r, a.evidence(), a.by)
}

// RenewPassword puts an administrator's word behind an app password, in the stead of the evidence that it stood on: where
// that was too old, the password is accepted again, unchanged.
func (a *Admin) RenewPassword(ctx context.Context, id string) (apppassword.Record, error) {
	return a.desk().renew(ctx, id, a.evidence(), a.by)
}

// RevokePassword revokes an app password by its id: it is refused from the next sign-in on. Revoking it once more does
// nothing.
func (a *Admin) RevokePassword(ctx context.Context, id string) (apppassword.Record, error) {
	return a.desk().revoke(ctx, id, a.by)
}

// Passwords gives the app passwords of a login, or all of them for an empty one.
func (a *Admin) Passwords(ctx context.Context, login string) ([]apppassword.Record, error) {
	return passwordStore{a.state.Store}.passwords(ctx, a.name(login))
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

// Enroll has the person behind a login sign in by the device code flow, and keeps their tokens. show is given the code
// that the person enters.
func (a *Admin) Enroll(ctx context.Context, login string, log *slog.Logger, show func(token.DeviceCode)) (token.Identity, error) {
	mapping, err := a.mapping(login)
	if err != nil {
		return token.Identity{}, err
	}
	if mapping.Account.Grant == token.Application {
		return token.Identity{}, fmt.Errorf("%s has grant: application: nobody has to sign in for it", mapping.Login)
	}
	up, err := newUpstreams(a.config.Providers, nil)
	if err != nil {
		return token.Identity{}, err
	}
	source := token.NewSource(token.Config{Providers: up.tokens(), Store: tokenStore{a.state.Store}, Audit: a.state.Audit, Log: log})
	defer source.Close()
	return source.Enroll(ctx, mapping.Account, a.by, show)
}

// name gives the canonical login that a name is for; one that the configuration does not know stands for itself.
func (a *Admin) name(typed string) string {
	if mapping, ok := a.directory.Lookup(typed); ok {
		return mapping.Login
	}
	return auth.Canonical(typed)
}

// mapping finds what the configuration says of a login.
func (a *Admin) mapping(login string) (auth.Mapping, error) {
	return mappingOf(a.directory, login)
}
