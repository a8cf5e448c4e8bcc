package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"postern/auth/apppassword"
	"postern/internal/secret"
)

// createPage asks what a new app password shall be. Who has not given a second factor just now gives it first, so that
// nobody fills in a form for nothing.
func (p *Portal) createPage(w http.ResponseWriter, r *http.Request) {
	logins, err := p.config.Desk.Logins(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	logins = slices.DeleteFunc(logins, func(l Login) bool { return !provable(l.Policy.MFA) })
	name := r.URL.Query().Get("login")
	switch {
	case len(logins) == 0:
		redirect(w, r, "/passwords")
		return
	case name == "" && len(logins) > 1:
		p.page(w, r, "which", logins)
		return
	case name == "":
		name = logins[0].Login
	}
	i := slices.IndexFunc(logins, func(l Login) bool { return l.Login == name })
	if i < 0 {
		p.notFound(w, r)
		return
	}
	if _, ok := p.proven(w, r, logins[i].Policy.MFA, createPath(name, r.URL.Query())); !ok {
		return
	}
	form := p.offer(r, logins[i])
	form.fill(r.URL.Query())
	form.Ticket = rand.Text()
	p.page(w, r, "create", form)
}

// createPath gives the path of the form for a login, with what was filled in already.
func createPath(login string, filled url.Values) string {
	query := url.Values{"login": {login}}
	for _, field := range []string{"label", "use", "where", "networks", "life", "short"} {
		if value := filled.Get(field); value != "" && len(value) <= maxNetworksText {
			query.Set(field, value)
		}
	}
	return "/passwords/new?" + query.Encode()
}

// create issues an app password, and sends the browser to the page that shows it.
func (p *Portal) create(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.problem(w, r, http.StatusBadRequest, "problem.bad-request")
		return
	}
	logins, err := p.config.Desk.Logins(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	i := slices.IndexFunc(logins, func(l Login) bool { return l.Login == r.PostForm.Get("login") })
	if i < 0 {
		p.notFound(w, r)
		return
	}
	proof, ok := p.proven(w, r, logins[i].Policy.MFA, createPath(logins[i].Login, r.PostForm))
	if !ok {
		return
	}
	form := p.offer(r, logins[i])
	form.fill(r.PostForm)
	wanted := form.check(languageOf(r), p.now())
	if len(form.Wrong) > 0 {
		p.pageStatus(w, r, http.StatusUnprocessableEntity, "create", form)
		return
	}
	first, err := p.claim(r, form.Ticket)
	switch {
	case err != nil:
		p.unavailable(w, r, "noting that a form was sent", err)
	case !first: // sent twice: the second answer is the one that the browser shows
		redirect(w, r, issuedPath)
	default:
		p.issue(w, r, form, wanted, proof)
	}
}

// claim reports whether this is the first time that a form's ticket comes back. Tickets are remembered for as long as
// notes are.
func (p *Portal) claim(r *http.Request, ticket string) (first bool, err error) {
	if len(ticket) < 20 || len(ticket) > 64 {
		return false, nil // not of a form of ours
	}
	name := "ticket:" + ticket
	err = p.sessions.change(r.Context(), visitOf(r).cookie, func(c *content) {
		if c.Notes == nil {
			c.Notes = make(map[string]note)
		}
		_, known := c.Notes[name]
		first = !known
		c.Notes[name] = note{Until: p.now().Add(noteLife), Value: []byte("true")}
	})
	return first, err
}

// issue issues what a form asks for.
func (p *Portal) issue(w http.ResponseWriter, r *http.Request, form passwordForm, wanted NewPassword, proof Evidence) {
	record, password, err := p.config.Desk.Issue(r.Context(), personOf(r), wanted, proof, actor(r))
	switch {
	case errors.Is(err, ErrNotThere):
		p.notFound(w, r)
		return
	case errors.Is(err, ErrTooMany):
		p.problem(w, r, http.StatusConflict, "problem.many-passwords")
		return
	case err != nil:
		p.unavailable(w, r, "issuing an app password", err)
		return
	}
	if err := p.remember(r, issuedNote, shown{record.ID, password.Reveal()}); err != nil {
		p.log.Error("a new app password is shown in the answer itself", "password_id", record.ID, "error", err)
		p.showIssued(w, r, record, password, form.login)
		return
	}
	redirect(w, r, issuedPath)
}

const (
	// issuedPath is the page that shows a new app password.
	issuedPath = "/passwords/issued"
	// issuedNote is the name of the note that holds it until then, sealed in the session.
	issuedNote = "issued"
)

// shown is an app password on its way to the one page that shows it.
type shown struct{ ID, Password string }

// issued is what that page shows.
type issued struct {
	passwordDetails
	Secret string // in groups of four
}

// issuedPage shows a new app password, once: it takes it out of the session. Whoever comes again is told what to do.
func (p *Portal) issuedPage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		return // HEAD shows nothing, so it may not take anything either
	}
	var s shown
	found, err := p.recall(r, issuedNote, &s)
	if err != nil {
		p.unavailable(w, r, "reading a new app password", err)
		return
	}
	if !found {
		p.page(w, r, "gone", nil)
		return
	}
	r.SetPathValue("id", s.ID)
	if details, ok := p.passwordOf(w, r); ok {
		p.page(w, r, "issued", issued{details, s.Password})
	}
}

// showIssued shows a new app password in the answer to the form.
func (p *Portal) showIssued(w http.ResponseWriter, r *http.Request, record apppassword.Record, password secret.Text, login Login) {
	p.page(w, r, "issued", issued{
		passwordDetails{passwordView: viewOf(record, login, p.now()), Login: login, Sheets: sheets(record, login, p.config.Desk.Doors())},
		password.Reveal(),
	})
}
