package web

import (
	"net/http"

	"postern/internal/audit"
)

// signOut ends the session of the browser.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request) {
	err := p.config.Audit.Record(audit.PortalSignOut{By: actor(r)})
	if err == nil {
		err = p.sessions.store.EndPortalSession(r.Context(), hashOf(visitOf(r).cookie))
	}
	p.signedOut(w, r, err)
}

// signOutEverywhere ends all sessions of the person, in whatever browser.
func (p *Portal) signOutEverywhere(w http.ResponseWriter, r *http.Request) {
	who := personOf(r)
	err := p.config.Audit.Record(audit.PortalSignOut{Everywhere: true, By: actor(r)})
	if err == nil {
		_, err = p.sessions.store.EndPortalSessions(r.Context(), who.Provider, who.TenantID, who.ObjectID)
	}
	p.signedOut(w, r, err)
}

func (p *Portal) signedOut(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		p.unavailable(w, r, "signing out", err)
		return
	}
	setCookie(w, sessionCookie, "")
	redirect(w, r, "/signin?out")
}

// portalRefused is the event of a request that a role does not allow.
func portalRefused(r *http.Request, needed Permission) audit.PortalRefused {
	return audit.PortalRefused{Permission: string(needed), Method: r.Method, Path: r.URL.Path, By: actor(r)}
}
