package web

import "net/http"

// word is a text to be told on the next page: its key, and what is to be filled in.
type word struct {
	Key  string
	Fill []any
}

// toldNote is the name of the note that holds it.
const toldNote = "told"

// tell sends the browser on to a page, which says once what has been done. Where the note of it cannot be kept, the page
// comes without: what has been done is done.
func (p *Portal) tell(w http.ResponseWriter, r *http.Request, path, key string, fill ...any) {
	if err := p.remember(r, toldNote, word{key, fill}); err != nil {
		p.log.Error("a page will not say what was done", "path", path, "error", err)
	}
	redirect(w, r, withQuery(path, "told", ""))
}

// told gives the text that the request before has left for this page; empty when there is none.
func (p *Portal) told(r *http.Request) string {
	if r.Method != http.MethodGet || !r.URL.Query().Has("told") { // no look at the store for nothing
		return ""
	}
	var left word
	if found, err := p.recall(r, toldNote, &left); err != nil || !found {
		return ""
	}
	text, err := words(languageOf(r), left.Key, left.Fill...)
	if err != nil {
		return ""
	}
	return text
}
