package entra

import (
	"net/http"
	"slices"
	"time"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// step is what the person has to do next at the pages.
type step int

const (
	stepAccount  step = iota // name the account
	stepPassword             // prove it
	stepFactor               // prove it again
	stepAdmin                // nothing: an administrator would have to consent first
	stepAssigned             // nothing: an administrator would have to assign the application first
	stepConfirm              // agree
	stepDone
)

// flow is a sign-in that is under way in a browser, for an application that asked for a code or for a device. One
// request at a time has it: see takeFlow.
type flow struct {
	tenantName  string
	application tenant.Application
	scope       scope
	hint        string // the account to suggest
	ask         bool   // whether the person must agree even where nothing is to be consented to
	expires     time.Time

	authorize *authorizeRequest // nil for a device
	userCode  string            // of a device

	// How far the person has come.
	person   tenant.Person
	password bool
	factor   bool
	agreed   bool
	session  signIn // of a browser that has signed in before
}

// flowLife is how long a person may take.
const flowLife = 15 * time.Minute

// step tells what comes next.
func (f *flow) step(s *Server) step {
	signedIn := f.session.objectID != ""
	switch {
	case f.person.ObjectID == "" && !signedIn:
		return stepAccount
	case !f.password && !signedIn:
		return stepPassword
	case f.person.MFA && !f.factor && !signedIn:
		return stepFactor
	}
	if !f.assigned(s) {
		return stepAssigned
	}
	if _, p := f.scope.consented(f.application); p != nil {
		return stepAdmin
	}
	if f.ask && !f.agreed {
		return stepConfirm
	}
	return stepDone
}

// assigned reports whether the person may use the application.
func (f *flow) assigned(s *Server) bool {
	person := f.person
	if f.session.objectID != "" {
		person, _ = s.tenant.PersonByID(f.session.objectID)
	}
	return !f.application.AssignmentRequired ||
		slices.ContainsFunc(person.AppRoles, func(a tenant.Assignment) bool { return a.ClientID == f.application.ClientID })
}

// What the pages say of a mistake.
const (
	unknownAccount = "This username may be incorrect. Make sure you typed it correctly. Otherwise, contact your admin."
	wrongPassword  = "Your account or password is incorrect. If you don't remember your password, reset it now."
	accountLocked  = "Your account has been locked. Contact your support person to unlock it, then try again."
	wrongFactor    = "You didn't enter the expected verification code. Please try again."
)

// take takes what the person entered at the present step, and gives what to say of a mistake.
func (f *flow) take(s *Server, entered func(string) string) (mistake string) {
	switch f.step(s) {
	case stepAccount:
		person, known := s.tenant.Person(entered("login"))
		if !known {
			return unknownAccount
		}
		f.person = person
	case stepPassword:
		switch {
		case !f.person.Password.Equal(secret.New(entered("passwd"))) || f.person.Password.IsZero():
			return wrongPassword
		case f.person.Disabled:
			return accountLocked
		}
		f.password = true
	case stepFactor:
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		if entered("otc") != s.state.mfaCode(f.person.ObjectID) {
			return wrongFactor
		}
		delete(s.state.mfaCodes, f.person.ObjectID)
		f.factor = true
	case stepConfirm:
		f.agreed = entered("answer") == "accept"
	}
	return ""
}

// login takes what was entered at a page.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.showProblem(w, r, refuse(9002313))
		return
	}
	f, ok := s.takeFlow(r.PostForm.Get("ctx"))
	if !ok {
		s.showProblem(w, r, refuse(9002313).says("Your sign-in has expired or was finished before. Go back to the application and try again."))
		return
	}
	if r.PostForm.Get("answer") == "decline" {
		s.decline(w, r, f)
		return
	}
	s.advance(w, r, f, f.take(s, r.PostForm.Get))
}

// takeFlow takes a flow out of the state: it is put back with the next page, under another id, so that a page can be
// answered once and a flow is in one pair of hands.
func (s *Server) takeFlow(id string) (*flow, bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	f, ok := s.state.flows[id]
	delete(s.state.flows, id)
	return f, ok && s.now().Before(f.expires)
}

// advance shows the page of the next step, or finishes.
func (s *Server) advance(w http.ResponseWriter, r *http.Request, f *flow, mistake string) {
	next := f.step(s)
	switch {
	case next == stepDone:
		s.finish(w, r, f)
		return
	case next == stepAssigned && f.authorize != nil:
		s.returnProblem(w, r, f.authorize, f.notAssigned())
		return
	case next == stepAssigned:
		s.showProblem(w, r, f.notAssigned())
		return
	}
	f.expires = s.now().Add(flowLife)
	id := randomText(32)
	keep(&s.state, s.state.flows, id, f)
	s.showStep(w, f, next, id, mistake)
}

// notAssigned is the problem of somebody whom the application is not assigned to.
func (f *flow) notAssigned() *problem {
	p := refuse(50105).says("Your administrator has configured the application %s ('%s') to block users unless they are specifically "+
		"granted ('assigned') access to the application.", f.application.Name, f.application.ClientID)
	p.word = "access_denied" // the authorization endpoint's word for it
	return p
}

// finish ends a flow with the sign-in.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, f *flow) {
	in := f.session
	if in.objectID == "" {
		in = signIn{objectID: f.person.ObjectID, at: s.now(), mfa: f.factor}
		cookie := randomText(48)
		keep(&s.state, s.state.sessions, cookie, in)
		http.SetCookie(w, &http.Cookie{
			Name: sessionCookie, Value: cookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode,
		})
	}
	in.clientID, in.scope = f.application.ClientID, f.scope
	if f.authorize != nil {
		in.nonce, in.claims = f.authorize.nonce, f.authorize.claims
		s.returnCode(w, r, f.authorize, in)
		return
	}
	if err := s.settle(f.userCode, func(d *device) { d.signIn = &in }); err != nil {
		s.showProblem(w, r, refuse(70019))
		return
	}
	s.show(w, http.StatusOK, page{
		Title: f.application.Name, Text: "You have signed in to the " + f.application.Name + " application on your device. You may now close this window.",
	})
}

// decline ends a flow without one.
func (s *Server) decline(w http.ResponseWriter, r *http.Request, f *flow) {
	p := refuse(65004)
	if f.step(s) == stepAdmin {
		p = refuse(90094)
	}
	if f.authorize != nil {
		s.returnProblem(w, r, f.authorize, p)
		return
	}
	if err := s.settle(f.userCode, func(d *device) { d.declined = true }); err != nil {
		s.showProblem(w, r, refuse(70019))
		return
	}
	s.show(w, http.StatusOK, page{Title: f.application.Name, Text: "You declined the sign-in. You may now close this window."})
}

// devicePage asks for a user code; one in the address is filled in.
func (s *Server) devicePage(w http.ResponseWriter, r *http.Request) {
	s.showCodeEntry(w, r.URL.Query().Get("otc"), "")
}

// deviceSignIn begins the pages for a user code.
func (s *Server) deviceSignIn(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("otc")
	s.state.mu.Lock()
	d, ok := s.state.waiting(code, s.now())
	s.state.mu.Unlock()
	if !ok {
		s.showCodeEntry(w, "", "That code didn't work. Check the code and try again.")
		return
	}
	application, p := s.application(d.clientID)
	if p != nil {
		s.showProblem(w, r, p)
		return
	}
	// Whoever was sent a code by a stranger is asked what they are signing in to.
	s.advance(w, r, &flow{tenantName: s.tenant.ID, application: application, scope: d.scope, ask: true, userCode: d.userCode}, "")
}
