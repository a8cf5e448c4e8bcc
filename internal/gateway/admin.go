package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/audit"
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

// PasswordRequest is a new app password as an administrator asks for it.
type PasswordRequest struct {
	Login     string
	Label     string
	Protocols []string       // none means all that the policy allows
	Networks  []netip.Prefix // none means as the policy says
	ReadOnly  bool           // for reading by IMAP, and nothing else
	Expires   time.Time      // the zero time means never
	Short     bool           // 16 characters instead of 24
}

// IssuePassword issues an app password. The secret is given here and never again.
func (a *Admin) IssuePassword(ctx context.Context, r PasswordRequest) (apppassword.Record, secret.Text, error) {
	mapping, err := a.mapping(r.Login)
	if err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	if len(r.Protocols) == 0 {
		r.Protocols = mapping.Policy.Protocols
		if r.ReadOnly {
			r.Protocols = []string{"imap"}
		}
	}
	if r.ReadOnly && !slices.Equal(r.Protocols, []string{"imap"}) {
		return apppassword.Record{}, secret.Text{}, fmt.Errorf("a read-only password is for imap alone; it cannot be for %s", strings.Join(r.Protocols, ", "))
	}
	for _, protocol := range r.Protocols {
		if !slices.Contains(mapping.Policy.Protocols, protocol) {
			return apppassword.Record{}, secret.Text{}, fmt.Errorf("the policy %s of %s does not allow %q; it allows %s",
				mapping.Policy.Name, mapping.Login, protocol, strings.Join(mapping.Policy.Protocols, ", "))
		}
	}
	now := time.Now()
	if err := bind(&r, mapping, now); err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	return apppassword.Issue(ctx, passwordStore{a.state.Store}, a.state.Keys, apppassword.Request{
		Login:     mapping.Login,
		Label:     r.Label,
		Protocols: r.Protocols,
		Networks:  r.Networks,
		ReadOnly:  r.ReadOnly,
		Expires:   r.Expires,
		Short:     r.Short,
		Evidence:  a.evidence(now),
	}, now, rand.Reader, a.recordIssue)
}

// evidence is what an administrator's word is worth.
func (a *Admin) evidence(now time.Time) apppassword.Evidence {
	return apppassword.Evidence{Method: config.CommandLine, By: a.by, At: now}
}

// recordIssue puts a password that is about to be issued into the audit log.
func (a *Admin) recordIssue(p apppassword.Record) error {
	event := audit.PasswordIssued{
		ID: p.ID, Login: p.Login, Label: p.Label, Protocols: p.Protocols, LegacyTLS: p.LegacyTLS, ReadOnly: p.ReadOnly,
		Evidence: p.Evidence.Method, By: a.by,
	}
	for _, network := range p.Networks {
		event.Networks = append(event.Networks, network.String())
	}
	if !p.Expires.IsZero() {
		event.Expires = &p.Expires
	}
	return a.state.Audit.Record(event)
}

// Passwords gives the app passwords of a login, or all of them for an empty one.
func (a *Admin) Passwords(ctx context.Context, login string) ([]apppassword.Record, error) {
	return passwordStore{a.state.Store}.passwords(ctx, a.name(login))
}

// RevokePassword revokes an app password by its id: it is refused from the next sign-in on. Revoking it once more does
// nothing.
func (a *Admin) RevokePassword(ctx context.Context, id string) (apppassword.Record, error) {
	passwords := passwordStore{a.state.Store}
	p, err := passwords.password(ctx, id)
	if err != nil {
		return p, err
	}
	if err := a.state.Audit.Record(audit.PasswordRevoked{ID: p.ID, Login: p.Login, By: a.by}); err != nil {
		return p, err
	}
	return p, a.state.Store.RevokePassword(ctx, id, time.Now())
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
	up, err := newUpstreams(a.config.Providers)
	if err != nil {
		return token.Identity{}, err
	}
	source := token.NewSource(token.Config{Providers: up.tokens, Store: tokenStore{a.state.Store}, Audit: a.state.Audit, Log: log})
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
	mapping, ok := a.directory.Lookup(login)
	if !ok {
		return mapping, fmt.Errorf("no user of the configuration fits %q; postern user list shows the logins", login)
	}
	return mapping, nil
}
