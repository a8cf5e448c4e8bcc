package web

import "net/http"

// home is the first page.
func (p *Portal) home(w http.ResponseWriter, r *http.Request) { p.page(w, r, "home", nil) }
