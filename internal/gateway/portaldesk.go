package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/secret"
	"postern/internal/session"
	"postern/internal/store"
	"postern/internal/web"
)

const (
	// maxPasswords is how many app passwords in force a login may have before the portal issues no more. It is there for
	// scripts that run away.
	maxPasswords = 100
	// activityBytes, activityEntries and activityDays bound what a look at the recent activity reads: some 20,000 lines,
	// which take 20 ms.
	activityBytes   = 8 << 20
	activityEntries = 2000
	activityDays    = 30
)

// portalDesk is what the portal's pages need for a person's own things. A person is the owner of the logins whose account
// they have enrolled: tenant id and object id decide, names do not (threat model, "Identity").
type portalDesk struct {
	directory *auth.Directory
	state     *State
	sessions  *session.Register
	auditFile string
	doors     func() []web.Door
	now       func() time.Time
}

// Logins gives the person's logins, in the order of their accounts and of the configuration.
func (d *portalDesk) Logins(ctx context.Context, who web.Person) ([]web.Login, error) {
	if who.TenantID == "" || who.ObjectID == "" {
		return nil, errors.New("a person without ids has no logins")
	}
	accounts, err := d.state.Store.AccountsOf(ctx, who.Provider, who.TenantID, who.ObjectID)
	if err != nil {
		return nil, err
	}
	var logins []web.Login
	for _, account := range accounts {
		for _, mapping := range d.directory.LoginsOf(accountOf(account)) {
			locked, lockdown, err := d.state.Store.Locked(ctx, mapping.Login, mapping.Policy.Name)
			if err != nil {
				return nil, err
			}
			logins = append(logins, web.Login{Mapping: mapping, NeedsSignIn: account.State == store.NeedsSignIn,
				Refused: account.State == store.Refused, Locked: locked || lockdown})
		}
	}
	return logins, nil
}

// login gives one login of the person.
func (d *portalDesk) login(ctx context.Context, who web.Person, name string) (web.Login, error) {
	logins, err := d.Logins(ctx, who)
	if err != nil {
		return web.Login{}, err
	}
	i := slices.IndexFunc(logins, func(l web.Login) bool { return l.Login == name })
	if i < 0 {
		return web.Login{}, web.ErrNotThere
	}
	return logins[i], nil
}

// Passwords gives the app passwords of the person's logins, the newest first.
func (d *portalDesk) Passwords(ctx context.Context, who web.Person) ([]apppassword.Record, error) {
	logins, err := d.Logins(ctx, who)
	if err != nil {
		return nil, err
	}
	var all []apppassword.Record
	for _, login := range logins {
		records, err := passwordStore{d.state.Store}.passwords(ctx, login.Login)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	slices.SortStableFunc(all, func(a, b apppassword.Record) int { return b.Created.Compare(a.Created) })
	return all, nil
}

// password gives one app password of the person.
func (d *portalDesk) password(ctx context.Context, who web.Person, id string) (apppassword.Record, error) {
	row, err := d.state.Store.Password(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return apppassword.Record{}, web.ErrNotThere
	}
	if err != nil {
		return apppassword.Record{}, err
	}
	_, err = d.login(ctx, who, row.Login)
	return passwordRecord(row), err
}

// Issue issues an app password for a login of the person.
func (d *portalDesk) Issue(
	ctx context.Context, who web.Person, wanted web.NewPassword, evidence web.Evidence, by string,
) (apppassword.Record, secret.Text, error) {
	login, err := d.login(ctx, who, wanted.Login)
	if err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	return d.desk().issueFew(ctx, login.Login, wanted, proofOf(who, evidence), by)
}

// issueFew issues an app password for a login that has not too many already.
func (d passwordDesk) issueFew(
	ctx context.Context, login string, wanted web.NewPassword, evidence apppassword.Evidence, by string,
) (apppassword.Record, secret.Text, error) {
	others, err := passwordStore{d.state.Store}.passwords(ctx, login)
	if err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	inForce := 0
	for _, other := range others {
		if other.InForce(d.now()) {
			inForce++
		}
	}
	if inForce >= maxPasswords {
		return apppassword.Record{}, secret.Text{}, web.ErrTooMany
	}
	return d.issue(ctx, PasswordRequest{
		Login: login, Label: wanted.Label, Protocols: wanted.Protocols, Networks: wanted.Networks, ReadOnly: wanted.ReadOnly, LegacyTLS: wanted.LegacyTLS,
		Expires: wanted.Expires, Short: wanted.Short,
	}, evidence, by)
}

// desk is where app passwords are issued, renewed and revoked.
func (d *portalDesk) desk() passwordDesk { return passwordDesk{d.directory, d.state, d.now} }

// proofOf gives a person's proof as it is kept with an app password.
func proofOf(who web.Person, e web.Evidence) apppassword.Evidence {
	return apppassword.Evidence{Method: e.Method, By: who.Username, At: e.At, TenantID: who.TenantID, ObjectID: who.ObjectID}
}

// Renew puts new evidence behind an app password of the person.
func (d *portalDesk) Renew(ctx context.Context, who web.Person, id string, evidence web.Evidence, by string) error {
	p, err := d.password(ctx, who, id)
	if err == nil {
		_, err = d.desk().renew(ctx, p.ID, proofOf(who, evidence), by)
	}
	return err
}

// Revoke revokes an app password of the person. Its sessions end within a second, when [withdrawals] sees it.
func (d *portalDesk) Revoke(ctx context.Context, who web.Person, id, by string) (int, error) {
	p, err := d.password(ctx, who, id)
	if err != nil {
		return 0, err
	}
	if _, err := d.desk().revoke(ctx, p.ID, by); err != nil {
		return 0, err
	}
	return d.sessions.Count(func(i session.Info) bool { return i.Password == p.ID }), nil
}

// Sessions gives the live sessions of the person's logins.
func (d *portalDesk) Sessions(ctx context.Context, who web.Person) ([]session.Info, error) {
	logins, err := d.Logins(ctx, who)
	if err != nil {
		return nil, err
	}
	anothers := func(i session.Info) bool {
		return !slices.ContainsFunc(logins, func(l web.Login) bool { return l.Login == i.Login })
	}
	return slices.DeleteFunc(d.sessions.List(), anothers), nil
}

// Cut ends a live session of the person.
func (d *portalDesk) Cut(ctx context.Context, who web.Person, id, by string) error {
	sessions, err := d.Sessions(ctx, who)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(sessions, func(i session.Info) bool { return i.ID == id })
	if i < 0 {
		return web.ErrNotThere
	}
	login := sessions[i].Login
	_, err = cutSessions(d.sessions, d.state.Audit, "session "+id, by, func(i session.Info) bool { return i.ID == id && i.Login == login })
	return err
}

// Activity reads the end of the audit log for what is about the person: by their object id, their logins, and the accounts
// that are enrolled as theirs. What they are called counts for nothing: a name may have been somebody else's before.
func (d *portalDesk) Activity(ctx context.Context, who web.Person, kinds []string) ([]audit.Entry, audit.Found, error) {
	logins, err := d.Logins(ctx, who)
	if err != nil {
		return nil, audit.Found{}, err
	}
	wanted := audit.Query{
		Who:   audit.Who{ObjectIDs: []string{who.ObjectID}},
		Kinds: kinds, Since: d.now().AddDate(0, 0, -activityDays), Limit: activityEntries, MaxBytes: activityBytes,
	}
	for _, login := range logins {
		wanted.Who.Logins = append(wanted.Who.Logins, login.Login)
		if account := login.Account.String(); login.Account.Grant == token.Delegated && !slices.Contains(wanted.Who.Owned, account) {
			wanted.Who.Owned = append(wanted.Who.Owned, account)
		}
	}
	var entries []audit.Entry
	found, err := audit.Search(ctx, d.auditFile, wanted, func(e audit.Entry) bool {
		entries = append(entries, e)
		return true
	})
	return entries, found, err
}

// Doors gives the ways in.
func (d *portalDesk) Doors() []web.Door { return d.doors() }
