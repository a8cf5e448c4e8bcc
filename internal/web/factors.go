package web

import (
	"encoding/hex"
	"net/http"
	"net/url"

	"postern/auth/factor"
)

// factorRoutes are the pages about one's own second factors.
func (p *Portal) factorRoutes() {
	p.handle("GET /factors", OwnLogins, p.factors)
	p.handle("POST /factors/{id}/name", OwnLogins, p.renameFactor)
	p.handle("GET /factors/{id}/remove", OwnLogins, p.askRemoveFactor)
	p.handle("POST /factors/{id}/remove", OwnLogins, p.removeFactor)

	p.handle("POST /factors/totp", OwnLogins, p.beginTOTP)
	p.handle("GET /factors/totp", OwnLogins, p.pendingTOTP)
	p.handle("GET /factors/totp.png", OwnLogins, p.totpCode)
	p.handle("POST /factors/totp/finish", OwnLogins, p.finishTOTP)
	p.handle("POST /factors/passkey/options", OwnLogins, p.passkeyOptions)
	p.handle("POST /factors/passkey", OwnLogins, p.finishPasskey)

	p.handle("GET /factors/prove", OwnLogins, p.prove)
	p.handle("POST /factors/prove/totp", OwnLogins, p.proveTOTP)
	p.handle("POST /factors/prove/passkey/options", OwnLogins, p.proofOptions)
	p.handle("POST /factors/prove/passkey", OwnLogins, p.provePasskey)
}

// factorList is what the page of one's factors shows.
type factorList struct {
	Factors  []factor.Factor
	Passkeys bool   // they are possible here
	SignIn   string // where to sign in afresh, where that has to come before the first one; else empty
	Return   string // where to go once there is one
	Done     string // what was just done: enrolled, renamed or removed
	Problem  string // a Reason why something was not done
}

// factors lists one's second factors.
func (p *Portal) factors(w http.ResponseWriter, r *http.Request) {
	who := personOf(r)
	factors, err := p.config.Factors.Factors(r.Context(), ownerOf(who))
	if err != nil {
		p.unavailable(w, r, "listing second factors", err)
		return
	}
	list := factorList{
		Factors: factors, Passkeys: p.config.Factors.Passkeys(), Return: back(r, ""),
	}
	if len(factors) == 0 && !factor.IsFresh(who.SignedInAt, p.now()) {
		list.SignIn = signInAgain("", factorsPath(r))
	}
	switch done := r.FormValue("done"); done {
	case "enrolled", "renamed", "removed":
		list.Done = done
	}
	if _, err := words(languages[0], reasonKey(r.FormValue("problem"))); err == nil {
		list.Problem = r.FormValue("problem")
	}
	p.page(w, r, "factors", list)
}

// renameFactor gives a factor another name.
func (p *Portal) renameFactor(w http.ResponseWriter, r *http.Request) {
	if err := p.config.Factors.Rename(r.Context(), p.factorActor(r), r.PathValue("id"), r.PostFormValue("name")); err != nil {
		p.factorTrouble(w, r, "renaming a second factor", err, "/factors")
		return
	}
	redirect(w, r, "/factors?done=renamed")
}

// factorRemoval is what the page that asks before a removal shows.
type factorRemoval struct {
	Factor factor.Factor
	Last   bool // the person has no other
}

// askRemoveFactor asks whether a factor is really to be removed. The proof comes first, so that the button does what it says.
func (p *Portal) askRemoveFactor(w http.ResponseWriter, r *http.Request) {
	factors, err := p.config.Factors.Factors(r.Context(), ownerOf(personOf(r)))
	if err != nil {
		p.unavailable(w, r, "listing second factors", err)
		return
	}
	for _, f := range factors {
		if f.ID != r.PathValue("id") {
			continue
		}
		if _, ok := p.proven(w, r, ownFactors, r.URL.Path); ok {
			p.page(w, r, "factor_remove", factorRemoval{Factor: f, Last: len(factors) == 1})
		}
		return
	}
	p.notFound(w, r)
}

// removeFactor removes a factor.
func (p *Portal) removeFactor(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := p.config.Factors.Remove(r.Context(), p.factorActor(r), id); err != nil {
		p.factorTrouble(w, r, "removing a second factor", err, "/factors/"+url.PathEscape(id)+"/remove")
		return
	}
	redirect(w, r, "/factors?done=removed")
}

// factorActor is the sender of a request as package factor wants one. What names the browser is the hash of its cookie.
func (p *Portal) factorActor(r *http.Request) factor.Actor {
	v := visitOf(r)
	a := factor.Actor{
		Person: ownerOf(v.person), Username: v.person.Username, Browser: hex.EncodeToString(hashOf(v.cookie)),
		Remote: remote(r), SignedIn: v.person.SignedInAt,
	}
	for _, e := range v.person.Evidence {
		if e.Factor != "" && e.At.After(a.Proof.At) {
			a.Proof = factor.Proof{Factor: e.Factor, Method: e.Method, At: e.At}
		}
	}
	return a
}

// factorTrouble answers that something about a factor was refused, or did not work. What a proof or a fresh sign-in would
// mend leads there, and then to the page back; the rest is told on that page.
func (p *Portal) factorTrouble(w http.ResponseWriter, r *http.Request, doing string, err error, back string) {
	switch reason := factor.ReasonOf(err); reason {
	case "":
		p.unavailable(w, r, doing, err)
	case factor.ProofNeeded:
		redirect(w, r, provePath(ownFactors, back))
	case factor.SignInStale:
		redirect(w, r, signInAgain("", back))
	case factor.UnknownFactor:
		p.notFound(w, r)
	default:
		redirect(w, r, withQuery(back, "problem", string(reason)))
	}
}

// withQuery adds a parameter to a path of ours.
func withQuery(path, name, value string) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// proved puts a proof into the session and sends the browser on.
func (p *Portal) proved(w http.ResponseWriter, r *http.Request, proof factor.Proof, next string) {
	if err := p.stepUp(w, r, Evidence{Method: proof.Method, At: proof.At, Factor: proof.Factor}); err != nil {
		p.unavailable(w, r, "noting a proof in the session", err)
		return
	}
	redirect(w, r, next)
}

// back is the page that a form wants to go on to, or another one where it does not say.
func back(r *http.Request, otherwise string) string {
	if wanted := r.FormValue("return"); wanted != "" {
		return returnPath(wanted)
	}
	return otherwise
}

// reasonKey is the text for a Reason of package factor.
func reasonKey(reason string) string { return "factor.problem." + reason }
