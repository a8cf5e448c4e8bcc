package entra

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/sim/tenant"
)

const verifier = "a-verifier-of-more-than-forty-three-characters-0123"

// wanted is a good request for a code.
func wanted(more ...string) url.Values {
	return with(form("client_id", clientID, "response_type", "code", "redirect_uri", redirectURI, "state", "the state", "nonce", "the nonce",
		"scope", mailScope+" openid profile offline_access", "code_challenge", s256(verifier), "code_challenge_method", "S256"), more...)
}

func (b *browser) authorize(values url.Values) *browser {
	b.t.Helper()
	return b.open("/" + domain + "/oauth2/v2.0/authorize?" + values.Encode())
}

// signIn goes through the pages as bob, who has no second factor, and gives the code.
func (b *browser) signIn(values url.Values) string {
	b.t.Helper()
	b.authorize(values).enter("login", bob).enter("passwd", password)
	code := b.returned().Get("code")
	if code == "" {
		b.t.Fatalf("got no code: %v", b.returned())
	}
	return code
}

// redemption is a good request for the tokens of a code.
func redemption(code string, more ...string) url.Values {
	return with(form("grant_type", "authorization_code", "client_id", clientID, "client_secret", clientSecret, "code", code,
		"redirect_uri", redirectURI, "code_verifier", verifier, "client_info", "1"), more...)
}

func TestAuthorizeWithSecondFactor(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	b.authorize(wanted("login_hint", alice, "claims", `{"id_token":{"acrs":{"essential":true,"value":"c1"},"auth_time":{"essential":true}}}`))
	b.see("Sign in").see(`value="` + alice + `"`)
	b.enter("login", "nobody@contoso.example").see("This username may be incorrect.")
	b.enter("login", alice).see("Enter password")
	b.enter("passwd", "wrong").see("Your account or password is incorrect.")
	b.enter("passwd", password).see("Enter code")
	code := f.MFACode(alice)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	b.enter("otc", wrong).see("You didn't enter the expected verification code.")
	before := f.clock.now().Add(-2 * time.Second)
	b.enter("otc", code)
	answer := b.returned()
	if answer.Get("state") != "the state" || answer.Get("session_state") == "" {
		t.Errorf("got %v, want the state back", answer)
	}
	if f.MFACode(alice) == code {
		t.Error("the second factor's code can be used again")
	}

	r := f.post(t, "token", redemption(answer.Get("code")))
	r.wantTokens(t)
	f.verify(t, r)
	claims := claimsOf(t, r.text("id_token"))
	for name, want := range map[string]any{
		"aud": clientID, "iss": f.URL() + "/" + tenantID + "/v2.0", "tid": tenantID, "oid": aliceID, "preferred_username": alice,
		"nonce": "the nonce", "ver": "2.0", "amr": nil,
	} {
		if claims[name] != want {
			t.Errorf("id token's %s: got %v, want %v", name, claims[name], want)
		}
	}
	if diff := cmp.Diff([]any{"c1"}, claims["acrs"]); diff != "" {
		t.Errorf("acrs (-want +got):\n%s", diff)
	}
	if at, _ := claims["auth_time"].(float64); int64(at) < before.Unix() || int64(at) > f.clock.now().Unix() {
		t.Errorf("got auth_time %v, want now", claims["auth_time"])
	}
	again := claimsOf(t, f.refresh(t, clientID, r, "scope", mailScope+" openid").text("id_token"))
	if again["nonce"] != nil {
		t.Error("the nonce is in a later id token too")
	}
}

func TestIDTokenSaysWhatWasAskedAlone(t *testing.T) {
	f := start(t)
	r := f.post(t, "token", redemption(f.browse(t).signIn(wanted("nonce", ""))))
	claims := claimsOf(t, r.text("id_token"))
	for _, name := range []string{"acrs", "auth_time", "nonce"} {
		if claims[name] != nil {
			t.Errorf("got %s %v, which was not asked for", name, claims[name])
		}
	}
}

func TestRedeemCodeRefuses(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	code := b.signIn(wanted())
	f.post(t, "token", redemption(code, "redirect_uri", redirectURI+"/other")).wantError(t, 400, 50011, "invalid_request")
	f.post(t, "token", redemption(code, "code_verifier", verifier+"x")).wantError(t, 400, 50148, "invalid_grant")
	f.post(t, "token", redemption(code, "code_verifier", "")).wantError(t, 400, 50148, "invalid_grant")
	f.post(t, "token", redemption(code, "client_id", webID)).wantError(t, 400, 70000, "invalid_grant")
	f.post(t, "token", redemption(code)).wantTokens(t)
	f.post(t, "token", redemption(code)).wantError(t, 400, 54005, "invalid_grant")

	late := f.browse(t).signIn(wanted())
	f.clock.advance(codeLife)
	f.post(t, "token", redemption(late)).wantError(t, 400, 70008, "invalid_grant")
}

func TestAuthorizeWithoutPKCE(t *testing.T) {
	f := start(t)
	code := f.browse(t).signIn(wanted("code_challenge", "", "code_challenge_method", ""))
	f.post(t, "token", redemption(code)).wantError(t, 400, 50148, "invalid_grant") // a verifier of nothing
	f.post(t, "token", redemption(code, "code_verifier", "")).wantTokens(t)
}

func TestAuthorizeRefusesWithoutTheApplication(t *testing.T) {
	f := start(t)
	for code, values := range map[int]url.Values{
		50011: wanted("redirect_uri", redirectURI+".evil.example"), 700016: wanted("client_id", tenantID),
		900144: wanted("client_id", ""), 9002313: wanted("response_mode", "web_message"),
	} {
		b := f.browse(t)
		b.authorize(values).see("AADSTS" + strconv.Itoa(code) + ":")
		if b.page.header.Get("Location") != "" || b.page.status != http.StatusBadRequest {
			t.Errorf("%d: got status %d to %q, want a page", code, b.page.status, b.page.header.Get("Location"))
		}
	}
	b := f.browse(t)
	b.open("/fabrikam.example/oauth2/v2.0/authorize?" + wanted().Encode()).see("AADSTS90002:")
}

func TestAuthorizeRefusesToTheApplication(t *testing.T) {
	f := start(t)
	for _, c := range []struct {
		name   string
		values url.Values
		word   string
		code   string
	}{
		{"response type", wanted("response_type", "id_token"), "unsupported_response_type", "AADSTS700054:"},
		{"no scope", wanted("scope", ""), "invalid_request", "AADSTS900144:"},
		{"unknown scope", wanted("scope", "https://outlook.office.com/Nothing"), "invalid_scope", "AADSTS70011:"},
		{"prompt", wanted("prompt", "please"), "invalid_request", "AADSTS9002313:"},
		{"plain PKCE", wanted("code_challenge_method", "plain"), "invalid_request", "AADSTS9002313:"},
		{"claims", wanted("claims", "{"), "invalid_request", "AADSTS9002313:"},
		{"nobody signed in", wanted("prompt", "none"), "login_required", "AADSTS50058:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := f.browse(t).authorize(c.values).returned()
			if answer.Get("error") != c.word || answer.Get("state") != "the state" {
				t.Errorf("got %v, want error %q and the state", answer, c.word)
			}
			contains(t, "description", answer.Get("error_description"), c.code)
		})
	}
}

func TestResponseModes(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	b.authorize(wanted("response_mode", "form_post")).enter("login", bob).enter("passwd", password).see("Continue")
	if b.action != redirectURI || b.hidden.Get("code") == "" || b.hidden.Get("state") != "the state" {
		t.Errorf("got a form to %q with %v", b.action, b.hidden)
	}
	f.post(t, "token", redemption(b.hidden.Get("code"))).wantTokens(t)
	f.post(t, "token", redemption(f.browse(t).signIn(wanted("response_mode", "fragment")))).wantTokens(t)
}

func TestSingleSignOn(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	b.signIn(wanted())
	if b.authorize(wanted("prompt", "none")).returned().Get("code") == "" {
		t.Error("a browser that is signed in got no code silently")
	}
	b.authorize(wanted("login_hint", alice)).see("Sign in")
	b.authorize(wanted("prompt", "select_account")).see("Sign in")
	f.clock.advance(time.Hour)
	authTime := func() float64 {
		t.Helper()
		at, _ := claimsOf(t, f.post(t, "token", redemption(b.returned().Get("code"))).text("id_token"))["auth_time"].(float64)
		return at
	}
	asked := wanted("claims", `{"id_token":{"auth_time":null}}`)
	b.authorize(asked)
	first := authTime()
	b.authorize(with(asked, "prompt", "login")).enter("login", bob).enter("passwd", password)
	if second := authTime(); second-first < 3590 || first == 0 {
		t.Errorf("got auth_time %v and after prompt=login %v, want an hour between", first, second)
	}
	f.RevokeSessions(bob)
	b.authorize(wanted()).see("Sign in")
	b.signIn(wanted())
	b.open("/" + domain + "/oauth2/v2.0/logout").see("You signed out")
	b.authorize(wanted()).see("Sign in")
}

func TestConsent(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	b.authorize(wanted("prompt", "consent")).enter("login", bob).enter("passwd", password)
	b.see("Permissions requested").see("IMAP.AccessAsUser.All")
	if got := b.enter("answer", "decline").returned(); got.Get("error") != "access_denied" || got.Get("state") != "the state" {
		t.Errorf("declined: got %v, want access_denied", got)
	}
	b = f.browse(t)
	b.authorize(wanted("prompt", "consent")).enter("login", bob).enter("passwd", password).enter("answer", "accept")
	f.post(t, "token", redemption(b.returned().Get("code"))).wantTokens(t)

	b = f.browse(t)
	b.authorize(wanted("client_id", webID)).enter("login", bob).enter("passwd", password).see("Need admin approval")
	got := b.enter("answer", "decline").returned()
	contains(t, "description", got.Get("error_description"), "AADSTS90094:")

	b.signIn(wanted())
	if got := b.authorize(wanted("client_id", webID, "prompt", "none")).returned().Get("error"); got != "consent_required" {
		t.Errorf("silently without consent: got error %q, want consent_required", got)
	}
}

func TestWhoCannotSignIn(t *testing.T) {
	f := start(t)
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.Disabled = true })
	f.tenant.AddPerson(tenant.Person{ObjectID: "c", UPN: "guest@contoso.example"})
	f.browse(t).authorize(wanted()).enter("login", bob).enter("passwd", password).see("Your account has been locked.")
	f.browse(t).authorize(wanted()).enter("login", "guest@contoso.example").enter("passwd", "").see("Your account or password is incorrect.")
	b := f.browse(t).authorize(wanted())
	f.clock.advance(flowLife)
	b.enter("login", alice).see("Your sign-in has expired")
}

// TestWhomTheApplicationIsAssignedTo: where assignment is required, others are told so by the application; app roles are
// in the id token, those of this application alone.
func TestWhomTheApplicationIsAssignedTo(t *testing.T) {
	f := start(t)
	f.tenant.UpdateApplication(clientID, func(a *tenant.Application) { a.AssignmentRequired = true })
	refused := func(b *browser) {
		t.Helper()
		got := b.returned()
		if got.Get("error") != "access_denied" || got.Get("state") != "the state" || got.Get("code") != "" {
			t.Errorf("got %v, want access_denied with the state", got)
		}
		contains(t, "description", got.Get("error_description"), "AADSTS50105:")
	}
	refused(f.browse(t).authorize(wanted()).enter("login", bob).enter("passwd", password))
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) {
		p.AppRoles = []tenant.Assignment{{ClientID: webID, Role: "Other"}, {ClientID: clientID, Role: "Postern.Auditor"}, {ClientID: clientID}}
	})
	b := f.browse(t)
	claims := claimsOf(t, f.post(t, "token", redemption(b.signIn(wanted()))).text("id_token"))
	if diff := cmp.Diff([]any{"Postern.Auditor"}, claims["roles"]); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.AppRoles = nil })
	refused(b.authorize(wanted("prompt", "none")))
}

// TestMaxAge: a browser's sign-in that is too old is asked for anew.
func TestMaxAge(t *testing.T) {
	f := start(t)
	b := f.browse(t)
	b.signIn(wanted())
	f.clock.advance(time.Minute)
	if b.authorize(wanted("max_age", "3600")).returned().Get("code") == "" {
		t.Error("a young sign-in did not do")
	}
	b.authorize(wanted("max_age", "10")).see("Sign in")
	if got := b.authorize(wanted("max_age", "-1")).returned().Get("error"); got != "invalid_request" {
		t.Errorf("got error %q for a max_age that is none", got)
	}
}
