package web

import (
	"net/http"
	"slices"
)

// createPage asks what a new app password shall be. Who has not given a second factor just now gives it first, so that
// nobody fills in a form for nothing.
func (p *Portal) createPage(w http.ResponseWriter, r *http.Request) {
	logins, err := p.config.Desk.Logins(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	logins = slices.DeleteFunc(logins, func(l Login) bool { return !provable(l.Policy.MFA) })
	name := r.URL.Query().Get("login")
	switch {
	case len(logins) == 0:
		redirect(w, r, "/passwords")
		return
	case name == "" && len(logins) > 1:
		p.page(w, r, "which", logins)
		return
	case name == "":
		name = logins[0].Login
	}
	i := slices.IndexFunc(logins, func(l Login) bool { return l.Login == name })
	if i < 0 {
		p.notFound(w, r)
		return
	}
	p.askFor(w, r, logins[i], p.ownCounter())
}

// create issues an app password for a login of the person's own.
func (p *Portal) create(w http.ResponseWriter, r *http.Request) {
	logins, err := p.config.Desk.Logins(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	i := slices.IndexFunc(logins, func(l Login) bool { return l.Login == r.PostFormValue("login") })
	if i < 0 {
		p.notFound(w, r)
		return
	}
	p.takeOrder(w, r, logins[i], p.ownCounter())
}

// issuedPage shows a new app password of the person's own, once.
func (p *Portal) issuedPage(w http.ResponseWriter, r *http.Request) { p.showOnce(w, r, p.ownCounter()) }
