package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/session"
)

const (
	// loginEvents is how many recent events the page of a login shows, and loginEventBytes how much of the audit log is
	// looked through for them.
	loginEvents     = 20
	loginEventBytes = 8 << 20
)

// loginPage is what the page of one login shows.
type loginPage struct {
	Overview
	Told     string
	Current  []passwordView
	Over     []passwordView
	Sessions []session.Info
	Factors  []factor.Factor
	Settings []config.Setting // none for who may not see policies
	Events   []eventLine
	Whole    bool // the whole audit log was looked through for them
	Issuable bool // an app password can be issued for it here
}

// loginPath is the page of a login.
func loginPath(login string) string { return "/admin/login?" + url.Values{"name": {login}}.Encode() }

// officeLogin shows one login.
func (p *Portal) officeLogin(w http.ResponseWriter, r *http.Request) {
	login, ok := p.overview(w, r, r.URL.Query().Get("name"))
	if !ok {
		return
	}
	page := loginPage{Overview: login, Told: p.told(r)}
	if err := p.fillLogin(r, &page); err != nil {
		p.unavailable(w, r, "reading a login", err)
		return
	}
	p.page(w, r, "office_login", page)
}

// overview finds a login; where there is none it answers that.
func (p *Portal) overview(w http.ResponseWriter, r *http.Request, name string) (Overview, bool) {
	login, err := p.config.Office.Login(r.Context(), name)
	switch {
	case errors.Is(err, ErrNotThere):
		p.notFound(w, r)
	case err != nil:
		p.unavailable(w, r, "reading a login", err)
	}
	return login, err == nil
}

// fillLogin fills in what the role of who looks may see.
func (p *Portal) fillLogin(r *http.Request, page *loginPage) error {
	role, office, name := personOf(r).Role, p.config.Office, page.Login.Login
	records, err := office.Passwords(r.Context(), name)
	if err != nil {
		return err
	}
	for _, record := range records {
		if v := viewOf(record, page.Login, p.now()); v.Over {
			page.Over = append(page.Over, v)
		} else {
			page.Current = append(page.Current, v)
		}
	}
	page.Sessions = slices.DeleteFunc(office.Sessions(), func(i session.Info) bool { return i.Login != name })
	page.Issuable = page.Device() && provable(page.Policy.MFA)
	if page.Factors, err = office.Factors(r.Context(), name); err != nil {
		return err
	}
	if role.May(SeePolicies) {
		page.Settings = page.Policy.Settings()
	}
	if !role.May(SeeEvents) {
		return nil
	}
	about := audit.Who{Logins: []string{name}}
	if !page.Device() {
		about.Accounts = []string{page.Account.Name}
	}
	entries, found, err := office.Events(r.Context(), audit.Query{Who: about, Limit: loginEvents, MaxBytes: loginEventBytes})
	page.Events, page.Whole = eventLines(entries), found.Whole
	return err
}
