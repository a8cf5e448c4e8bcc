package web

import (
	"net/http"

	"rsc.io/qr"

	"postern/auth/factor"
	"postern/internal/secret"
)

// beginTOTP makes a key for an authenticator, and shows it on a page that may be reloaded.
func (p *Portal) beginTOTP(w http.ResponseWriter, r *http.Request) {
	if err := p.config.Factors.BeginTOTP(r.Context(), p.factorActor(r)); err != nil {
		p.factorTrouble(w, r, "beginning with an authenticator", err, factorsPath(r))
		return
	}
	redirect(w, r, pendingPath(r))
}

// pendingKey is what the page with a new key shows.
type pendingKey struct {
	Key     string // the person types it
	Return  string
	Name    string // typed before
	Problem string // a Reason why the last try was refused
}

// pendingTOTP shows the key that is to be put into an authenticator, and asks for a code of it.
func (p *Portal) pendingTOTP(w http.ResponseWriter, r *http.Request) {
	p.showPending(w, r, http.StatusOK, "")
}

func (p *Portal) showPending(w http.ResponseWriter, r *http.Request, status int, problem factor.Reason) {
	key, err := p.config.Factors.PendingTOTP(r.Context(), p.factorActor(r))
	if err != nil {
		p.factorTrouble(w, r, "showing the key of an authenticator", err, factorsPath(r))
		return
	}
	// The key is for its owner's eyes, on this page and until a code of it was given.
	p.pageStatus(w, r, status, "factor_totp", pendingKey{Key: key.Key.Reveal(), Return: back(r, ""), Name: r.PostFormValue("name"), Problem: string(problem)})
}

// totpCode draws the same key as a QR code. It is a picture of its own, since the content policy lets no data into pages.
func (p *Portal) totpCode(w http.ResponseWriter, r *http.Request) {
	key, err := p.config.Factors.PendingTOTP(r.Context(), p.factorActor(r))
	if err != nil {
		p.factorTrouble(w, r, "showing the key of an authenticator", err, factorsPath(r))
		return
	}
	code, err := qr.Encode(key.URI.Reveal(), qr.M)
	if err != nil {
		p.unavailable(w, r, "drawing a QR code", err)
		return
	}
	code.Scale = 6
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(code.PNG()) // an error means that the browser has gone
}

// finishTOTP enrols the authenticator, once it shows the right code.
func (p *Portal) finishTOTP(w http.ResponseWriter, r *http.Request) {
	_, proof, err := p.config.Factors.FinishTOTP(r.Context(), p.factorActor(r), r.PostFormValue("name"), secret.New(r.PostFormValue("code")))
	switch reason := factor.ReasonOf(err); {
	case reason == factor.WrongCode, reason == factor.BadName:
		p.showPending(w, r, http.StatusUnprocessableEntity, reason)
	case err != nil:
		p.factorTrouble(w, r, "enrolling an authenticator", err, factorsPath(r))
	default:
		p.proved(w, r, proof, back(r, "/factors?done=enrolled"))
	}
}

// factorsPath is the list of factors, and pendingPath the page with a new key, from which one goes on to where the request
// says.
func factorsPath(r *http.Request) string { return keepReturn(r, "/factors") }
func pendingPath(r *http.Request) string { return keepReturn(r, "/factors/totp") }

func keepReturn(r *http.Request, path string) string {
	if wanted := r.FormValue("return"); wanted != "" {
		return withQuery(path, "return", returnPath(wanted))
	}
	return path
}
