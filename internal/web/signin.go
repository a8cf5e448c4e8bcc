package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"postern/auth/token"
	"postern/internal/secret"
)

// Provider is where people sign in.
type Provider struct {
	Name   string // in the configuration; part of a path
	Tenant string // for display
	// Contexts are the authentication contexts that are asserted to prove MFA, such as c1: Entra calls others satisfied
	// whether or not anything guards them (reference F.4).
	Contexts []string
}

// Authority has people sign in with a provider; see [token.Source].
type Authority interface {
	AuthorizationURL(ctx context.Context, r token.CodeRequest, challenge string) (string, error)
	Redeem(ctx context.Context, r token.CodeRequest, code secret.Text, began time.Time) (token.SignIn, error)
}

// Enroller keeps the refresh token of somebody who signed in, for the accounts of the configuration that are theirs and
// that need it. by is who it is, for the audit log.
type Enroller interface {
	Enroll(ctx context.Context, provider string, in token.SignIn, by string) error
}

// signInChoice is what the page that asks who one is shows.
type signInChoice struct {
	Providers []Provider
	Several   bool   // there is more than one provider
	Return    string // where to go afterwards
	Out       bool   // the browser has just signed out
	Fresh     bool   // signing in anew is asked for, whatever the browser has
	Known     bool   // of somebody who is signed in
	Context   string // and of them, the authentication context to satisfy
}

// signInPolicy is the content policy of the page with the form that leads to the provider: browsers hold the redirects
// that follow a form against form-action, and where a provider goes on from its own page, such as to the sign-in of the
// company, is not known here.
const signInPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'"

// signInPage asks somebody to sign in; with ?again anew, whatever the browser has, and those who are signed in with
// &context=c1 by satisfying an authentication context. ?return is where they go on.
func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	choice := signInChoice{
		Providers: p.config.Providers, Several: len(p.config.Providers) > 1, Return: returnPath(query.Get("return")), Out: query.Has("out"),
	}
	choice.Fresh = query.Has("again")
	who := personOf(r)
	switch {
	case who.ObjectID == "":
	case !choice.Fresh: // nothing is left to do
		redirect(w, r, choice.Return)
		return
	default:
		choice.Known, choice.Context = true, p.knownContext(who.Provider, query.Get("context"))
		choice.Providers = slices.DeleteFunc(slices.Clone(choice.Providers), func(o Provider) bool { return o.Name != who.Provider })
	}
	w.Header().Set("Content-Security-Policy", signInPolicy)
	p.page(w, r, "signin", choice)
}

// signInAgain gives the path of the page on which somebody proves anew to the provider who they are, satisfying an
// authentication context unless that is empty, and then comes back to a page.
func signInAgain(authContext, back string) string {
	query := url.Values{"again": {"1"}, "return": {back}}
	if authContext != "" {
		query.Set("context", authContext)
	}
	return "/signin?" + query.Encode()
}

// knownContext gives an authentication context if it is asserted for the provider, and nothing otherwise.
func (p *Portal) knownContext(provider, authContext string) string {
	for _, o := range p.config.Providers {
		if o.Name == provider && slices.Contains(o.Contexts, authContext) {
			return authContext
		}
	}
	return ""
}

// knows reports whether there is a provider of a name.
func (p *Portal) knows(provider string) bool {
	return slices.ContainsFunc(p.config.Providers, func(o Provider) bool { return o.Name == provider })
}

// beginSignIn sends the browser to the provider.
func (p *Portal) beginSignIn(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("provider")
	if !p.knows(name) {
		p.notFound(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		p.problem(w, r, http.StatusBadRequest, "problem.bad-request")
		return
	}
	a := p.newAttempt(name, returnPath(r.PostForm.Get("return")))
	a.Fresh = r.PostForm.Has("again")
	if who := personOf(r); a.Fresh && who.Provider == name {
		a.TenantID, a.ObjectID, a.LoginHint = who.TenantID, who.ObjectID, who.Username
		a.Context = p.knownContext(name, r.PostForm.Get("context"))
	}
	p.sendToProvider(w, r, a)
}

// sendToProvider gives the browser an attempt and sends it on its way.
func (p *Portal) sendToProvider(w http.ResponseWriter, r *http.Request, a attempt) {
	address, err := p.config.Authority.AuthorizationURL(r.Context(), p.request(a), a.challenge())
	if err == nil {
		err = p.giveAttempt(w, a)
	}
	if err != nil {
		p.unavailable(w, r, "beginning a sign-in", err)
		return
	}
	redirect(w, r, address)
}
