package web

import (
	"net/http"
	"slices"
	"strings"

	"postern/auth/factor"
	"postern/internal/config"
	"postern/internal/secret"
)

// ownFactors are the proofs that are made here, and not at the provider.
var ownFactors = config.MFA{Evidence: []string{factor.TOTP, factor.Passkey}}

// proof is what the page that asks for a second factor shows.
type proof struct {
	Return  string
	For     string // the accepted methods, with commas; empty for all
	TOTP    bool   // an authenticator may be asked for
	Passkey bool   // a passkey may be
	Enrol   bool   // one of them would do, and the person has none that will
	SignIn  string // where to sign in at the provider once more, if that can be proof; or empty
	Problem string // a Reason why the last try was refused
}

// prove asks for a second factor.
func (p *Portal) prove(w http.ResponseWriter, r *http.Request) { p.showProof(w, r, http.StatusOK, "") }

func (p *Portal) showProof(w http.ResponseWriter, r *http.Request, status int, problem factor.Reason) {
	factors, err := p.config.Factors.Factors(r.Context(), ownerOf(personOf(r)))
	if err != nil {
		p.unavailable(w, r, "listing second factors", err)
		return
	}
	page := proof{Return: back(r, "/"), For: r.FormValue("for"), Problem: string(problem)}
	mfa := acceptedBy(page.For)
	has := func(method string) bool {
		return mfa.Accepts(method) && slices.ContainsFunc(factors, func(f factor.Factor) bool { return f.Method == method })
	}
	page.TOTP, page.Passkey = has(factor.TOTP), has(factor.Passkey) && p.config.Factors.Passkeys()
	page.Enrol = !page.TOTP && !page.Passkey && (mfa.Accepts(factor.TOTP) || mfa.Accepts(factor.Passkey))
	page.SignIn = p.provingSignIn(personOf(r).Provider, mfa, page.Return)
	p.pageStatus(w, r, status, "prove", page)
}

// proveTOTP takes a code for a proof.
func (p *Portal) proveTOTP(w http.ResponseWriter, r *http.Request) {
	proof, err := p.config.Factors.ProveTOTP(r.Context(), p.factorActor(r), secret.New(r.PostFormValue("code")))
	if err != nil {
		p.proofTrouble(w, r, "taking a code", err)
		return
	}
	p.proved(w, r, proof, back(r, "/"))
}

// acceptedBy reads the methods that a page accepts. Who changes them in the address sees other buttons, and no more: what
// is accepted is asked again where it counts.
func acceptedBy(methods string) config.MFA {
	if methods == "" {
		return config.MFA{}
	}
	return config.MFA{Evidence: strings.Split(methods, ",")}
}

// provingSignIn is the page where somebody signs in at their provider once more in a way that mfa accepts, and comes back
// from to another; empty where there is no such way.
func (p *Portal) provingSignIn(provider string, mfa config.MFA, back string) string {
	for _, o := range p.config.Providers {
		for _, authContext := range o.Contexts {
			if o.Name == provider && mfa.Accepts("acrs:"+authContext) {
				return signInAgain(authContext, back)
			}
		}
	}
	if slices.Contains(mfa.Evidence, "amr:mfa") {
		return signInAgain("", back)
	}
	return ""
}
