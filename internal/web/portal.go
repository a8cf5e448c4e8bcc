// Package web is the portal: the pages on which people sign in with their provider, prove a second factor, and manage
// their app passwords and sessions, and on which administrators look after the logins of others.
//
// HTML comes whole from the server and works without scripts, but for passkeys and for copying to the clipboard; nothing
// is loaded from elsewhere. A page decides nothing by itself about mail: what it needs of the rest of the gateway it
// declares as a small interface, and package gateway provides. A new page is a handler in a file of its own, a template
// in pages, its words in a words file, and a line in [Portal.routes].
//
// The order of every change is: who is it, may they ([Role]), is the request from our own page (RFC 6454), write the audit
// line, do it, and send the browser to a page that it may reload.
package web

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
)

// Config is what a portal is made of.
type Config struct {
	URL            string                // required: https://host or https://host:port, as browsers reach the portal
	Administration config.Administration // who has which role
	Providers      []Provider            // required: where people sign in
	Authority      Authority             // required
	Enroller       Enroller              // required
	Sessions       SessionStore          // required
	Factors        *factor.Keeper        // required: people's second factors
	Keys           Sealer                // required: seals the content of sessions
	Desk           Desk                  // required: the things of who is signed in
	Office         Office                // required: the logins of everybody
	Audit          Recorder              // required
	Log            *slog.Logger          // required
	Now            func() time.Time      // nil means time.Now
	// Predecessor is the portal whose place this one takes, or nil: what each source has asked for already counts on.
	Predecessor *Portal
}

// Recorder is the audit log.
type Recorder interface{ Record(audit.Event) error }

// Portal serves the pages. It is safe for concurrent use.
type Portal struct {
	config   Config
	host     string // of Config.URL: the only one that requests may name
	now      func() time.Time
	log      *slog.Logger
	sessions sessions
	pace     *pace
	pages    pages
	mux      *http.ServeMux
	guards   map[string]Permission // pattern → what it takes; nothing for what is open to strangers
	handler  http.Handler
}

// New makes a portal.
func New(c Config) (*Portal, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Portal{config: c, host: strings.ToLower(u.Host), now: c.Now, log: c.Log, mux: http.NewServeMux(), guards: make(map[string]Permission)}
	if p.pace = newPace(c.Now); c.Predecessor != nil {
		p.pace = c.Predecessor.pace
	}
	p.config.Predecessor = nil // else every reload would keep all that came before it
	p.sessions = sessions{store: c.Sessions, keys: c.Keys, now: c.Now}
	if p.pages, err = parsePages(); err != nil {
		return nil, err
	}
	p.routes()
	p.handler = p.guarded(p.contained(p.paced(p.mux)))
	return p, nil
}

// ServeHTTP answers a request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// routes is the list of all that there is. Everything but what is open to strangers goes through [Portal.handle] with
// the permission that it takes.
func (p *Portal) routes() {
	p.open("GET /assets/{name}", p.asset)
	p.open("GET /signin", p.welcome(p.signInPage))
	p.open("POST /signin/{provider}", p.signInPaced(p.welcome(p.beginSignIn)))
	p.open("GET /signin/{provider}/callback", p.signInPaced(p.welcome(p.callback)))

	p.handle("GET /{$}", OwnLogins, p.home)
	p.handle("POST /signout", OwnLogins, p.signOut)
	p.handle("POST /signout/everywhere", OwnLogins, p.signOutEverywhere)

	p.deskRoutes()
	p.factorRoutes()
	p.officeRoutes()

	p.open("/", p.notFound)
}

// open has a pattern served to everybody.
func (p *Portal) open(pattern string, handler http.HandlerFunc) {
	p.guards[pattern] = ""
	p.mux.HandleFunc(pattern, handler)
}

// handle has a pattern served to those who are signed in and whose role has a permission.
func (p *Portal) handle(pattern string, needed Permission, handler http.HandlerFunc) {
	p.guards[pattern] = needed
	p.mux.HandleFunc(pattern, p.require(needed, handler))
}

// redirect sends the browser on to a page of ours: after a POST, so that reloading does nothing twice.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, path, http.StatusSeeOther)
}
