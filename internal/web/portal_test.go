package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/internal/audit"
	"postern/internal/config"
)

func TestHomeShowsWhoOneIs(t *testing.T) {
	signedIn(t, alice).get("/").want(200, "Hello, Alice Archer", "alice@contoso.example", "Your role: user.")
	german := signedIn(t, root)
	german.language = "fr;q=0.9, de-AT;q=0.8, en;q=0.2"
	german.get("/").want(200, "Guten Tag, Ruth Root", `lang="de"`, "Verwaltung")
}

// TestI37StrangersAreSentToSignIn: no page but the open ones is for strangers, whatever the method and the path.
func TestI37StrangersAreSentToSignIn(t *testing.T) {
	c := newHarness(t).stranger()
	c.get("/").wantRedirect("/signin?return=%2F")
	c.get("/?a=b").wantRedirect("/signin?return=%2F%3Fa%3Db")
	c.post("/signout/everywhere", nil).wantRedirect("/signin")
	c.cookies[sessionCookie] = "made-up"
	c.get("/").wantRedirect("/signin?return=%2F")
	for _, path := range []string{"//", "/signin/../", "/%2e%2e/", "/SIGNOUT", "/signout/", "/assets/../portal.go", "/assets/style.css", "/nowhere"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "X-ODD"} {
			r := c.request(method, path, nil)
			if a := c.send(r); a.Status < 300 || a.Status == 303 && !strings.HasPrefix(a.Location, "/signin") {
				t.Errorf("%s %s: got status %d, location %q", method, path, a.Status, a.Location)
			}
		}
	}
	c.wantEvents()
}

// TestI37ForeignRequestsChangeNothing: a POST that another site sent, or that names another host, is refused before it
// reaches a page.
func TestI37ForeignRequestsChangeNothing(t *testing.T) {
	c := signedIn(t, alice)
	for name, change := range map[string]func(*http.Request){
		"cross-site":          func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":           func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"foreign origin":      func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"null origin":         func(r *http.Request) { r.Header.Set("Origin", "null") },
		"another port":        func(r *http.Request) { r.Header.Set("Origin", "https://mail.contoso.example") },
		"another host":        func(r *http.Request) { r.Host = "evil.example" },
		"no port in the host": func(r *http.Request) { r.Host = "mail.contoso.example" },
		"method override": func(r *http.Request) {
			r.Method = "GET"
			r.Header.Set("X-HTTP-Method-Override", "POST")
		},
		"rewritten path": func(r *http.Request) {
			r.URL.Path = "/nowhere"
			r.Header.Set("X-Original-URL", "/signout")
			r.Header.Set("X-Rewrite-URL", "/signout")
		},
	} {
		r := c.request("POST", "/signout", url.Values{})
		change(r)
		if a := c.send(r); a.Status < 400 {
			t.Errorf("%s: got status %d, want a refusal", name, a.Status)
		}
		c.wantEvents()
	}
	c.get("/").want(200)
}

// TestI36ForwardingHeadersDoNotCount: nobody is an administrator by naming an address in a header.
func TestI36ForwardingHeadersDoNotCount(t *testing.T) {
	c := signedIn(t, root, func(c *Config) { c.Administration.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	r := c.request("GET", "/", nil)
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"} {
		r.Header.Set(name, "10.1.2.3")
	}
	c.send(r).want(200, "Your role: user.")
	c.remote = "10.1.2.3:4000"
	c.get("/").want(200, "Your role: administrator.")
}

// TestHeaders holds every kind of answer against what each must carry.
func TestHeaders(t *testing.T) {
	c := signedIn(t, alice)
	style, err := assetPath("style.css")
	if err != nil {
		t.Fatal(err)
	}
	foreign := c.request("POST", "/signout", url.Values{})
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	for name, a := range map[string]*answer{"page": c.get("/"), "asset": c.get(style), "not found": c.get("/nowhere"), "foreign": c.send(foreign)} {
		for header, value := range headers {
			if header == "Cache-Control" && name == "asset" {
				value = "public, max-age=31536000, immutable"
			}
			if got := a.Header.Get(header); got != value {
				t.Errorf("%s: header %s: got %q, want %q", name, header, got, value)
			}
		}
		if strings.Contains(a.Body, "style=") || strings.Contains(a.Body, "<style") || strings.Contains(a.Body, "<script>") {
			t.Errorf("%s has style or script in line, which the content policy forbids", name)
		}
	}
}

// TestI38NamesAreText: what a stranger chose as their name is text on a page, in whatever place it stands.
func TestI38NamesAreText(t *testing.T) {
	eve := alice
	eve.Name = `"><script src=//evil.example></script><img src=x onerror=alert(1)>{{.Person}}`
	eve.Username = `eve'"<b>@contoso.example`
	a := signedIn(t, eve).get("/").want(200, eve.Name)
	for _, broken := range []string{"<script src=//", "<img src=x", `'"<b>`} {
		if strings.Contains(a.Body, broken) {
			t.Errorf("%q is not encoded:\n%s", broken, a.Body)
		}
	}
}

func TestReturnPath(t *testing.T) {
	for wanted, want := range map[string]string{
		"/passwords": "/passwords", "/passwords?new=1": "/passwords?new=1", "": "/", "passwords": "/",
		"https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/", "\\\\evil.example": "/", "///evil.example": "/",
		"/\t/evil.example": "/", "/%0d%0aSet-Cookie:a=b": "/%0d%0aSet-Cookie:a=b", "javascript:alert(1)": "/", "/signin?return=/": "/",
		"/signout": "/", "/a#fragment": "/a", "/%zz": "/", "http:/evil.example": "/", "/ /evil": "/%20/evil", "/\r\nX: y": "/",
	} {
		if got := returnPath(wanted); got != want {
			t.Errorf("returnPath(%q) = %q, want %q", wanted, got, want)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, test := range []struct {
		who  Person
		want Role
	}{{alice, User}, {root, Administrator}, {olga, Operator}, {carol, Auditor}} {
		c := signedIn(t, test.who)
		if got := c.portal.roleOf(test.who, netip.MustParseAddr("192.0.2.7")); got != test.want {
			t.Errorf("%s: got %s, want %s", test.who.Username, got, test.want)
		}
	}
	guest := root
	guest.ObjectID, guest.Guest = "oid-of-a-guest", true
	if got := newHarness(t).portal.roleOf(guest, netip.Addr{}); got != User {
		t.Errorf("a guest with an administrator's name is %s, want a user", got)
	}
	both := alice
	both.AppRoles = []string{"Postern.Auditor", "Postern.Administrator", "Other.Role"}
	h := newHarness(t, func(c *Config) {
		c.Administration = config.Administration{Operators: []string{"ALICE@contoso.example"}}
	})
	if got := h.portal.roleOf(both, netip.Addr{}); got != Administrator {
		t.Errorf("with several roles: got %s, want the greatest", got)
	}
}

// TestDenyByDefault: a role that is not in the table, and the zero role, may nothing.
func TestDenyByDefault(t *testing.T) {
	for _, role := range []Role{"", "superuser", "Administrator"} {
		for _, permission := range permissions[Administrator] {
			if role.May(permission) {
				t.Errorf("role %q may %s", role, permission)
			}
		}
	}
	for _, list := range permissions {
		for _, permission := range list {
			if !Administrator.May(permission) {
				t.Errorf("an administrator may not %s", permission)
			}
		}
	}
	for role, never := range map[Role][]Permission{
		User:     {SeeLogins, SeeEvents, SeePolicies, CutSessions, LockLogins, RevokePasswords, IssueForDevices, ResetFactors},
		Auditor:  {CutSessions, LockLogins, RevokePasswords, IssueForDevices, ResetFactors},
		Operator: {SeeEvents, SeePolicies, IssueForDevices, ResetFactors},
	} {
		for _, permission := range never {
			if role.May(permission) {
				t.Errorf("role %s may %s", role, permission)
			}
		}
	}
}

// TestI43RefusalIsRecorded: what a role does not allow is in the audit log before it is answered, and not answered
// where that cannot be written.
func TestI43RefusalIsRecorded(t *testing.T) {
	c := signedIn(t, alice)
	c.portal.handle("POST /lock", LockLogins, func(http.ResponseWriter, *http.Request) { t.Error("the handler was reached") })
	c.post("/lock", nil).want(403, "You may not do this")
	refused := c.wantEvents("portal-refused")[0].(audit.PortalRefused)
	want := audit.PortalRefused{Permission: "lock-logins", Method: "POST", Path: "/lock", By: "alice@contoso.example (oid-alice, user) at 192.0.2.7:50000"}
	if refused != want {
		t.Errorf("got %+v, want %+v", refused, want)
	}
	c.audit.fault = fmt.Errorf("disk full")
	c.post("/lock", nil).want(503)
	c.post("/signout", nil).want(503)
	c.get("/").want(200)
}

// TestWords: every text is there in every language, with the same things to fill in.
func TestWords(t *testing.T) {
	for key, text := range dictionary {
		for i, words := range text {
			if words == "" {
				t.Errorf("text %s is not there in %s", key, languages[i])
			}
			if got, want := strings.Count(words, "%"), strings.Count(text[0], "%"); got != want {
				t.Errorf("text %s has %d things to fill in in %s, and %d in %s", key, got, languages[i], want, languages[0])
			}
		}
	}
	for role := range permissions {
		if _, err := words("en", "role."+string(role)); err != nil {
			t.Error(err)
		}
	}
	for _, entry := range navigation {
		if _, err := words("de", entry.word); err != nil {
			t.Error(err)
		}
	}
}

// TestNotes: what a page remembers is there once, for its session alone, and not for ever.
func TestNotes(t *testing.T) {
	h := newHarness(t)
	first, second := h.signedIn(alice), h.signedIn(alice)
	var got []string
	h.portal.handle("POST /remember", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		if err := h.portal.remember(r, "a", []string{"x", "y"}); err != nil {
			t.Error(err)
		}
	})
	h.portal.handle("POST /recall", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		got = nil
		if _, err := h.portal.recall(r, "a", &got); err != nil {
			t.Error(err)
		}
	})
	want := func(c *client, want ...string) {
		t.Helper()
		if c.post("/recall", nil).want(200); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	first.post("/remember", nil).want(200)
	want(second)
	want(first, "x", "y")
	want(first)
	first.post("/remember", nil).want(200)
	h.clock.advance(noteLife)
	want(first)
}

// TestNotesOfManyRequests: of requests that come at the same time, none undoes what another wrote, and one alone takes
// what is there once.
func TestNotesOfManyRequests(t *testing.T) {
	c := signedIn(t, alice)
	var mu sync.Mutex
	taken := 0
	c.portal.handle("POST /remember/{name}", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		if err := c.portal.remember(r, r.PathValue("name"), true); err != nil {
			t.Error(err)
		}
	})
	c.portal.handle("POST /recall/{name}", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		var is bool
		found, err := c.portal.recall(r, r.PathValue("name"), &is)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if found {
			taken++
		}
	})
	const n = 8
	for _, path := range []string{"/remember/", "/recall/", "/recall/"} {
		var all sync.WaitGroup
		for i := range n {
			request := c.request("POST", fmt.Sprint(path, i), nil)
			all.Go(func() { (&client{harness: c.harness, cookies: map[string]string{}}).send(request).want(200) })
		}
		all.Wait()
	}
	if taken != n {
		t.Errorf("%d notes were taken, want each of %d once", taken, n)
	}
}
