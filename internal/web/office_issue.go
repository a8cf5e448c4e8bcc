package web

import (
	"net/http"
	"net/url"
	"slices"

	"postern/auth/apppassword"
)

// officeCounter issues for a device login.
func (p *Portal) officeCounter(login string) counter {
	return counter{form: "/admin/issue", issued: "/admin/issued?" + url.Values{"login": {login}}.Encode(), note: "issued for " + login,
		list: loginPath(login), device: true, issue: p.config.Office.Issue,
		find: func(r *http.Request, s shown) (apppassword.Record, Login, error) {
			records, err := p.config.Office.Passwords(r.Context(), login)
			if err != nil {
				return apppassword.Record{}, Login{}, err
			}
			i := slices.IndexFunc(records, func(record apppassword.Record) bool { return record.ID == s.ID })
			if i < 0 {
				return apppassword.Record{}, Login{}, ErrNotThere
			}
			overview, err := p.config.Office.Login(r.Context(), login)
			return records[i], overview.Login, err
		}}
}

// device finds a device login for which an app password can be issued here; where it is none it answers that.
func (p *Portal) device(w http.ResponseWriter, r *http.Request, name string) (Overview, bool) {
	login, ok := p.overview(w, r, name)
	switch {
	case !ok:
	case !login.Device():
		p.done(w, r, "issuing an app password", ErrNotDevice)
	case !provable(login.Policy.MFA):
		redirect(w, r, loginPath(login.Login.Login)) // which says so
	default:
		return login, true
	}
	return Overview{}, false
}

// officeIssuePage asks what a new app password of a device shall be.
func (p *Portal) officeIssuePage(w http.ResponseWriter, r *http.Request) {
	if login, ok := p.device(w, r, r.URL.Query().Get("login")); ok {
		p.askFor(w, r, login.Login, p.officeCounter(login.Login.Login))
	}
}

// officeIssue issues it.
func (p *Portal) officeIssue(w http.ResponseWriter, r *http.Request) {
	if login, ok := p.device(w, r, r.PostFormValue("login")); ok {
		p.takeOrder(w, r, login.Login, p.officeCounter(login.Login.Login))
	}
}

// officeIssued shows it, once.
func (p *Portal) officeIssued(w http.ResponseWriter, r *http.Request) {
	if login, ok := p.overview(w, r, r.URL.Query().Get("login")); ok {
		p.showOnce(w, r, p.officeCounter(login.Login.Login))
	}
}

// officeRenew puts fresh evidence behind an app password of a device.
func (p *Portal) officeRenew(w http.ResponseWriter, r *http.Request) {
	login, ok := p.device(w, r, r.PostFormValue("login"))
	if !ok {
		return
	}
	page := loginPath(login.Login.Login)
	proof, ok := p.proven(w, r, login.Policy.MFA, page)
	if !ok {
		return
	}
	records, err := p.config.Office.Passwords(r.Context(), login.Login.Login)
	if err == nil && !slices.ContainsFunc(records, func(record apppassword.Record) bool { return record.ID == r.PathValue("id") }) {
		err = ErrNotThere
	}
	if err == nil {
		err = p.config.Office.Renew(r.Context(), personOf(r), r.PathValue("id"), proof, actor(r))
	}
	if p.done(w, r, "renewing the evidence of an app password", err) {
		p.tell(w, r, page, "office.told.renewed", 1)
	}
}

// officeRenewAll puts fresh evidence behind every suspended app password of a device whose policy takes what was proved.
func (p *Portal) officeRenewAll(w http.ResponseWriter, r *http.Request) {
	all, err := p.config.Office.Logins(r.Context())
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	renewed := 0
	for _, login := range all {
		if !login.Device() || login.Suspended == 0 || !provable(login.Policy.MFA) {
			continue
		}
		proof, ok := p.proven(w, r, login.Policy.MFA, "/admin?show=suspended")
		if !ok {
			return
		}
		n, err := p.renewSuspended(r, login, proof)
		renewed += n
		if !p.done(w, r, "renewing the evidence of app passwords", err) {
			return
		}
	}
	p.tell(w, r, "/admin", "office.told.renewed", renewed)
}

// renewSuspended renews the suspended app passwords of a login.
func (p *Portal) renewSuspended(r *http.Request, login Overview, proof Evidence) (renewed int, err error) {
	records, err := p.config.Office.Passwords(r.Context(), login.Login.Login)
	if err != nil {
		return 0, err
	}
	for _, record := range records {
		mfa := login.Policy.MFA
		if !record.InForce(p.now()) || mfa.Accepts(record.Evidence.Method) && !mfa.Aged(record.Evidence.At, p.now()) {
			continue
		}
		if err := p.config.Office.Renew(r.Context(), personOf(r), record.ID, proof, actor(r)); err != nil {
			return renewed, err
		}
		renewed++
	}
	return renewed, nil
}
