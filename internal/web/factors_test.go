package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/auth/factor"
	"postern/internal/config"
)

func TestAnAuthenticatorIsSetUpOnThePages(t *testing.T) {
	c := signedIn(t, alice)
	c.get("/factors").want(200, "You have none yet", "Set up an authenticator app", "Set up a passkey")
	before := c.cookies[sessionCookie]
	key := c.enrolTOTP("My <telephone>")
	c.wantEvents("factor-enrolled")
	if c.cookies[sessionCookie] == before {
		t.Error("the session has the key from before the proof")
	}
	c.get("/factors?done=enrolled").want(200, "It is set up", "My <telephone>", "authenticator app").lacks(key)
	c.get("/factors/totp").wantRedirect("/factors?problem=not-begun")
	c.get("/factors?problem=not-begun").want(200, "Begin again.")
	c.get("/factors?problem=made-up&done=made-up").want(200).lacks("made-up")

	id := c.factors.all[0].ID
	c.post("/factors/"+id+"/name", url.Values{"name": {"old one"}}).wantRedirect("/factors?done=renamed")
	c.get("/factors").want(200, "old one")
	c.post("/factors/"+id+"/name", url.Values{"name": {""}}).wantRedirect("/factors?problem=bad-name")
	c.get("/factors/"+id+"/remove").want(200, "Remove “old one”?", "It is your only one.")
	c.post("/factors/"+id+"/remove", nil).wantRedirect("/factors?done=removed")
	c.wantEvents("factor-renamed", "factor-removed")
	c.get("/factors").want(200, "You have none yet").lacks("old one")
}

func TestAWrongFirstCodeCanBeCorrected(t *testing.T) {
	c := signedIn(t, alice)
	c.post("/factors/totp", url.Values{"return": {"/passwords/new"}}).wantRedirect("/factors/totp?return=%2Fpasswords%2Fnew")
	first := secretOnPage.FindString(c.get("/factors/totp").want(200).Body)
	form := url.Values{"name": {"tablet"}, "code": {"000000"}, "return": {"/passwords/new"}}
	again := c.post("/factors/totp/finish", form).want(422, "This code is wrong", `value="tablet"`, `value="/passwords/new"`)
	if secretOnPage.FindString(again.Body) != first {
		t.Error("after a wrong code there is another key")
	}
	key := strings.ReplaceAll(secretOnPage.FindStringSubmatch(again.Body)[1], " ", "")
	form.Set("code", c.code(key))
	c.post("/factors/totp/finish", form).wantRedirect("/passwords/new")
}

func TestTheQRCodeIsAPicture(t *testing.T) {
	c := signedIn(t, alice)
	c.get("/factors/totp.png").wantRedirect("/factors?problem=not-begun")
	c.post("/factors/totp", nil)
	a := c.get("/factors/totp.png").want(200)
	if !strings.HasPrefix(a.Body, "\x89PNG") || a.Header.Get("Content-Type") != "image/png" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %q, headers %v", a.Body[:8], a.Header)
	}
}

func TestTheFirstFactorNeedsAFreshSignIn(t *testing.T) {
	c := signedIn(t, alice)
	c.clock.advance(factor.Fresh + time.Second)
	fresh := "/signin?again=1&return=%2Ffactors"
	c.get("/factors").want(200, "sign in with Microsoft once more", fresh).lacks("Set up a passkey")
	c.post("/factors/totp", nil).wantRedirect(fresh)
	c.post("/factors/passkey/options", nil).wantRedirect(fresh)
	c.post("/factors/totp", url.Values{"return": {"/passwords"}}).wantRedirect("/signin?again=1&return=%2Ffactors%3Freturn%3D%252Fpasswords")
}

func TestAChangeNeedsAProof(t *testing.T) {
	c := signedIn(t, alice)
	c.enrolTOTP("telephone")
	c.clock.advance(factor.Fresh + time.Second)
	id := c.factors.all[0].ID
	prove := func(back string) string {
		return "/factors/prove?" + url.Values{"for": {"totp,passkey"}, "return": {back}}.Encode()
	}
	c.post("/factors/totp", nil).wantRedirect(prove("/factors"))
	c.post("/factors/passkey/options", nil).wantRedirect(prove("/factors"))
	c.get("/factors/" + id + "/remove").wantRedirect(prove("/factors/" + id + "/remove"))
	c.post("/factors/"+id+"/remove", nil).wantRedirect(prove("/factors/" + id + "/remove"))
	if len(c.factors.all) != 1 {
		t.Error("it is removed all the same")
	}
}

func TestACodeProvesAndLeadsBack(t *testing.T) {
	c := signedIn(t, alice)
	key := c.enrolTOTP("telephone")
	c.wantEvents("factor-enrolled")
	c.clock.advance(time.Hour / 4)
	c.get("/factors/prove?return=/passwords/new&for=totp").want(200, "Prove that it is you", `value="/passwords/new"`).lacks("Use a passkey")
	form := url.Values{"code": {"000000"}, "return": {"/passwords/new"}, "for": {"totp"}}
	c.post("/factors/prove/totp", form).want(422, "This code is wrong", `value="/passwords/new"`)
	before := c.cookies[sessionCookie]
	form.Set("code", c.code(key))
	c.post("/factors/prove/totp", form).wantRedirect("/passwords/new")
	c.wantEvents("factor-refused", "factor-proven")
	if c.cookies[sessionCookie] == before {
		t.Error("the session has the key from before the proof")
	}
	c.post("/factors/prove/totp", form).want(422, "used already")
	for _, elsewhere := range []string{"https://evil.example/", "//evil.example", "/\\evil.example"} {
		c.clock.advance(time.Minute)
		c.post("/factors/prove/totp", url.Values{"code": {c.code(key)}, "return": {elsewhere}}).wantRedirect("/")
		c.get("/factors/prove?return=" + url.QueryEscape(elsewhere)).want(200).lacks("evil.example")
		c.get("/factors?return=" + url.QueryEscape(elsewhere)).want(200).lacks("evil.example")
	}
}

func TestTheProofPageOffersWhatIsAccepted(t *testing.T) {
	c := signedIn(t, alice)
	c.get("/factors/prove?return=/x").want(200, "You have not set up one", "/factors?return=%2fx")
	c.get("/factors/prove?return=/x&for=acrs:c1").want(200, "Sign in with Microsoft again", "/signin?again=1&context=c1&return=%2Fx").lacks("You have not set up one")
	c.get("/factors/prove?return=/x&for=amr:mfa").want(200, "Sign in with Microsoft again", "/signin?again=1&return=%2Fx").lacks("You have not set up one")
	c.get("/factors/prove?return=/x&for=acrs:c7").want(200, "Your organisation accepts nothing") // which the provider's configuration does not assert
	c.get("/factors/prove?return=/x&for=command-line").want(200, "Your organisation accepts nothing")
	c.enrolTOTP("telephone")
	c.get("/factors/prove?return=/x&for=passkey").want(200, "You have not set up one")
	c.get("/factors/prove?return=/x&for=passkey,totp,acrs:c1").want(200, "Code that your", "Sign in with Microsoft again").lacks("Use a passkey")
}

// TestProven looks at what a page behind a second factor gets, and what its visitor.
func TestProven(t *testing.T) {
	c := signedIn(t, alice)
	mfa := config.MFA{Evidence: []string{"totp", "acrs:c1"}}
	var got Evidence
	c.portal.handle("GET /behind", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		if e, ok := c.portal.proven(w, r, mfa, "/behind"); ok {
			got = e
			w.WriteHeader(http.StatusNoContent)
		}
	})
	prove := "/factors/prove?for=totp%2Cacrs%3Ac1&return=%2Fbehind"
	c.get("/behind").wantRedirect(prove)
	key := c.enrolTOTP("telephone")
	c.get("/behind").want(204)
	if got.Method != "totp" || !got.At.Equal(c.clock.Now()) || got.Factor != c.factors.all[0].ID {
		t.Errorf("got %+v", got)
	}
	c.clock.advance(factor.Fresh)
	c.get("/behind").want(204)
	c.clock.advance(time.Second)
	c.get("/behind").wantRedirect(prove)
	c.post("/factors/prove/totp", url.Values{"code": {c.code(key)}, "return": {"/behind"}}).wantRedirect("/behind")
	c.get("/behind").want(204)

	mfa.Evidence = []string{"passkey"}
	c.get("/behind").wantRedirect("/factors/prove?for=passkey&return=%2Fbehind")
	mfa.Evidence = nil
	c.get("/behind").want(204)

	c.factors.fault = errors.New("the store is down")
	c.get("/behind").want(503)
	c.factors.fault = nil
	c.factors.all = nil // an administrator has reset them
	c.get("/behind").wantRedirect("/factors/prove?return=%2Fbehind")
}

func TestEvidenceOfTheSignInCounts(t *testing.T) {
	who := alice
	who.Evidence = []Evidence{{Method: "acrs:c1", At: start}}
	c := signedIn(t, who)
	c.portal.handle("GET /behind", OwnLogins, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := c.portal.proven(w, r, config.MFA{Evidence: []string{"acrs:c1"}}, "/behind"); ok {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	c.get("/behind").want(204)
	// It is no factor of ours: it enrols none.
	c.enrolTOTP("telephone")
	c.signedIn(who).post("/factors/totp", nil).wantRedirect("/factors/prove?for=totp%2Cpasskey&return=%2Ffactors")
	c.clock.advance(factor.Fresh + time.Second)
	c.get("/behind").wantRedirect("/factors/prove?for=acrs%3Ac1&return=%2Fbehind")
}

// TestI37FactorsOfOthersAreNotThere: what is somebody else's is not there, whatever one asks.
func TestI37FactorsOfOthersAreNotThere(t *testing.T) {
	h := newHarness(t)
	h.signedIn(alice).enrolTOTP("pocket")
	id := h.factors.all[0].ID
	for _, who := range []Person{bob, root} {
		mallory := h.signedIn(who)
		mallory.get("/factors").want(200).lacks("pocket", id)
		mallory.get("/factors/" + id + "/remove").want(404)
		mallory.post("/factors/"+id+"/remove", nil).want(404)
		mallory.post("/factors/"+id+"/name", url.Values{"name": {"mine"}}).want(404)
	}
	twin := alice
	twin.TenantID = "tid-fabrikam"
	h.signedIn(twin).get("/factors").want(200).lacks("pocket")
	if h.factors.all[0].Name != "pocket" {
		t.Error("it was renamed")
	}
	for _, path := range []string{"/factors/" + id + "/name?name=x", "/factors/prove/totp", "/factors/totp/finish", "/factors/passkey/options"} {
		h.signedIn(alice).get(path).want(404) // of a change there is nothing to get
	}
}

func TestI21AnotherBrowsersChallengeIsNotAnswered(t *testing.T) {
	h := newHarness(t)
	one, two := h.signedIn(alice), h.signedIn(alice)
	one.post("/factors/totp", nil).wantRedirect("/factors/totp")
	two.get("/factors/totp").wantRedirect("/factors?problem=not-begun")
	two.get("/factors/totp.png").wantRedirect("/factors?problem=not-begun")
	one.post("/factors/passkey/options", nil).want(200, `"challenge"`, `"userVerification":"required"`)
	two.post("/factors/passkey", url.Values{"name": {"laptop"}, "answer": {"{}"}}).wantRedirect("/factors?problem=not-begun")
	one.post("/factors/passkey", url.Values{"name": {"laptop"}, "answer": {"{}"}}).wantRedirect("/factors?problem=wrong-passkey")
	one.post("/factors/passkey", url.Values{"name": {"laptop"}, "answer": {"{}"}}).wantRedirect("/factors?problem=not-begun")
}
