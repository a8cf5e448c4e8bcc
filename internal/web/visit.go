package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// require lets a request through to a handler when its sender is signed in and has a role with the permission. Others
// are sent to sign in, or told that they may not.
func (p *Portal) require(needed Permission, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, found, err := p.visit(r)
		switch {
		case err != nil:
			p.unavailable(w, r, "reading the session", err)
		case !found && r.Method == http.MethodGet:
			redirect(w, r, "/signin?"+url.Values{"return": {r.URL.RequestURI()}}.Encode())
		case !found:
			redirect(w, r, "/signin")
		case !v.person.Role.May(needed):
			p.forbid(w, withVisit(r, v), needed)
		default:
			handler(w, withVisit(r, v))
		}
	}
}

// welcome lets everybody through to a handler, which finds out who is signed in, if anybody is.
func (p *Portal) welcome(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, _, err := p.visit(r)
		if err != nil {
			p.unavailable(w, r, "reading the session", err)
			return
		}
		handler(w, withVisit(r, v))
	}
}

// visit finds the session of a request.
func (p *Portal) visit(r *http.Request) (visit, bool, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return visit{}, false, nil
	}
	c, found, err := p.sessions.find(r.Context(), cookie.Value)
	if !found || err != nil {
		return visit{}, false, err
	}
	c.Person.Role = p.roleOf(c.Person, remote(r))
	return visit{person: c.Person, cookie: cookie.Value}, true, nil
}

// stepUp adds evidence to the session of a request, which gets a new key (ASVS 7.2.4).
func (p *Portal) stepUp(w http.ResponseWriter, r *http.Request, e Evidence) error {
	key, err := p.sessions.renew(r.Context(), visitOf(r).cookie, func(c *content) { c.Person.prove(e) })
	if err == nil {
		setCookie(w, sessionCookie, key)
	}
	return err
}

// remember keeps a value under a name in the session of a request, for ten minutes, in the place of an earlier one. It is
// kept sealed, so that it may be a secret.
func (p *Portal) remember(r *http.Request, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return p.sessions.change(r.Context(), visitOf(r).cookie, func(c *content) {
		if c.Notes == nil {
			c.Notes = make(map[string]note)
		}
		c.Notes[name] = note{Until: p.now().Add(noteLife), Value: text}
	})
}

// recall takes a value out of the session of a request; a second time it is not there any more. It reports whether there
// was one.
func (p *Portal) recall(r *http.Request, name string, into any) (found bool, err error) {
	var taken note
	err = p.sessions.change(r.Context(), visitOf(r).cookie, func(c *content) {
		taken = c.Notes[name]
		delete(c.Notes, name)
	})
	if err != nil || taken.Value == nil || !p.now().Before(taken.Until) {
		return false, err
	}
	return true, json.Unmarshal(taken.Value, into)
}

// returnPath gives the page of ours that a request wants to come back to, or the first page. Anything that a browser
// might take for another site is not a page of ours (threat model I-39).
func returnPath(wanted string) string {
	if !strings.HasPrefix(wanted, "/") || strings.HasPrefix(wanted, "//") || strings.ContainsAny(wanted, "\\\r\n\t") {
		return "/"
	}
	u, err := url.Parse(wanted)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, "/sign") {
		return "/"
	}
	return u.RequestURI()
}
