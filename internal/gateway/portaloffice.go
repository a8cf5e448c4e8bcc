package gateway

import (
	"context"
	"slices"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/session"
	"postern/internal/web"
)

// portalOffice is what the portal's pages of administration need. What the command line can do as well goes the same way,
// through [Admin].
type portalOffice struct {
	config    *config.Config
	directory *auth.Directory
	state     *State
	sessions  *session.Register
	now       func() time.Time
}

// admin carries out the commands of by.
func (o *portalOffice) admin(by string) *Admin {
	return &Admin{config: o.config, directory: o.directory, state: o.state, by: by}
}

// Logins gives all logins of which something is known.
func (o *portalOffice) Logins(ctx context.Context) ([]web.Overview, error) {
	users, err := o.admin("").Users(ctx)
	overviews := make([]web.Overview, len(users))
	for i, u := range users {
		overviews[i] = overviewOf(u)
	}
	return overviews, err
}

// Login gives one login.
func (o *portalOffice) Login(ctx context.Context, name string) (web.Overview, error) {
	if _, known := o.directory.Lookup(name); !known {
		return web.Overview{}, web.ErrNotThere
	}
	u, err := o.admin("").User(ctx, name)
	return overviewOf(u), err
}

func overviewOf(u User) web.Overview {
	s := web.Overview{
		Login:       web.Login{Mapping: u.Mapping, NeedsSignIn: u.State == NeedsSignIn, Refused: u.State == Refused, Locked: u.Lock != nil},
		NotEnrolled: u.State == NotEnrolled, Reason: u.Reason, Since: u.Since,
		Passwords: u.Passwords, Suspended: u.Suspended, LastUse: u.LastUse,
	}
	if u.Lock != nil {
		s.Lock = web.Lock{Since: u.Lock.Since, By: u.Lock.By, Reason: u.Lock.Reason}
	}
	return s
}

// Passwords gives the app passwords of a login, the newest first.
func (o *portalOffice) Passwords(ctx context.Context, login string) ([]apppassword.Record, error) {
	records, err := passwordStore{o.state.Store}.passwords(ctx, login)
	slices.SortStableFunc(records, func(a, b apppassword.Record) int { return b.Created.Compare(a.Created) })
	return records, err
}

// device gives an error unless a login is a device's.
func (o *portalOffice) device(login string) error {
	switch mapping, known := o.directory.Lookup(login); {
	case !known:
		return web.ErrNotThere
	case mapping.Account.Grant != token.Application:
		return web.ErrNotDevice
	}
	return nil
}

// password gives one app password.
func (o *portalOffice) password(ctx context.Context, id string) (apppassword.Record, error) {
	row, err := o.state.Store.Password(ctx, id)
	if isNotFound(err) {
		return apppassword.Record{}, web.ErrNotThere
	}
	return passwordRecord(row), err
}

func (o *portalOffice) desk() passwordDesk { return passwordDesk{o.directory, o.state, o.now} }

// Issue issues an app password for a device.
func (o *portalOffice) Issue(
	ctx context.Context, who web.Person, wanted web.NewPassword, evidence web.Evidence, by string,
) (apppassword.Record, secret.Text, error) {
	if err := o.device(wanted.Login); err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	return o.desk().issueFew(ctx, wanted.Login, wanted, proofOf(who, evidence), by)
}

// Renew puts new evidence behind an app password of a device.
func (o *portalOffice) Renew(ctx context.Context, who web.Person, id string, evidence web.Evidence, by string) error {
	p, err := o.password(ctx, id)
	if err == nil {
		err = o.device(p.Login)
	}
	if err == nil {
		_, err = o.desk().renew(ctx, id, proofOf(who, evidence), by)
	}
	return err
}

// Revoke revokes an app password. Its sessions end within a second, when [withdrawals] sees it.
func (o *portalOffice) Revoke(ctx context.Context, id, by string) (apppassword.Record, int, error) {
	p, err := o.password(ctx, id)
	if err != nil {
		return p, 0, err
	}
	_, err = o.desk().revoke(ctx, id, by)
	return p, o.sessions.Count(func(i session.Info) bool { return i.Password == id }), err
}

// Lock locks a login. Its sessions end within a second, when [withdrawals] sees it.
func (o *portalOffice) Lock(ctx context.Context, login, reason, by string) (int, error) {
	mapping, known := o.directory.Lookup(login)
	if !known {
		return 0, web.ErrNotThere
	}
	_, _, err := o.admin(by).Lock(ctx, mapping.Login, reason)
	return o.sessions.Count(ofLogin(mapping.Login)), err
}

// Unlock takes the lock from a login; where there is none, it does nothing.
func (o *portalOffice) Unlock(ctx context.Context, login, by string) error {
	admin := o.admin(by)
	if lock, err := admin.lock(ctx, admin.name(login)); lock == nil || err != nil {
		return err
	}
	_, err := admin.Unlock(ctx, login)
	return err
}

// Lockdowns gives the lockdowns that are on.
func (o *portalOffice) Lockdowns(ctx context.Context) ([]web.Lockdown, error) {
	rows, err := o.state.Store.Lockdowns(ctx)
	var all []web.Lockdown
	for _, row := range rows {
		l := Lockdown{Scope: string(row.Kind), Name: row.Name}
		all = append(all, web.Lockdown{Scope: l.Words(), Lift: l.Lift(), Since: row.Since, By: row.By})
	}
	return all, err
}

// Sessions gives all live sessions.
func (o *portalOffice) Sessions() []session.Info { return o.sessions.List() }

// CutSession ends one live session.
func (o *portalOffice) CutSession(_ context.Context, id, by string) error {
	match := func(i session.Info) bool { return i.ID == id }
	if o.sessions.Count(match) == 0 {
		return web.ErrNotThere
	}
	_, err := o.cut("session "+id, by, match)
	return err
}

// CutLogin ends all live sessions of a login.
func (o *portalOffice) CutLogin(_ context.Context, login, by string) (int, error) {
	mapping, known := o.directory.Lookup(login)
	if !known {
		return 0, web.ErrNotThere
	}
	return o.cut("login "+mapping.Login, by, ofLogin(mapping.Login))
}

func (o *portalOffice) cut(what, by string, match func(session.Info) bool) (int, error) {
	return cutSessions(o.sessions, o.state.Audit, what, by, match)
}

func ofLogin(login string) func(session.Info) bool {
	return func(i session.Info) bool { return i.Login == login }
}

// Factors gives the second factors of the person behind a login.
func (o *portalOffice) Factors(ctx context.Context, login string) ([]factor.Factor, error) {
	owner, there, err := o.owner(ctx, login)
	if err != nil || !there {
		return nil, err
	}
	return factorStore{o.state.Store}.Factors(ctx, owner)
}

// ResetFactors removes the second factors of the person behind a login.
func (o *portalOffice) ResetFactors(ctx context.Context, login, by string) (int, error) {
	_, there, err := o.owner(ctx, login)
	if err == nil && !there {
		err = web.ErrNotThere
	}
	if err != nil {
		return 0, err
	}
	_, n, err := o.admin(by).ResetFactors(ctx, login)
	return n, err
}

// owner finds the person behind a login, if there is one who has signed in.
func (o *portalOffice) owner(ctx context.Context, login string) (owner factor.Person, there bool, err error) {
	mapping, known := o.directory.Lookup(login)
	if !known {
		return owner, false, web.ErrNotThere
	}
	if mapping.Account.Grant == token.Application {
		return owner, false, nil
	}
	enrolment, enrolled, err := tokenStore{o.state.Store}.find(ctx, mapping.Account)
	return factor.Person{TenantID: enrolment.Identity.TenantID, ObjectID: enrolment.Identity.ObjectID}, enrolled, err
}

// Forecast says what will stop.
func (o *portalOffice) Forecast(ctx context.Context, until time.Time) ([]web.Stop, error) {
	stops, err := o.admin("").Forecast(ctx, o.now(), until)
	all := make([]web.Stop, len(stops))
	for i, s := range stops {
		all[i] = web.Stop(s)
	}
	return all, err
}

// Events searches the audit log.
func (o *portalOffice) Events(ctx context.Context, wanted audit.Query) (entries []audit.Entry, found audit.Found, err error) {
	found, err = audit.Search(ctx, o.config.AuditFile, wanted, func(e audit.Entry) bool {
		entries = append(entries, e)
		return true
	})
	return entries, found, err
}

// RecordExport notes that events are handed out.
func (o *portalOffice) RecordExport(count int, filter, by string) error {
	return o.state.Audit.Record(audit.EventsExported{Count: count, Filter: filter, By: by})
}
