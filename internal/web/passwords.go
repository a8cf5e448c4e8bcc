package web

import (
	"errors"
	"net/http"
	"slices"

	"postern/internal/config"
)

// deskRoutes are the pages about one's own things.
func (p *Portal) deskRoutes() {
	p.handle("GET /passwords", OwnLogins, p.passwordsPage)
	p.handle("GET /passwords/new", OwnLogins, p.createPage)
	p.handle("POST /passwords/new", OwnLogins, p.create)
	p.handle("GET /passwords/issued", OwnLogins, p.issuedPage)
	p.handle("GET /passwords/renew", OwnLogins, p.renewPage)
	p.handle("POST /passwords/renew", OwnLogins, p.renew)
	p.handle("GET /passwords/{id}", OwnLogins, p.passwordPage)
	p.handle("GET /passwords/{id}/revoke", OwnLogins, p.revokePage)
	p.handle("POST /passwords/{id}/revoke", OwnLogins, p.revoke)

	p.handle("GET /sessions", OwnLogins, p.sessionsPage)
	p.handle("POST /sessions/{id}/cut", OwnLogins, p.cutSession)
	p.handle("GET /activity", OwnLogins, p.activityPage)
}

// passwordList is what the page of one's app passwords shows.
type passwordList struct {
	Told      string
	Logins    []Login
	Current   []passwordView
	Over      []passwordView // revoked and expired
	Renewable int            // of Current, how many a second factor brings back or keeps
	Several   bool           // the person has several logins: the page says whose a password is
	Creatable bool           // there is a login for which the portal can issue
}

// passwordsPage lists the person's app passwords.
func (p *Portal) passwordsPage(w http.ResponseWriter, r *http.Request) {
	logins, all, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	list := passwordList{Told: p.told(r), Logins: logins, Several: len(logins) > 1,
		Creatable: slices.ContainsFunc(logins, func(l Login) bool { return provable(l.Policy.MFA) })}
	for _, v := range all {
		switch {
		case v.Over:
			list.Over = append(list.Over, v)
		default:
			list.Current = append(list.Current, v)
		}
		if v.Renewable {
			list.Renewable++
		}
	}
	p.page(w, r, "passwords", list)
}

// passwordsOf gives the logins and the app passwords of who sent a request.
func (p *Portal) passwordsOf(r *http.Request) ([]Login, []passwordView, error) {
	logins, err := p.config.Desk.Logins(r.Context(), personOf(r))
	if err != nil {
		return nil, nil, err
	}
	records, err := p.config.Desk.Passwords(r.Context(), personOf(r))
	if err != nil {
		return nil, nil, err
	}
	var all []passwordView
	for _, record := range records {
		if i := slices.IndexFunc(logins, func(l Login) bool { return l.Login == record.Login }); i >= 0 {
			all = append(all, viewOf(record, logins[i], p.now()))
		}
	}
	return logins, all, nil
}

// passwordDetails is what the page of one app password shows.
type passwordDetails struct {
	passwordView
	Told   string
	Login  Login
	Sheets []sheet
}

// Secret is what the sheets of a password have that is there already: nothing.
func (passwordDetails) Secret() string { return "" }

// passwordOf finds the app password that a request names; where there is none of the person's, it answers that.
func (p *Portal) passwordOf(w http.ResponseWriter, r *http.Request) (passwordDetails, bool) {
	logins, all, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return passwordDetails{}, false
	}
	i := slices.IndexFunc(all, func(v passwordView) bool { return v.ID == r.PathValue("id") })
	if i < 0 {
		p.notFound(w, r)
		return passwordDetails{}, false
	}
	login := loginOf(all[i], logins)
	return passwordDetails{passwordView: all[i], Login: login, Sheets: sheets(all[i].Record, login, p.config.Desk.Doors())}, true
}

// passwordPage shows one app password, and how to set up a device with it.
func (p *Portal) passwordPage(w http.ResponseWriter, r *http.Request) {
	if details, ok := p.passwordOf(w, r); ok {
		details.Told = p.told(r)
		p.page(w, r, "password", details)
	}
}

// revokePage asks whether an app password is really to be revoked.
func (p *Portal) revokePage(w http.ResponseWriter, r *http.Request) {
	if details, ok := p.passwordOf(w, r); ok {
		p.page(w, r, "revoke", details)
	}
}

// revoke revokes an app password.
func (p *Portal) revoke(w http.ResponseWriter, r *http.Request) {
	details, ok := p.passwordOf(w, r)
	if !ok {
		return
	}
	cut, err := p.config.Desk.Revoke(r.Context(), personOf(r), details.ID, actor(r))
	switch {
	case errors.Is(err, ErrNotThere):
		p.notFound(w, r)
	case err != nil:
		p.unavailable(w, r, "revoking an app password", err)
	case cut == 0:
		p.tell(w, r, "/passwords", "passwords.told.revoked", details.Label)
	default:
		p.tell(w, r, "/passwords", "passwords.told.revoked-cut", details.Label, cut)
	}
}

// renew puts fresh evidence behind every app password of the person that needs it. Where a second factor is missing for
// some, the person is asked for it, and comes back to [Portal.renewPage].
func (p *Portal) renew(w http.ResponseWriter, r *http.Request) {
	logins, all, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	renewed := 0
	var missing *config.MFA
	for _, v := range all {
		if !v.Renewable {
			continue
		}
		mfa := loginOf(v, logins).Policy.MFA
		proof, found, err := p.freshProof(r, mfa)
		if err == nil && found {
			err = p.config.Desk.Renew(r.Context(), personOf(r), v.ID, proof, actor(r))
			renewed++
		}
		if err != nil {
			p.unavailable(w, r, "renewing the evidence of an app password", err)
			return
		}
		if !found {
			missing = &mfa
		}
	}
	if missing != nil {
		redirect(w, r, provePath(*missing, "/passwords/renew"))
		return
	}
	p.tell(w, r, "/passwords", "passwords.told.renewed", renewed)
}

// loginOf gives the login of an app password, which is among logins.
func loginOf(v passwordView, logins []Login) Login {
	return logins[slices.IndexFunc(logins, func(l Login) bool { return l.Login == v.Record.Login })]
}

// renewPage says what renewing does, with the button for it.
func (p *Portal) renewPage(w http.ResponseWriter, r *http.Request) {
	_, all, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	all = slices.DeleteFunc(all, func(v passwordView) bool { return !v.Renewable })
	if len(all) == 0 {
		redirect(w, r, "/passwords")
		return
	}
	p.page(w, r, "renew", all)
}
