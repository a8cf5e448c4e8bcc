package web

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/session"
)

// memoryOffice is an office in memory: two copiers, the second of them locked, Alice, and Dora who needs a sign-in.
type memoryOffice struct {
	h *harness

	mu       sync.Mutex
	logins   []Overview
	records  []apppassword.Record
	sessions []session.Info
	factors  map[string][]factor.Factor // login → factors
	stops    []Stop
	down     []Lockdown
	entries  []audit.Entry
	found    audit.Found
	asked    audit.Query // the last one
	issued   int
	fault    error
}

func newMemoryOffice(h *harness) *memoryOffice {
	device := &config.Policy{Name: "device", Protocols: []string{"smtp"}}
	person := &config.Policy{Name: "person", Protocols: []string{"imap", "smtp"}}
	login := func(name, mailbox, account string, policy *config.Policy) Overview {
		grant := token.Delegated
		if account == "" {
			grant = token.Application
		}
		return Overview{Login: Login{Mapping: auth.Mapping{Login: name, Mailbox: mailbox, Policy: policy, Rule: auth.Rule{Line: 31},
			Account: token.Account{Provider: "contoso", Grant: grant, Name: account}}}}
	}
	o := &memoryOffice{h: h, found: audit.Found{Whole: true}, factors: make(map[string][]factor.Factor)}
	o.logins = []Overview{
		login("copier-3", "scans@contoso.example", "", device), login("copier-4", "scans@contoso.example", "", device),
		login(alice.Username, alice.Username, alice.Username, person), login("dora@contoso.example", "dora@contoso.example", "dora@contoso.example", person),
	}
	o.logins[1].Locked, o.logins[1].Lock = true, Lock{Since: start, By: "root", Reason: "stolen"}
	o.logins[3].NeedsSignIn, o.logins[3].Reason, o.logins[3].Since = true, "the password was changed", start
	return o
}

// password puts an app password into the office.
func (o *memoryOffice) password(login, id string, change func(*apppassword.Record)) {
	r := apppassword.Record{ID: id, Login: login, Label: "Copier, 2nd floor", Protocols: []string{"smtp"}, Created: start,
		Evidence: apppassword.Evidence{Method: "totp", By: root.Username, At: start}}
	if change != nil {
		change(&r)
	}
	o.records = append(o.records, r)
}

func (o *memoryOffice) Lockdowns(context.Context) ([]Lockdown, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down, o.fault
}

func (o *memoryOffice) Logins(context.Context) ([]Overview, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(o.logins)
	for i := range all {
		o.count(&all[i])
	}
	return all, o.fault
}

// count counts the app passwords of a login.
func (o *memoryOffice) count(l *Overview) {
	now := o.h.clock.Now()
	for _, r := range o.records {
		if r.Login != l.Login.Login || !r.InForce(now) {
			continue
		}
		l.Passwords++
		if mfa := l.Policy.MFA; !mfa.Accepts(r.Evidence.Method) || mfa.Aged(r.Evidence.At, now) {
			l.Suspended++
		}
	}
}

// at finds the place of a login; the caller holds the lock.
func (o *memoryOffice) at(name string) (int, error) {
	i := slices.IndexFunc(o.logins, func(l Overview) bool { return l.Login.Login == auth.Canonical(name) })
	if o.fault != nil {
		return 0, o.fault
	}
	if i < 0 {
		return 0, ErrNotThere
	}
	return i, nil
}

func (o *memoryOffice) Login(_ context.Context, name string) (Overview, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, err := o.at(name)
	if err != nil {
		return Overview{}, err
	}
	l := o.logins[i]
	o.count(&l)
	return l, nil
}

func (o *memoryOffice) Passwords(_ context.Context, login string) ([]apppassword.Record, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	others := func(r apppassword.Record) bool { return r.Login != login }
	return slices.DeleteFunc(slices.Clone(o.records), others), o.fault
}

func (o *memoryOffice) Issue(_ context.Context, who Person, n NewPassword, e Evidence, by string) (apppassword.Record, secret.Text, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, err := o.at(n.Login)
	if err == nil && !o.logins[i].Device() {
		err = ErrNotDevice
	}
	if err == nil {
		err = o.h.audit.Record(audit.PasswordIssued{ID: "new", Login: n.Login, Label: n.Label, Evidence: e.Method, By: by})
	}
	if err != nil {
		return apppassword.Record{}, secret.Text{}, err
	}
	o.issued++
	r := apppassword.Record{ID: fmt.Sprintf("new%d", o.issued), Login: n.Login, Label: n.Label, Protocols: n.Protocols, Networks: n.Networks, LegacyTLS: n.LegacyTLS,
		Created: o.h.clock.Now(), Expires: n.Expires, Evidence: apppassword.Evidence{Method: e.Method, By: who.Username, At: e.At}}
	o.records = append(o.records, r)
	return r, secret.New(fmt.Sprintf("wxyz-efgh-jkmn-%04d", o.issued)), nil
}

// record finds an app password; the caller holds the lock.
func (o *memoryOffice) record(id string) (*apppassword.Record, error) {
	i := slices.IndexFunc(o.records, func(r apppassword.Record) bool { return r.ID == id })
	if i < 0 {
		return nil, ErrNotThere
	}
	return &o.records[i], o.fault
}

func (o *memoryOffice) Renew(_ context.Context, who Person, id string, e Evidence, by string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, err := o.record(id)
	if err != nil {
		return err
	}
	if i, err := o.at(r.Login); err != nil || !o.logins[i].Device() {
		return ErrNotDevice
	}
	if err := o.h.audit.Record(audit.PasswordRenewed{ID: id, Login: r.Login, Evidence: e.Method, By: by}); err != nil {
		return err
	}
	r.Evidence = apppassword.Evidence{Method: e.Method, By: who.Username, At: e.At}
	return nil
}

func (o *memoryOffice) Revoke(_ context.Context, id, by string) (apppassword.Record, int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, err := o.record(id)
	if err != nil {
		return apppassword.Record{}, 0, err
	}
	if err := o.h.audit.Record(audit.PasswordRevoked{ID: id, Login: r.Login, By: by}); err != nil {
		return apppassword.Record{}, 0, err
	}
	r.Revoked = o.h.clock.Now()
	return *r, 1, nil
}

func (o *memoryOffice) Lock(_ context.Context, login, reason, by string) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, err := o.at(login)
	if err != nil {
		return 0, err
	}
	if err := o.h.audit.Record(audit.LoginLocked{Login: login, Reason: reason, By: by}); err != nil {
		return 0, err
	}
	o.logins[i].Locked, o.logins[i].Lock = true, Lock{Since: o.h.clock.Now(), By: by, Reason: reason}
	return 2, nil
}

func (o *memoryOffice) Unlock(_ context.Context, login, by string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, err := o.at(login)
	if err == nil {
		err = o.h.audit.Record(audit.LoginUnlocked{Login: login, By: by})
	}
	if err == nil {
		o.logins[i].Locked, o.logins[i].Lock = false, Lock{}
	}
	return err
}

func (o *memoryOffice) Sessions() []session.Info {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sessions)
}

func (o *memoryOffice) CutSession(_ context.Context, id, by string) error {
	_, err := o.cut("session "+id, by, func(i session.Info) bool { return i.ID == id }, ErrNotThere)
	return err
}

func (o *memoryOffice) CutLogin(_ context.Context, login, by string) (int, error) {
	o.mu.Lock()
	_, err := o.at(login)
	o.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return o.cut("login "+login, by, func(i session.Info) bool { return i.Login == login }, nil)
}

func (o *memoryOffice) cut(what, by string, match func(session.Info) bool, none error) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.sessions)
	if !slices.ContainsFunc(o.sessions, match) && none != nil {
		return 0, none
	}
	if err := o.h.audit.Record(audit.SessionsCut{What: what, By: by}); err != nil {
		return 0, err
	}
	o.sessions = slices.DeleteFunc(o.sessions, match)
	return before - len(o.sessions), nil
}

func (o *memoryOffice) Factors(_ context.Context, login string) ([]factor.Factor, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.factors[login], o.fault
}

func (o *memoryOffice) ResetFactors(_ context.Context, login, by string) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.factors[login])
	if err := o.h.audit.Record(audit.FactorsReset{Account: login, Count: n, By: by}); err != nil {
		return 0, err
	}
	delete(o.factors, login)
	return n, nil
}

func (o *memoryOffice) Forecast(_ context.Context, until time.Time) ([]Stop, error) {
	return slices.DeleteFunc(slices.Clone(o.stops), func(s Stop) bool { return s.At.After(until) }), o.fault
}

func (o *memoryOffice) Events(_ context.Context, wanted audit.Query) ([]audit.Entry, audit.Found, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = wanted
	entries := slices.Clone(o.entries)
	return entries[:min(len(entries), wanted.Limit)], o.found, o.fault
}

func (o *memoryOffice) RecordExport(count int, filter, by string) error {
	return o.h.audit.Record(audit.EventsExported{Count: count, Filter: filter, By: by})
}
