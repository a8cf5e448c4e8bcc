package web

import "net/http"

// overview is what the first page shows.
type overview struct {
	Logins    []Login
	Valid     int // app passwords in force that work
	Stopped   int // app passwords in force that are refused
	EndSoon   int
	Renewable int
	Sessions  int
	Trouble   []happening // the last refusals
	Creatable bool
}

// maxTrouble is how many refusals the first page shows.
const maxTrouble = 3

// home is the first page: how things stand, and what to do.
func (p *Portal) home(w http.ResponseWriter, r *http.Request) {
	logins, passwords, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	live, err := p.config.Desk.Sessions(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading sessions", err)
		return
	}
	o := overview{Logins: logins, Sessions: len(live)}
	for _, l := range logins {
		o.Creatable = o.Creatable || provable(l.Policy.MFA)
	}
	for _, v := range passwords {
		switch v.Condition {
		case valid:
			o.Valid++
		case endsSoon:
			o.Valid++
			o.EndSoon++
		case expired, revoked:
		default:
			o.Stopped++
		}
		if v.Renewable {
			o.Renewable++
		}
	}
	entries, _, err := p.config.Desk.Activity(r.Context(), personOf(r), []string{"sign-in"})
	if err != nil {
		p.unavailable(w, r, "reading the audit log", err)
		return
	}
	for _, h := range happenings(entries, logins, passwords) {
		if h.Mood == "bad" && len(o.Trouble) < maxTrouble {
			o.Trouble = append(o.Trouble, h)
		}
	}
	p.page(w, r, "home", o)
}
