package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"

	"postern/auth/apppassword"
	"postern/internal/secret"
)

// counter is a place where app passwords are issued: for one's own logins, or for devices. The way is the same: the form,
// the second factor, the issue, and one page that shows the password once.
type counter struct {
	form   string // the path of the form
	issued string // of the page that shows the password
	note   string // the name of the note that holds it until then, sealed in the session
	list   string // of the page to go on to
	device bool   // it issues for devices
	issue  func(context.Context, Person, NewPassword, Evidence, string) (apppassword.Record, secret.Text, error)
	// find gives an app password that was issued here, with its login.
	find func(r *http.Request, s shown) (apppassword.Record, Login, error)
}

// shown is an app password on its way to the one page that shows it.
type shown struct{ ID, Login, Password string }

// ownCounter issues for the logins of who is signed in.
func (p *Portal) ownCounter() counter {
	return counter{form: "/passwords/new", issued: "/passwords/issued", note: "issued", list: "/passwords", issue: p.config.Desk.Issue,
		find: func(r *http.Request, s shown) (apppassword.Record, Login, error) {
			logins, all, err := p.passwordsOf(r)
			for _, v := range all {
				if v.ID == s.ID {
					return v.Record, loginOf(v, logins), err
				}
			}
			if err == nil {
				err = ErrNotThere
			}
			return apppassword.Record{}, Login{}, err
		}}
}

// formPath gives the path of the form for a login, with what was filled in already.
func (c counter) formPath(login string, filled url.Values) string {
	query := url.Values{"login": {login}}
	for _, field := range []string{"label", "use", "where", "networks", "life", "short", "legacy"} {
		if value := filled.Get(field); value != "" && len(value) <= maxNetworksText {
			query.Set(field, value)
		}
	}
	return c.form + "?" + query.Encode()
}

// askFor shows the form of a new app password. Who has not given a second factor just now gives it first, so that nobody
// fills in a form for nothing.
func (p *Portal) askFor(w http.ResponseWriter, r *http.Request, login Login, c counter) {
	if _, ok := p.proven(w, r, login.Policy.MFA, c.formPath(login.Login, r.URL.Query())); !ok {
		return
	}
	form := p.blank(r, login, c)
	form.fill(r.URL.Query())
	form.Ticket = rand.Text()
	p.page(w, r, "create", form)
}

// blank gives the form for a login as nobody has filled it in.
func (p *Portal) blank(r *http.Request, login Login, c counter) passwordForm {
	form := p.offer(r, login)
	form.Action, form.Cancel = c.form, c.list
	form.MayLegacy = c.device && slices.ContainsFunc(p.config.Desk.Doors(), func(d Door) bool { return d.LegacyTLS })
	return form
}

// takeOrder issues the app password that a form asks for, and sends the browser to the page that shows it.
func (p *Portal) takeOrder(w http.ResponseWriter, r *http.Request, login Login, c counter) {
	proof, ok := p.proven(w, r, login.Policy.MFA, c.formPath(login.Login, r.PostForm))
	if !ok {
		return
	}
	form := p.blank(r, login, c)
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
		redirect(w, r, c.issued)
	default:
		p.hand(w, r, login, wanted, proof, c)
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

// hand issues an app password and has it shown.
func (p *Portal) hand(w http.ResponseWriter, r *http.Request, login Login, wanted NewPassword, proof Evidence, c counter) {
	record, password, err := c.issue(r.Context(), personOf(r), wanted, proof, actor(r))
	if !p.done(w, r, "issuing an app password", err) {
		return
	}
	if err := p.remember(r, c.note, shown{record.ID, record.Login, password.Reveal()}); err != nil {
		p.log.Error("a new app password is shown in the answer itself", "password_id", record.ID, "error", err)
		p.showIssued(w, r, record, login, password.Reveal(), c)
		return
	}
	redirect(w, r, c.issued)
}

// issued is what the page of a new app password shows.
type issued struct {
	passwordDetails
	Secret string // in groups of four
	List   string // where to go on to
}

// showOnce shows a new app password, once: it takes it out of the session. Whoever comes again is told what to do.
func (p *Portal) showOnce(w http.ResponseWriter, r *http.Request, c counter) {
	if r.Method != http.MethodGet {
		return // HEAD shows nothing, so it may not take anything either
	}
	var s shown
	found, err := p.recall(r, c.note, &s)
	if err != nil {
		p.unavailable(w, r, "reading a new app password", err)
		return
	}
	if !found {
		p.page(w, r, "gone", c.list)
		return
	}
	record, login, err := c.find(r, s)
	if p.done(w, r, "reading an app password", err) {
		p.showIssued(w, r, record, login, s.Password, c)
	}
}

// showIssued shows a new app password.
func (p *Portal) showIssued(w http.ResponseWriter, r *http.Request, record apppassword.Record, login Login, password string, c counter) {
	details := passwordDetails{passwordView: viewOf(record, login, p.now()), Login: login, Sheets: sheets(record, login, p.config.Desk.Doors())}
	p.page(w, r, "issued", issued{details, password, c.list})
}
