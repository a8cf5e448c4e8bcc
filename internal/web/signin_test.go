package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/auth/token"
	"postern/internal/audit"
)

// begin begins a sign-in and gives what the provider was asked.
func (c *client) begin(provider string, form url.Values) url.Values {
	c.t.Helper()
	a := c.post("/signin/"+provider, form)
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, authorizePage+"?") {
		c.t.Fatalf("got status %d, to %q; want the provider's page:\n%s", a.Status, a.Location, a.Body)
	}
	u, err := url.Parse(a.Location)
	if err != nil {
		c.t.Fatal(err)
	}
	return u.Query()
}

// come comes back from a provider.
func (c *client) come(provider string, query url.Values) *answer {
	c.t.Helper()
	r := c.request("GET", "/signin/"+provider+"/callback?"+query.Encode(), nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site") // as it does
	return c.send(r)
}

// good is the provider's answer to what it was asked.
func good(asked url.Values) url.Values {
	return url.Values{"state": {asked.Get("state")}, "code": {"code-of-" + asked.Get("state")}, "session_state": {"x"}}
}

// signInAs signs somebody in.
func (c *client) signInAs(who Person) *answer {
	c.t.Helper()
	c.entra.set(who)
	return c.come(who.Provider, good(c.begin(who.Provider, nil)))
}

func TestSignIn(t *testing.T) {
	c := newHarness(t).stranger()
	c.get("/signin?return=/%3Fa=b").want(200, "Sign in with Microsoft · contoso.example", `action="/signin/fabrikam"`, `value="/?a=b"`)
	c.entra.set(alice)
	asked := c.begin("contoso", url.Values{"return": {"/?a=b"}})
	if got, want := asked.Get("redirect_uri"), origin+"/signin/contoso/callback"; got != want {
		t.Errorf("got redirect URI %q, want %q", got, want)
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(asked.Get(name)) != 43 {
			t.Errorf("got %s %q, want 256 bits", name, asked.Get(name))
		}
	}
	c.come("contoso", good(asked)).wantRedirect("/?a=b")
	if c.cookies[attemptCookie] != "" {
		t.Error("the attempt is still in the browser")
	}
	c.get("/").want(200, "Hello, Alice Archer")
	want := audit.PortalSignIn{Outcome: audit.Allowed, Provider: "contoso", Username: alice.Username, TenantID: alice.TenantID, ObjectID: alice.ObjectID,
		Role: "user", Remote: c.remote}
	if got := c.wantEvents("portal-sign-in")[0]; got != want {
		t.Errorf("got event %+v, want %+v", got, want)
	}
	if by := "alice@contoso.example (oid-alice, user) at 192.0.2.7:50000"; len(c.enroller.by) != 1 || c.enroller.by[0] != by {
		t.Errorf("got enrolled by %q, want once by %q", c.enroller.by, by)
	}
	if r := c.entra.asked[0]; r.State != asked.Get("state") || r.Nonce != asked.Get("nonce") || (attempt{Verifier: r.Verifier.Reveal()}).challenge() != asked.Get("code_challenge") {
		t.Errorf("redeemed with %+v, want what was asked: %v", r, asked)
	}
}

// TestI21AnswersThatAreNotTaken: what comes back from a provider signs nobody in unless it is the one answer to the
// attempt of this browser. Nothing is kept, and each is one event.
func TestI21AnswersThatAreNotTaken(t *testing.T) {
	for name, test := range map[string]struct {
		reason reason
		answer func(c, other *client) *answer
	}{
		"replayed answer": {replayed, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			attempt := c.cookies[attemptCookie]
			c.come("contoso", good(asked)).want(303)
			c.wantEvents("portal-sign-in")
			c.sessions.all, c.enroller.by = nil, nil
			c.cookies[attemptCookie] = attempt // as somebody who stole both would have it
			return c.come("contoso", good(asked))
		}},
		"replayed code": {codeRefused, func(c, _ *client) *answer {
			first := good(c.begin("contoso", nil))
			c.come("contoso", first).want(303)
			c.wantEvents("portal-sign-in")
			c.sessions.all, c.enroller.by = nil, nil
			again := good(c.begin("contoso", nil))
			again.Set("code", first.Get("code"))
			return c.come("contoso", again)
		}},
		"reloaded page": {otherBrowser, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			c.come("contoso", good(asked)).want(303)
			c.wantEvents("portal-sign-in")
			c.sessions.all, c.enroller.by = nil, nil
			return c.come("contoso", good(asked))
		}},
		"another browser": {otherBrowser, func(c, other *client) *answer { return other.come("contoso", good(c.begin("contoso", nil))) }},
		"another browser that has begun itself": {stateMismatch, func(c, other *client) *answer {
			other.begin("contoso", nil)
			return other.come("contoso", good(c.begin("contoso", nil)))
		}},
		"state of an earlier attempt": {stateMismatch, func(c, _ *client) *answer {
			first := c.begin("contoso", nil)
			c.begin("contoso", nil)
			return c.come("contoso", good(first))
		}},
		"no state": {stateMismatch, func(c, _ *client) *answer {
			asked := good(c.begin("contoso", nil))
			asked.Del("state")
			return c.come("contoso", asked)
		}},
		"two states": {stateMismatch, func(c, _ *client) *answer {
			asked := good(c.begin("contoso", nil))
			asked.Add("state", "another")
			return c.come("contoso", asked)
		}},
		"two codes": {stateMismatch, func(c, _ *client) *answer {
			asked := good(c.begin("contoso", nil))
			asked.Add("code", "another")
			return c.come("contoso", asked)
		}},
		"by another provider's way": {otherProvider, func(c, _ *client) *answer { return c.come("fabrikam", good(c.begin("contoso", nil))) }},
		"by a way that is none":     {otherProvider, func(c, _ *client) *answer { return c.come("nowhere", good(c.begin("contoso", nil))) }},
		"too late": {attemptExpired, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			c.clock.advance(attemptLife)
			return c.come("contoso", good(asked))
		}},
		"a made-up attempt": {otherBrowser, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			c.cookies[attemptCookie] = "eyJTdGF0ZSI6ICJ4In0"
			return c.come("contoso", good(asked))
		}},
		"an attempt in the place of a session": {otherBrowser, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			c.cookies[attemptCookie], c.cookies[sessionCookie] = "", c.cookies[attemptCookie]
			return c.come("contoso", good(asked))
		}},
		"no code": {providerRefused, func(c, _ *client) *answer {
			return c.come("contoso", url.Values{"state": {c.begin("contoso", nil).Get("state")}})
		}},
		"foreign nonce": {identityRefused, func(c, _ *client) *answer {
			c.entra.fault = &token.Error{Class: token.NeedsSignIn, Code: token.CodeNonce}
			return c.come("contoso", good(c.begin("contoso", nil)))
		}},
		"another tenant": {identityRefused, func(c, _ *client) *answer {
			c.entra.fault = &token.Error{Class: token.NeedsSignIn, Code: token.CodeIdentity}
			return c.come("contoso", good(c.begin("contoso", nil)))
		}},
		"an old sign-in": {notFresh, func(c, _ *client) *answer {
			c.clock.advance(signInAge + time.Second)
			return c.come("contoso", good(c.begin("contoso", nil)))
		}},
		"a configuration that does not fit": {misconfigured, func(c, _ *client) *answer {
			c.entra.fault = &token.Error{Class: token.Misconfigured, Code: "invalid_client", AADSTS: []int{7000215}}
			return c.come("contoso", good(c.begin("contoso", nil)))
		}},
		"a provider that is down": {unavailable, func(c, _ *client) *answer {
			c.entra.fault = &token.Error{Class: token.Temporary}
			return c.come("contoso", good(c.begin("contoso", nil)))
		}},
		"a store that is down": {unavailable, func(c, _ *client) *answer {
			asked := c.begin("contoso", nil)
			c.sessions.fault = errors.New("disk full")
			return c.come("contoso", good(asked))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.entra.set(alice)
			c, other := h.stranger(), h.stranger()
			other.remote = "198.51.100.9:4000"
			a := test.answer(c, other)
			want, _ := words("en", "signin.refused."+string(test.reason))
			status := http.StatusForbidden
			if test.reason == unavailable {
				status = http.StatusServiceUnavailable
			}
			a.want(status, "The sign-in did not work", want, `href="/signin?`)
			refused := h.wantEvents("portal-sign-in")[0].(audit.PortalSignIn)
			if refused.Outcome != audit.Refused || refused.Reason != string(test.reason) || refused.Remote == "" {
				t.Errorf("got event %+v, want reason %s", refused, test.reason)
			}
			if len(h.sessions.all) != 0 || len(h.enroller.by) != 0 {
				t.Errorf("%d sessions were begun, %d people enrolled", len(h.sessions.all), len(h.enroller.by))
			}
		})
	}
}

// TestI38WhatTheProviderSaysIsText: the words of an error answer are shown as text, and only those of a known form get
// into the audit log.
func TestI38WhatTheProviderSaysIsText(t *testing.T) {
	c := newHarness(t).stranger()
	said := `AADSTS50105: <script>alert(1)</script> "x" 'y' ` + strings.Repeat("ä", maxSaid)
	a := c.come("contoso", url.Values{"state": {c.begin("contoso", nil).Get("state")}, "error": {"access_denied<b>"}, "error_description": {said}})
	a.want(403, "Microsoft says:", "unreadable AADSTS50105", "<script>alert(1)</script>")
	if strings.Contains(a.Body, "<script>alert") || strings.Contains(a.Body, "<b>") || len(a.Body) > 10_000 {
		t.Errorf("the provider's words are not encoded, or not shortened:\n%s", a.Body)
	}
	if got := c.wantEvents("portal-sign-in")[0].(audit.PortalSignIn); got.Detail != "unreadable AADSTS50105" {
		t.Errorf("got detail %q", got.Detail)
	}
	c.come("contoso", url.Values{"state": {c.begin("contoso", nil).Get("state")}, "error": {"access_denied"}, "error_description": {"AADSTS65004: declined"}}).
		want(403, "access_denied AADSTS65004", "AADSTS65004: declined")
}

// TestI38NamesAreLegible: what turns the text around it about is no part of a name.
func TestI38NamesAreLegible(t *testing.T) {
	c := newHarness(t).stranger()
	odd := alice
	odd.Name = "Ünal \u202eevil\u2066\x00\u200b 王"
	c.signInAs(odd)
	c.get("/").want(200, "Ünal evil 王")
}

// TestI39NobodyIsSentElsewhere: after a sign-in a browser goes to a page of ours, whatever was asked for.
func TestI39NobodyIsSentElsewhere(t *testing.T) {
	h := newHarness(t)
	h.entra.set(alice)
	for _, back := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/signin?out"} {
		c := h.stranger()
		c.get("/signin?return="+url.QueryEscape(back)).want(200, `name="return" value="/"`)
		c.come("contoso", good(c.begin("contoso", url.Values{"return": {back}}))).wantRedirect("/")
	}
}

// TestSignInAgain: who is signed in can prove anew who they are, for an authentication context; the session goes on with a
// new key and the evidence.
func TestSignInAgain(t *testing.T) {
	h := newHarness(t)
	who := alice
	who.Evidence = []Evidence{{Method: "totp", At: start}}
	c := h.signedIn(who)
	old := c.cookies[sessionCookie]
	c.get(signInAgain("c1", "/?a=b")).want(200, "Confirm that it is you", "as alice@contoso.example", `name="context" value="c1"`, `name="again"`).lacks("fabrikam")
	form := url.Values{"again": {"1"}, "context": {"c1"}, "return": {"/?a=b"}}
	asked := c.begin("contoso", form)
	if asked.Get("prompt") != "login" || asked.Get("login_hint") != alice.Username || asked.Get("context") != "c1" {
		t.Errorf("asked %v", asked)
	}
	h.clock.advance(time.Minute)
	again := alice
	again.SignedInAt = h.clock.Now()
	h.entra.set(again, func(in *token.SignIn) { in.Contexts = []string{"c1", "c2"}; in.Methods = []string{"pwd", "mfa"} })
	c.come("contoso", good(asked)).wantRedirect("/?a=b")
	if c.cookies[sessionCookie] == old {
		t.Error("the key is the same")
	}
	var got Person
	h.portal.handle("GET /who", OwnLogins, func(_ http.ResponseWriter, r *http.Request) { got = personOf(r) })
	c.get("/who").want(200)
	want := []Evidence{{Method: "totp", At: start}, {Method: "acrs:c1", At: h.clock.Now()}, {Method: "amr:mfa", At: h.clock.Now()}}
	if len(got.Evidence) != 3 || got.Evidence[0] != want[0] || got.Evidence[1] != want[1] || got.Evidence[2] != want[2] {
		t.Errorf("got evidence %v, want %v", got.Evidence, want)
	}
	if e := h.wantEvents("portal-sign-in")[0].(audit.PortalSignIn); e.Evidence != "acrs:c1 amr:mfa" {
		t.Errorf("got event %+v", e)
	}
	stolen := h.stranger()
	stolen.cookies[sessionCookie] = old
	stolen.get("/").wantRedirect("/signin?return=%2F")

	// Somebody else is not let into it.
	asked = c.begin("contoso", form)
	h.entra.set(bob)
	c.come("contoso", good(asked)).want(403, "Somebody else signed in")
	c.get("/").want(200, "Alice")
	if e := h.wantEvents("portal-sign-in")[0].(audit.PortalSignIn); e.Reason != string(otherPerson) || e.ObjectID != bob.ObjectID {
		t.Errorf("got event %+v", e)
	}
}

// TestContextsThatCount: an authentication context is evidence if it was asked for and is asserted: Entra gives out others,
// too.
func TestContextsThatCount(t *testing.T) {
	h := newHarness(t)
	c := h.signedIn(alice)
	if asked := c.begin("contoso", url.Values{"again": {"1"}, "context": {"c9"}}); asked.Get("context") != "" {
		t.Errorf("context %q was asked for, which nobody asserts", asked.Get("context"))
	}
	// At a first sign-in none is asked for, and none counts; nor does anything from a time that is not known.
	for _, when := range []time.Time{start, {}} {
		who := alice
		who.SignedInAt = when
		h.entra.set(who, func(in *token.SignIn) {
			in.Contexts = []string{"c1"}
			if when.IsZero() {
				in.Methods = []string{"mfa"}
			}
		})
		c = h.stranger()
		c.come("contoso", good(c.begin("contoso", url.Values{"context": {"c1"}}))).want(303)
		if e := h.wantEvents("portal-sign-in")[0].(audit.PortalSignIn); e.Evidence != "" {
			t.Errorf("got evidence %q", e.Evidence)
		}
	}
}

// TestSignInWhenThingsFail: if it cannot be recorded or kept, nobody is signed in; if an account is refused, they are.
func TestSignInWhenThingsFail(t *testing.T) {
	h := newHarness(t)
	c := h.stranger()
	h.enroller.fault = &token.Error{Class: token.NeedsSignIn, Advice: "the account is enrolled for somebody else"}
	c.signInAs(alice).wantRedirect("/")
	h.enroller.fault = &token.Error{Class: token.Temporary}
	c = h.stranger()
	c.signInAs(alice).want(503)
	c.get("/").wantRedirect("/signin?return=%2F")
	h.enroller.fault = nil
	h.audit.fault = errors.New("disk full")
	c.signInAs(alice).want(503)
	c.get("/").wantRedirect("/signin?return=%2F")
	h.entra.down = errors.New("no network")
	c.post("/signin/contoso", nil).want(503, "Postern cannot do this just now")
	c.post("/signin/nowhere", nil).want(404)
}

// TestI41NothingSecretIsLogged: state, code, verifier and keys are in no log, event, answer or address that is not theirs.
func TestI41NothingSecretIsLogged(t *testing.T) {
	h := newHarness(t)
	c := h.stranger()
	var bodies strings.Builder
	for _, fault := range []error{nil, &token.Error{Class: token.Temporary}, &token.Error{Class: token.NeedsSignIn, Code: token.CodeNonce}} {
		h.entra.set(alice)
		h.entra.fault = fault
		asked := c.begin("contoso", nil)
		bodies.WriteString(c.come("contoso", good(asked)).Body)
		bodies.WriteString(c.come("contoso", good(asked)).Body)
	}
	h.entra.fault = nil
	c.signInAs(alice)
	bodies.WriteString(c.get("/").Body)
	h.audit.fault = errors.New("disk full")
	bodies.WriteString(c.post("/signout", nil).Body)
	said := h.log.String() + fmt.Sprintf("%+v", h.audit.events) + bodies.String()
	secrets := []string{c.cookies[sessionCookie]}
	for _, r := range h.entra.asked {
		secrets = append(secrets, r.State, r.Nonce, r.Verifier.Reveal())
	}
	for _, secret := range secrets {
		if len(secret) < 43 || strings.Contains(said, secret) {
			t.Errorf("%q shows", secret)
		}
	}
	if strings.Contains(said, "code-of-") {
		t.Error("a code shows")
	}
}
