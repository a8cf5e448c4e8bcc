package web

import (
	"errors"
	"net/http"

	"postern/internal/session"
)

// sessionList is what the page of one's live sessions shows.
type sessionList struct {
	Told     string
	Sessions []sessionView
	Several  bool // the person has several logins: the page says whose a session is
}

// sessionView is a live session as the page shows it.
type sessionView struct {
	session.Info
	Label string // of its app password
}

// sessionsPage lists the person's live sessions.
func (p *Portal) sessionsPage(w http.ResponseWriter, r *http.Request) {
	live, err := p.config.Desk.Sessions(r.Context(), personOf(r))
	if err != nil {
		p.unavailable(w, r, "reading sessions", err)
		return
	}
	logins, passwords, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	labels := make(map[string]string)
	for _, v := range passwords {
		labels[v.ID] = v.Label
	}
	list := sessionList{Told: p.told(r), Several: len(logins) > 1}
	for _, info := range live {
		list.Sessions = append(list.Sessions, sessionView{info, labels[info.Password]})
	}
	p.page(w, r, "sessions", list)
}

// cutSession ends a live session of the person.
func (p *Portal) cutSession(w http.ResponseWriter, r *http.Request) {
	err := p.config.Desk.Cut(r.Context(), personOf(r), r.PathValue("id"), actor(r))
	switch {
	case errors.Is(err, ErrNotThere):
		p.notFound(w, r)
	case err != nil:
		p.unavailable(w, r, "ending a session", err)
	default:
		p.tell(w, r, "/sessions", "sessions.told.cut")
	}
}
