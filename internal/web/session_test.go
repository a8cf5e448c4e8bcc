package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/audit"
)

// TestSessionFixation: a key that somebody put into the browser before the sign-in is worth nothing after it.
func TestSessionFixation(t *testing.T) {
	h := newHarness(t)
	mallory := h.signedIn(bob)
	victim := h.stranger()
	victim.cookies[sessionCookie] = mallory.cookies[sessionCookie]
	victim.signInAs(alice).wantRedirect("/")
	victim.get("/").want(200, "Alice")
	if victim.cookies[sessionCookie] == mallory.cookies[sessionCookie] {
		t.Error("the key is the same")
	}
	mallory.get("/").wantRedirect("/signin?return=%2F")

	victim = h.stranger()
	victim.cookies[sessionCookie] = "chosen-by-mallory"
	victim.signInAs(alice).wantRedirect("/")
	if victim.cookies[sessionCookie] == "chosen-by-mallory" {
		t.Error("a key that was never given out is taken")
	}
}

func TestCookies(t *testing.T) {
	c := newHarness(t).stranger()
	c.entra.set(alice)
	begun := c.post("/signin/contoso", nil)
	u, _ := url.Parse(begun.Location)
	done := c.come("contoso", good(u.Query()))
	for _, a := range []*answer{begun, done} {
		set := a.Header.Values("Set-Cookie")
		if len(set) == 0 {
			t.Fatal("no cookie was set")
		}
		for _, cookie := range set {
			for _, want := range []string{"__Host-postern", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"} {
				if !strings.Contains(cookie, want) {
					t.Errorf("cookie %q lacks %q", cookie, want)
				}
			}
			if strings.Contains(cookie, "Domain") {
				t.Errorf("cookie %q is for other hosts", cookie)
			}
		}
	}
	// What is stored is no key.
	for _, s := range c.sessions.all {
		if strings.Contains(string(s.Hash)+string(s.Sealed), c.cookies[sessionCookie]) {
			t.Error("the key is in the store")
		}
	}
}

// TestSessionsEnd: without a request, with them, by signing out, and everywhere.
func TestSessionsEnd(t *testing.T) {
	h := newHarness(t)
	ended := func(c *client) {
		t.Helper()
		c.get("/").wantRedirect("/signin?return=%2F")
	}
	idle := h.signedIn(alice)
	h.clock.advance(idleLife - time.Second)
	idle.get("/").want(200)
	h.clock.advance(idleLife - time.Second)
	idle.get("/").want(200)
	h.clock.advance(idleLife)
	ended(idle)

	busy := h.signedIn(alice)
	for range int(absoluteLife/(20*time.Minute)) - 1 {
		h.clock.advance(20 * time.Minute)
		busy.get("/").want(200)
	}
	h.clock.advance(20 * time.Minute)
	ended(busy)

	first, second, bobs := h.signedIn(alice), h.signedIn(alice), h.signedIn(bob)
	stolen := h.stranger()
	stolen.cookies[sessionCookie] = first.cookies[sessionCookie]
	first.post("/signout", nil).wantRedirect("/signin?out")
	if first.cookies[sessionCookie] != "" {
		t.Error("the cookie is still in the browser")
	}
	first.get("/signin?out").want(200, "You are signed out.")
	ended(stolen)
	second.get("/").want(200)
	third := h.signedIn(alice)
	third.post("/signout/everywhere", nil).wantRedirect("/signin?out")
	ended(second)
	bobs.get("/").want(200)
	events := h.wantEvents("portal-sign-out", "portal-sign-out")
	if !events[1].(audit.PortalSignOut).Everywhere || events[0].(audit.PortalSignOut).Everywhere {
		t.Errorf("got %+v", events)
	}
	h.getDoesNothing("/signout")
}

// getDoesNothing checks that a path does nothing for a GET.
func (h *harness) getDoesNothing(path string) {
	h.t.Helper()
	c := h.signedIn(alice)
	if a := c.get(path); a.Status != http.StatusMethodNotAllowed && a.Status != http.StatusNotFound {
		h.t.Errorf("GET %s: got status %d", path, a.Status)
	}
	c.get("/").want(200)
}

// TestAMovedSessionIsNone: content that was sealed for another key does not open.
func TestAMovedSessionIsNone(t *testing.T) {
	h := newHarness(t)
	a, r := h.signedIn(alice), h.signedIn(root)
	h.sessions.all[0].Sealed = h.sessions.all[1].Sealed // alice's row, with the administrator's content
	a.get("/").wantRedirect("/signin?return=%2F")
	r.get("/").want(200)
}

// TestI32AFaultEndsOneRequest: a page that panics costs its reader an error, and nobody else anything.
func TestI32AFaultEndsOneRequest(t *testing.T) {
	c := signedIn(t, alice)
	c.portal.handle("GET /broken", OwnLogins, func(http.ResponseWriter, *http.Request) { panic("secret of somebody") })
	c.get("/broken").want(500).lacks("secret")
	c.get("/").want(200)
	if log := c.log.String(); !strings.Contains(log, "please report it") || strings.Contains(log, "secret of somebody") {
		t.Errorf("got log %s", log)
	}
}
