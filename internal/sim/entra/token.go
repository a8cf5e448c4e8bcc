package entra

import (
	"io"
	"net/http"
	"net/url"
	"strconv"

	"postern/internal/sim/tenant"
)

// tokenRequest is a request at the token endpoint whose client has been found genuine.
type tokenRequest struct {
	form        url.Values
	application tenant.Application
	proof       strength
	otherHost   bool // echo the scopes with the other Outlook host
}

// tokenAnswer is the success of a token request (RFC 6749 section 5.1, reference F.2).
type tokenAnswer struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	ExtExpiresIn int    `json:"ext_expires_in"`
	RefreshIn    int    `json:"refresh_in,omitempty"` // of long-lived tokens only
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	form, p := s.posted(r)
	if p != nil {
		s.fail(w, r, p)
		return
	}
	basicCredentials(r, form)
	otherHost, answered := s.strike(w, r, s.accountOf(form), form.Get("client_id"))
	if answered {
		return
	}
	answer, p := s.answer(form, otherHost)
	if p != nil {
		s.fail(w, r, p)
		return
	}
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, answer)
}

// posted reads the form of a POST for one tenant.
func (s *Server) posted(r *http.Request) (url.Values, *problem) {
	if r.Method != http.MethodPost {
		return nil, refuse(900561).says("The endpoint only accepts POST requests. Received a %s request.", r.Method)
	}
	if err := r.ParseForm(); err != nil {
		return nil, refuse(9002313)
	}
	return r.PostForm, s.named(r)
}

// answer gives what a token request earns.
func (s *Server) answer(form url.Values, otherHost bool) (*tokenAnswer, *problem) {
	grant := form.Get("grant_type")
	if grant == "" {
		return nil, missing("grant_type")
	}
	redeem, known := map[string]func(tokenRequest) (*tokenAnswer, *problem){
		"client_credentials": s.redeemCredentials,
		"authorization_code": s.redeemCode,
		"refresh_token":      s.redeemRefreshToken,
		"urn:ietf:params:oauth:grant-type:device_code": s.redeemDeviceCode, // RFC 8628 section 3.4
		"device_code": s.redeemDeviceCode, // what MSAL for Go sends
	}[grant]
	if !known {
		return nil, refuse(70003).says("The app requested an unsupported grant type '%s'.", grant)
	}
	application, p := s.application(form.Get("client_id"))
	if p != nil {
		return nil, p
	}
	proof, p := s.prove(application, form)
	if p == nil && proof == unproven {
		p = maybePublic(application, grant)
	}
	if p == nil {
		_, p = parseClaims(form.Get("claims")) // what they ask for was settled at the sign-in
	}
	if p != nil {
		return nil, p
	}
	return redeem(tokenRequest{form: form, application: application, proof: proof, otherHost: otherHost})
}

// maybePublic says why a request may not come without a credential.
func maybePublic(application tenant.Application, grant string) *problem {
	switch {
	case grant == "client_credentials":
		return refuse(7000216)
	case !application.PublicClient, grant == "authorization_code": // all redirect URIs are of the web platform
		return refuse(7000218)
	}
	return nil
}

// accountOf gives the user principal name for which a token is asked, as far as the form shows it; faults are matched
// by it.
func (s *Server) accountOf(form url.Values) string {
	objectID := ""
	if t, ok := find(&s.state, s.state.refresh, form.Get("refresh_token")); ok {
		objectID = t.objectID
	}
	if c, ok := find(&s.state, s.state.codes, form.Get("code")); ok {
		objectID = c.objectID
	}
	if d, ok := s.state.deviceByCode(form.Get("device_code")); ok && d.signIn != nil {
		objectID = d.signIn.objectID
	}
	person, _ := s.tenant.PersonByID(objectID)
	return person.UPN
}

// strike lets a fault that was ordered strike. It reports whether the request was answered with that.
func (s *Server) strike(w http.ResponseWriter, r *http.Request, account, clientID string) (otherHost, answered bool) {
	// Empty names are left out: nothing is ordered for them.
	var names []string
	for _, name := range []string{account, clientID} {
		if name != "" {
			names = append(names, name)
		}
	}
	fault, ok := s.tenant.Faults.Take(tenant.TokenEndpoint, names...)
	if !ok {
		return false, false
	}
	if fault.Delay > 0 {
		wait(r.Context(), fault.Delay)
	}
	if fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
	}
	switch {
	case fault.Drop:
		panic(http.ErrAbortHandler) // net/http's way to close the connection without an answer
	case fault.AADSTS != 0:
		p := refuse(fault.AADSTS)
		p.claims = fault.Claims
		if fault.Status != 0 {
			p.status = fault.Status
		}
		s.fail(w, r, p)
	case fault.Status != 0, fault.Reply != "", fault.RetryAfter != 0:
		writeFault(w, fault)
	default:
		return fault.OtherHost, false
	}
	return false, true
}

// writeFault answers with a bare status or body: not JSON unless it was ordered so.
func writeFault(w http.ResponseWriter, fault tenant.Fault) {
	status, body := fault.Status, fault.Reply
	switch {
	case status == 0 && fault.RetryAfter != 0:
		status = http.StatusTooManyRequests
	case status == 0:
		status = http.StatusOK
	}
	switch {
	case body != "":
	case status == http.StatusTooManyRequests:
		body = "Too Many Requests" // as Entra's front says it (reference F.3)
	default:
		body = "<html><head><title>" + http.StatusText(status) + "</title></head><body></body></html>"
	}
	w.Header().Set("Content-Type", http.DetectContentType([]byte(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
