package entra

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/sim/tenant"
)

// authorizeRequest is a request for an authorization code (RFC 6749 section 4.1.1, reference F.2).
type authorizeRequest struct {
	application tenant.Application
	redirectURI string
	mode        string // how the answer reaches the application: query, fragment or form_post
	state       string
	prompt      string
	maxAge      time.Duration // of a sign-in that the browser has; negative for any
	loginHint   string
	challenge   string
	nonce       string
	scope       scope
	claims      claimsRequest
}

// authorize is the authorization endpoint: it begins the pages, or answers at once for a browser that is signed in.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.showProblem(w, r, refuse(9002313))
		return
	}
	request, p := s.addressed(r)
	if p != nil {
		// An application that is not known to own the address hears nothing (RFC 6749 section 4.1.2.1).
		s.showProblem(w, r, p)
		return
	}
	if p := request.read(r.Form); p != nil {
		s.returnProblem(w, r, request, p)
		return
	}
	f := &flow{
		tenantName: r.PathValue("tenant"), application: request.application, scope: request.scope, hint: request.loginHint,
		ask: request.prompt == "consent", authorize: request,
	}
	if in, ok := s.signedIn(r, request); ok {
		f.session = in
	}
	if next := f.step(s); request.prompt == "none" && next != stepDone {
		p := refuse(50058)
		switch next {
		case stepAssigned:
			p = f.notAssigned()
		case stepAdmin:
			p = refuse(65001)
			p.word = "consent_required" // the authorization endpoint's word for it
		}
		s.returnProblem(w, r, request, p)
		return
	}
	s.advance(w, r, f, "")
}

// addressed reads what must be right before anything may be sent to the application.
func (s *Server) addressed(r *http.Request) (*authorizeRequest, *problem) {
	if p := s.named(r); p != nil {
		return nil, p
	}
	application, p := s.application(r.Form.Get("client_id"))
	if p != nil {
		return nil, p
	}
	redirect := r.Form.Get("redirect_uri")
	if !slices.Contains(application.RedirectURIs, redirect) {
		return nil, refuse(50011).says("The redirect URI '%s' specified in the request does not match the redirect URIs configured for "+
			"the application '%s'.", redirect, application.ClientID)
	}
	mode := r.Form.Get("response_mode")
	switch mode {
	case "":
		mode = "query"
	case "query", "fragment", "form_post":
	default:
		return nil, refuse(9002313).says("Invalid request. The response_mode '%s' is not supported.", mode)
	}
	return &authorizeRequest{application: application, redirectURI: redirect, mode: mode, state: r.Form.Get("state")}, nil
}

// read reads the rest of a request.
func (a *authorizeRequest) read(form url.Values) *problem {
	a.prompt, a.loginHint, a.nonce = form.Get("prompt"), form.Get("login_hint"), form.Get("nonce")
	if form.Get("response_type") != "code" {
		return refuse(700054).says("response_type '%s' is not enabled for the application.", form.Get("response_type"))
	}
	if !slices.Contains([]string{"", "none", "login", "consent", "select_account"}, a.prompt) {
		return refuse(9002313).says("Invalid request. The prompt '%s' is not supported.", a.prompt)
	}
	if form.Get("scope") == "" {
		return missing("scope")
	}
	a.challenge = form.Get("code_challenge")
	if method := form.Get("code_challenge_method"); a.challenge != "" && method != "S256" {
		return refuse(9002313).says("Invalid request. The code_challenge_method '%s' is not supported: use S256.", method)
	}
	var p *problem
	if a.scope, p = parseScope(form.Get("scope")); p != nil {
		return p
	}
	if a.claims, p = parseClaims(form.Get("claims")); p != nil {
		return p
	}
	a.maxAge, p = parseMaxAge(form.Get("max_age"))
	return p
}

// parseMaxAge reads max_age (OpenID Connect Core 1.0 section 3.1.2.1), in seconds.
func parseMaxAge(text string) (time.Duration, *problem) {
	if text == "" {
		return -1, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, refuse(9002313).says("Invalid request. The max_age '%s' is not a number of seconds.", text)
	}
	return time.Duration(seconds) * time.Second, nil
}

// sessionCookie is the cookie of a browser that has signed in.
const sessionCookie = "ESTSAUTH"

// signedIn gives the sign-in of the browser, where the request can be answered from it.
func (s *Server) signedIn(r *http.Request, request *authorizeRequest) (signIn, bool) {
	if request.prompt == "login" || request.prompt == "select_account" {
		return signIn{}, false
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return signIn{}, false
	}
	in, ok := find(&s.state, s.state.sessions, cookie.Value)
	if !ok {
		return signIn{}, false
	}
	person, known := s.tenant.PersonByID(in.objectID)
	young := request.maxAge < 0 || s.now().Sub(in.at) <= request.maxAge
	usable := young && known && !person.Disabled && (request.loginHint == "" || strings.EqualFold(request.loginHint, person.UPN))
	return in, usable
}

// logout ends the browser's session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.state.mu.Lock()
		delete(s.state.sessions, cookie.Value)
		s.state.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
	s.show(w, http.StatusOK, page{Title: "You signed out of your account"})
}

// returnCode gives the browser a code for the application.
func (s *Server) returnCode(w http.ResponseWriter, r *http.Request, request *authorizeRequest, in signIn) {
	code := "1." + randomText(256)
	keep(&s.state, s.state.codes, code, &authorizationCode{
		signIn: in, redirectURI: request.redirectURI, challenge: request.challenge, expires: s.now().Add(codeLife),
	})
	s.returnTo(w, r, request, url.Values{"code": {code}, "session_state": {newGUID()}})
}

// returnProblem sends the browser back to the application with a problem (RFC 6749 section 4.1.2.1).
func (s *Server) returnProblem(w http.ResponseWriter, r *http.Request, request *authorizeRequest, p *problem) {
	s.log.Info("entra refused", "path", r.URL.Path, "error", p.word, "code", p.code)
	body := s.body(w, r, p)
	answer := url.Values{"error": {body.Error}, "error_description": {body.Description}, "error_uri": {body.URI}}
	if body.Suberror != "" {
		answer.Set("error_subcode", body.Suberror)
	}
	s.returnTo(w, r, request, answer)
}

// returnTo sends the browser back to the application with an answer.
func (s *Server) returnTo(w http.ResponseWriter, r *http.Request, request *authorizeRequest, answer url.Values) {
	if request.state != "" {
		answer.Set("state", request.state)
	}
	w.Header().Set("Cache-Control", "no-store")
	switch request.mode {
	case "form_post":
		s.showPostBack(w, request.redirectURI, answer)
	case "fragment":
		http.Redirect(w, r, request.redirectURI+"#"+answer.Encode(), http.StatusSeeOther)
	default:
		separator := "?"
		if strings.Contains(request.redirectURI, "?") {
			separator = "&"
		}
		http.Redirect(w, r, request.redirectURI+separator+answer.Encode(), http.StatusSeeOther)
	}
}
