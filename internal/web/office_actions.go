package web

import (
	"errors"
	"net/http"
	"strings"
	"unicode"
)

// maxReason is how long the reason of a lock may be, in bytes.
const maxReason = 200

// lockLogin locks a login.
func (p *Portal) lockLogin(w http.ResponseWriter, r *http.Request) {
	login, ok := p.overview(w, r, r.PostFormValue("login"))
	if !ok {
		return
	}
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if len(reason) > maxReason || strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		p.problem(w, r, http.StatusUnprocessableEntity, "problem.lock-reason", maxReason)
		return
	}
	cut, err := p.config.Office.Lock(r.Context(), login.Login.Login, reason, actor(r))
	if p.done(w, r, "locking a login", err) {
		p.tell(w, r, loginPath(login.Login.Login), "office.told.locked", cut)
	}
}

// unlockLogin takes the lock from a login. It gives access back, so who does it has proved a second factor just now; to take
// access away asks for none, so that nothing stands in the way of an emergency.
func (p *Portal) unlockLogin(w http.ResponseWriter, r *http.Request) {
	login, ok := p.overview(w, r, r.PostFormValue("login"))
	if !ok {
		return
	}
	if _, ok := p.proven(w, r, ownFactors, loginPath(login.Login.Login)); !ok {
		return
	}
	if p.done(w, r, "unlocking a login", p.config.Office.Unlock(r.Context(), login.Login.Login, actor(r))) {
		p.tell(w, r, loginPath(login.Login.Login), "office.told.unlocked")
	}
}

// officeCut ends one live session, or all of a login, and leads back to where the button was.
func (p *Portal) officeCut(w http.ResponseWriter, r *http.Request) {
	cut, err := 1, error(nil)
	if id := r.PostFormValue("session"); id != "" {
		err = p.config.Office.CutSession(r.Context(), id, actor(r))
	} else {
		cut, err = p.config.Office.CutLogin(r.Context(), r.PostFormValue("login"), actor(r))
	}
	if p.done(w, r, "ending sessions", err) {
		p.tell(w, r, back(r, "/admin/sessions"), "office.told.cut", cut)
	}
}

// officeRevoke revokes an app password of anybody.
func (p *Portal) officeRevoke(w http.ResponseWriter, r *http.Request) {
	record, cut, err := p.config.Office.Revoke(r.Context(), r.PathValue("id"), actor(r))
	if p.done(w, r, "revoking an app password", err) {
		p.tell(w, r, loginPath(record.Login), "office.told.revoked", record.Label, cut)
	}
}

// officeResetFactors removes the second factors of the person behind a login. Who does it has proved their own just now:
// it is the way around somebody else's.
func (p *Portal) officeResetFactors(w http.ResponseWriter, r *http.Request) {
	login, ok := p.overview(w, r, r.PostFormValue("login"))
	if !ok {
		return
	}
	if _, ok := p.proven(w, r, ownFactors, loginPath(login.Login.Login)); !ok {
		return
	}
	n, err := p.config.Office.ResetFactors(r.Context(), login.Login.Login, actor(r))
	if p.done(w, r, "resetting second factors", err) {
		p.tell(w, r, loginPath(login.Login.Login), "office.told.factors-reset", n)
	}
}

// done reports whether something was done; where it was not it answers why.
func (p *Portal) done(w http.ResponseWriter, r *http.Request, doing string, err error) bool {
	switch {
	case errors.Is(err, ErrNotThere):
		p.notFound(w, r)
	case errors.Is(err, ErrNotDevice):
		p.problem(w, r, http.StatusForbidden, "problem.not-device")
	case errors.Is(err, ErrTooMany):
		p.problem(w, r, http.StatusConflict, "problem.many-passwords")
	case err != nil:
		p.unavailable(w, r, doing, err)
	}
	return err == nil
}
