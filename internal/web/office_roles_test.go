package web

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/session"
)

// takes is every route of the portal with what it takes: all that there is, and nothing else. A new route is a decision to
// be made in this table first.
var takes = map[string]Permission{
	"GET /assets/{name}": "", "GET /signin": "", "/": "",
	"POST /signin/{provider}": "", "GET /signin/{provider}/callback": "",

	"GET /{$}": OwnLogins, "POST /signout": OwnLogins, "POST /signout/everywhere": OwnLogins,
	"GET /passwords": OwnLogins, "GET /passwords/new": OwnLogins, "POST /passwords/new": OwnLogins, "GET /passwords/issued": OwnLogins,
	"GET /passwords/renew": OwnLogins, "POST /passwords/renew": OwnLogins, "GET /passwords/{id}": OwnLogins,
	"GET /passwords/{id}/revoke": OwnLogins, "POST /passwords/{id}/revoke": OwnLogins,
	"GET /sessions": OwnLogins, "POST /sessions/{id}/cut": OwnLogins, "GET /activity": OwnLogins,

	"GET /factors": OwnLogins, "POST /factors/{id}/name": OwnLogins, "GET /factors/{id}/remove": OwnLogins, "POST /factors/{id}/remove": OwnLogins,
	"POST /factors/totp": OwnLogins, "GET /factors/totp": OwnLogins, "GET /factors/totp.png": OwnLogins, "POST /factors/totp/finish": OwnLogins,
	"POST /factors/passkey/options": OwnLogins, "POST /factors/passkey": OwnLogins, "GET /factors/prove": OwnLogins,
	"POST /factors/prove/totp": OwnLogins, "POST /factors/prove/passkey/options": OwnLogins, "POST /factors/prove/passkey": OwnLogins,

	"GET /admin": SeeLogins, "GET /admin/login": SeeLogins, "GET /admin/sessions": SeeLogins, "GET /admin/forecast": SeeLogins,
	"GET /admin/events": SeeEvents, "GET /admin/events.csv": SeeEvents,
	"POST /admin/lock": LockLogins, "POST /admin/unlock": LockLogins, "POST /admin/cut": CutSessions,
	"POST /admin/passwords/{id}/revoke": RevokePasswords, "POST /admin/passwords/{id}/renew": IssueForDevices, "POST /admin/renew": IssueForDevices,
	"GET /admin/issue": IssueForDevices, "POST /admin/issue": IssueForDevices, "GET /admin/issued": IssueForDevices,
	"POST /admin/factors/reset": ResetFactors,
}

// TestI37EveryRouteIsGuarded: the portal has the routes of the table, each behind its permission, and no other.
func TestI37EveryRouteIsGuarded(t *testing.T) {
	guards := newHarness(t).portal.guards
	for pattern, needed := range guards {
		if want, known := takes[pattern]; !known || want != needed {
			t.Errorf("%q takes %q; the table has %q, %v", pattern, needed, want, known)
		}
	}
	for pattern := range takes {
		if _, there := guards[pattern]; !there {
			t.Errorf("%q is in the table, and not there", pattern)
		}
	}
}

// busyOffice has something for every route to be about.
func busyOffice(t *testing.T) *harness {
	h := newHarness(t)
	h.office.password("copier-3", "pw1", nil)
	h.office.password(alice.Username, "pw2", func(r *apppassword.Record) { r.Protocols = []string{"imap"} })
	h.office.sessions = []session.Info{{ID: "s1", Login: "copier-3", Protocol: "smtp", Mailbox: "scans@contoso.example", Started: start, Password: "pw1"}}
	h.office.factors[alice.Username] = []factor.Factor{{ID: "f1", Method: "totp"}}
	return h
}

// TestI37RolesAndActions is the whole matrix: every role at every route of administration, strangers too. Who may not is
// refused and recorded, and nothing is done; who may is served.
func TestI37RolesAndActions(t *testing.T) {
	forms := map[string]url.Values{
		"POST /admin/lock": {"login": {"copier-3"}}, "POST /admin/unlock": {"login": {"copier-4"}}, "POST /admin/cut": {"session": {"s1"}},
		"POST /admin/passwords/pw1/renew": {"login": {"copier-3"}}, "POST /admin/factors/reset": {"login": {alice.Username}},
		"POST /admin/issue": {"login": {"copier-3"}, "label": {"x"}, "use": {"sending"}, "ticket": {strings.Repeat("t", 26)}},
	}
	paths := map[string]string{"/admin/login": "?name=copier-3", "/admin/issue": "?login=copier-3", "/admin/issued": "?login=copier-3"}
	people := map[Role]Person{User: bob, Auditor: carol, Operator: olga, Administrator: root}
	for _, pattern := range slices.Sorted(maps.Keys(takes)) {
		method, path, _ := strings.Cut(pattern, " ")
		if !strings.HasPrefix(path, "/admin") {
			continue
		}
		path = strings.Replace(path, "{id}", "pw1", 1)
		form := forms[method+" "+path]
		send := func(c *client) *answer {
			if method == "POST" {
				return c.post(path, form)
			}
			return c.get(path + paths[path])
		}
		for role, who := range people {
			h := busyOffice(t)
			a := send(h.signedIn(proved(who)))
			events := h.audit.events
			if role.May(takes[pattern]) {
				if a.Status != http.StatusOK && a.Status != http.StatusSeeOther || strings.HasPrefix(a.Location, "/factors") {
					t.Errorf("%s for %s: got status %d, to %q:\n%s", pattern, role, a.Status, a.Location, a.Body)
				}
				if method == "POST" && path != "/admin/renew" && len(events) != 1 {
					t.Errorf("%s for %s: got events %+v, want one", pattern, role, events)
				}
				continue
			}
			refused, ok := first(events).(audit.PortalRefused)
			if a.Status != http.StatusForbidden || len(events) != 1 || !ok || refused.Permission != string(takes[pattern]) || refused.Path != path {
				t.Errorf("%s for %s: got status %d and events %+v, want it refused and recorded", pattern, role, a.Status, events)
			}
		}
		h := busyOffice(t)
		if a := send(h.stranger()); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, "/signin") || len(h.audit.events) != 0 {
			t.Errorf("%s for strangers: got status %d, to %q, events %+v", pattern, a.Status, a.Location, h.audit.events)
		}
	}
}

func first(events []audit.Event) audit.Event {
	if len(events) == 0 {
		return nil
	}
	return events[0]
}

// TestI37NoWayAroundTheGuard: other methods, other spellings of a path, overriding headers and other sites' forms change
// nothing, whoever sends them.
func TestI37NoWayAroundTheGuard(t *testing.T) {
	h := busyOffice(t)
	user, admin := h.signedIn(proved(bob)), h.signedIn(proved(root))
	for _, path := range []string{"/admin/", "//admin", "/Admin", "/admin/.", "/admin/../admin", "/admin;/", "/%61dmin", "/admin%2flock", "/admin/lock/", "/admin/login/", "/admin/passwords//revoke"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "lock"} {
			r := user.request(method, path, url.Values{"login": {"copier-3"}, "name": {"copier-3"}})
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if a := user.send(r); a.Status == http.StatusOK || strings.Contains(a.Body, "copier-3") {
				t.Errorf("%s %s: got status %d", method, path, a.Status)
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"GET":             func(r *http.Request) { r.Method = "GET" },
		"GET as POST":     func(r *http.Request) { r.Method = "GET"; r.Header.Set("X-HTTP-Method-Override", "POST") },
		"HEAD":            func(r *http.Request) { r.Method = "HEAD" },
		"PUT":             func(r *http.Request) { r.Method = "PUT" },
		"cross-site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"foreign origin":  func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"login in URL":    func(r *http.Request) { r.URL.RawQuery = "login=copier-3"; r.Body = http.NoBody },
		"form as JSON":    func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"plain text form": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
	} {
		r := admin.request("POST", "/admin/lock", url.Values{"login": {"copier-3"}})
		change(r)
		if a := admin.send(r); a.Status == http.StatusSeeOther {
			t.Errorf("%s: got status %d, to %q", name, a.Status, a.Location)
		}
		if h.office.logins[0].Locked {
			t.Fatalf("%s: the login was locked", name)
		}
	}
}

// TestI37OthersObjects: ids and logins that there are not, or that an action is not for, are answered as if they were not
// there, and nothing is done.
func TestI37OthersObjects(t *testing.T) {
	h := busyOffice(t)
	c := h.signedIn(proved(root))
	c.get("/admin/login?name=nobody").want(404)
	c.get("/admin/login").want(404)
	c.post("/admin/lock", url.Values{"login": {"nobody"}}).want(404)
	c.post("/admin/unlock", url.Values{"login": {""}}).want(404)
	c.post("/admin/cut", url.Values{"session": {"s2"}}).want(404)
	c.post("/admin/cut", url.Values{"login": {"nobody"}}).want(404)
	c.post("/admin/passwords/nothing/revoke", nil).want(404)
	c.post("/admin/passwords/nothing/renew", url.Values{"login": {"copier-3"}}).want(404)
	c.post("/admin/passwords/pw2/renew", url.Values{"login": {"copier-3"}}).want(404) // Alice's, under a copier's name
	c.post("/admin/passwords/pw1/renew", url.Values{"login": {"copier-4"}}).want(404)
	c.post("/admin/factors/reset", url.Values{"login": {"nobody"}}).want(404)
	c.get("/admin/issue?login=nobody").want(404)
	c.wantEvents()
}

// TestI40NobodyIssuesForAPerson: there is no way to make, renew or see an app password of a person's login, for any role.
func TestI40NobodyIssuesForAPerson(t *testing.T) {
	h := busyOffice(t)
	c := h.signedIn(proved(root))
	const words = "This login is a person's"
	c.get("/admin/issue?login="+alice.Username).want(403, words)
	c.post("/admin/issue", url.Values{"login": {alice.Username}, "label": {"x"}, "ticket": {strings.Repeat("t", 26)}}).want(403, words)
	c.post("/admin/passwords/pw2/renew", url.Values{"login": {alice.Username}}).want(403, words)
	c.get("/admin/login?name="+alice.Username).want(200, "they make their app passwords themselves").lacks("New app password")
	c.wantEvents()
	if len(h.office.records) != 2 {
		t.Errorf("got %d app passwords, want the two from before", len(h.office.records))
	}
}
