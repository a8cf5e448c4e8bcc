package web

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/session"
)

// memoryDesk is a desk in memory. Alice has a login of her own and a shared mailbox; Bob has one login.
type memoryDesk struct {
	h *harness

	mu       sync.Mutex
	logins   map[string][]Login // object id → logins
	records  []apppassword.Record
	sessions []session.Info
	entries  []audit.Entry
	found    audit.Found
	doors    []Door
	issued   int
	fault    error
}

func newMemoryDesk(h *harness) *memoryDesk {
	person := &config.Policy{Name: "person", Protocols: []string{"imap", "smtp"}}
	login := func(name, account string) Login {
		return Login{Mapping: auth.Mapping{Login: name, Mailbox: name, Policy: person,
			Account: token.Account{Provider: "contoso", Grant: token.Delegated, Name: account}}}
	}
	return &memoryDesk{
		h: h,
		logins: map[string][]Login{
			alice.ObjectID: {login(alice.Username, alice.Username)},
			bob.ObjectID:   {login(bob.Username, bob.Username)},
		},
		found: audit.Found{Whole: true},
		doors: []Door{
			{Protocol: "smtp", TLS: config.StartTLS, Host: "mail.contoso.example", Port: "587"},
			{Protocol: "smtp", TLS: config.Optional, Host: "mail.contoso.example", Port: "25", Address: "10.0.8.2", LegacyTLS: true,
				Networks: []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}},
			{Protocol: "smtp", TLS: config.Implicit, Host: "mail.contoso.example", Port: "465"},
			{Protocol: "imap", TLS: config.Implicit, Host: "mail.contoso.example", Port: "993"},
		},
	}
}

// policy is the policy of a person's first login, for tests to change.
func (d *memoryDesk) policy(who Person) *config.Policy { return d.logins[who.ObjectID][0].Policy }

func (d *memoryDesk) owns(who Person, login string) bool {
	return slices.ContainsFunc(d.logins[who.ObjectID], func(l Login) bool { return l.Login == login })
}

func (d *memoryDesk) Logins(_ context.Context, who Person) ([]Login, error) {
	return slices.Clone(d.logins[who.ObjectID]), d.fault
}

func (d *memoryDesk) Passwords(_ context.Context, who Person) ([]apppassword.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var mine []apppassword.Record
	for _, r := range d.records {
		if d.owns(who, r.Login) {
			mine = append(mine, r)
		}
	}
	return mine, d.fault
}

func (d *memoryDesk) Issue(_ context.Context, who Person, n NewPassword, e Evidence, by string) (apppassword.Record, secret.Text, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.owns(who, n.Login) {
		return apppassword.Record{}, secret.Text{}, ErrNotThere
	}
	if d.fault != nil {
		return apppassword.Record{}, secret.Text{}, d.fault
	}
	d.issued++
	r := apppassword.Record{
		ID: fmt.Sprintf("id%d", d.issued), Login: n.Login, Label: n.Label, Protocols: n.Protocols, Networks: n.Networks, ReadOnly: n.ReadOnly,
		Created: d.h.clock.Now(), Expires: n.Expires, Evidence: apppassword.Evidence{Method: e.Method, By: who.Username, At: e.At},
	}
	d.records = append(d.records, r)
	err := d.h.audit.Record(audit.PasswordIssued{ID: r.ID, Login: r.Login, Label: r.Label, By: by})
	return r, secret.New(fmt.Sprintf("abcd-efgh-jkmn-%04d", d.issued)), err
}

func (d *memoryDesk) find(who Person, id string) (*apppassword.Record, error) {
	for i := range d.records {
		if d.records[i].ID == id && d.owns(who, d.records[i].Login) {
			return &d.records[i], d.fault
		}
	}
	return nil, ErrNotThere
}

func (d *memoryDesk) Renew(_ context.Context, who Person, id string, e Evidence, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.find(who, id)
	if err == nil {
		r.Evidence.Method, r.Evidence.At = e.Method, e.At
		err = d.h.audit.Record(audit.PasswordRenewed{ID: id, By: by})
	}
	return err
}

func (d *memoryDesk) Revoke(_ context.Context, who Person, id, by string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.find(who, id)
	if err != nil {
		return 0, err
	}
	r.Revoked = d.h.clock.Now()
	open := len(d.sessions)
	return open, d.h.audit.Record(audit.PasswordRevoked{ID: id, By: by})
}

func (d *memoryDesk) Sessions(_ context.Context, who Person) ([]session.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.sessions), func(i session.Info) bool { return !d.owns(who, i.Login) }), d.fault
}

func (d *memoryDesk) Cut(_ context.Context, who Person, id, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.sessions, func(i session.Info) bool { return i.ID == id && d.owns(who, i.Login) })
	if i < 0 {
		return ErrNotThere
	}
	d.sessions = slices.Delete(d.sessions, i, i+1)
	return d.h.audit.Record(audit.SessionsCut{What: "session " + id, By: by})
}

func (d *memoryDesk) Activity(_ context.Context, _ Person, kinds []string) ([]audit.Entry, audit.Found, error) {
	other := func(e audit.Entry) bool { return !slices.Contains(kinds, e.Kind) }
	return slices.DeleteFunc(slices.Clone(d.entries), other), d.found, d.fault
}

func (d *memoryDesk) Doors() []Door { return d.doors }
