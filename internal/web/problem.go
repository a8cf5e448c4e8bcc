package web

import (
	"net/http"
)

// trouble is what the page of a problem shows.
type trouble struct {
	Title, Text string
	Link        string // where to go on; empty for nowhere
	LinkText    string
}

// problem answers with a page that says what is wrong and what to do: the texts key.title and key.text.
func (p *Portal) problem(w http.ResponseWriter, r *http.Request, status int, key string, fill ...any) {
	language := languageOf(r)
	title, err := words(language, key+".title")
	if err == nil {
		var text string
		if text, err = words(language, key+".text", fill...); err == nil {
			link, _ := words(language, "problem.back")
			p.pageStatus(w, r, status, "problem", trouble{Title: title, Text: text, Link: "/", LinkText: link})
			return
		}
	}
	p.log.Error("a page cannot be made", "page", key, "error", err)
	http.Error(w, http.StatusText(status), status)
}

// unavailable answers that something of the gateway does not work, and logs what.
func (p *Portal) unavailable(w http.ResponseWriter, r *http.Request, doing string, err error) {
	p.log.Error("the portal could not answer", "doing", doing, "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "30")
	p.problem(w, r, http.StatusServiceUnavailable, "problem.unavailable")
}

// forbid answers that a role does not have a permission, once that is in the audit log.
func (p *Portal) forbid(w http.ResponseWriter, r *http.Request, needed Permission) {
	if err := p.config.Audit.Record(portalRefused(r, needed)); err != nil {
		p.unavailable(w, r, "recording a refusal", err)
		return
	}
	p.problem(w, r, http.StatusForbidden, "problem.forbidden")
}

func (p *Portal) notFound(w http.ResponseWriter, r *http.Request) {
	p.problem(w, r, http.StatusNotFound, "problem.not-found")
}
