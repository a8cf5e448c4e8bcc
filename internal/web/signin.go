package web

import (
	"net/http"
)

// signInChoice is what the page that asks who one is shows.
type signInChoice struct {
	Return string // where to go afterwards
	Out    bool   // the browser has just signed out
}

// signInPage asks a stranger to sign in.
func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p.page(w, r, "signin", signInChoice{Return: returnPath(query.Get("return")), Out: query.Has("out")})
}
