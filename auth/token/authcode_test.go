package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
	"postern/internal/secret"
)

const redirect = "https://mail.contoso.example:8443/signin/contoso/callback"

// codeRequest is a good request.
func codeRequest() CodeRequest {
	return CodeRequest{Provider: "contoso", RedirectURI: redirect, State: "the-state", Nonce: "the-nonce", Verifier: secret.New(goodVerifier)}
}

// redeem redeems a code after alice has signed in; claims are put over those of her ID token.
func (h *harness) redeem(r CodeRequest, code string, claims jwt.MapClaims) (SignIn, error) {
	h.t.Helper()
	h.entra.set(func() {
		if h.entra.signedIn == nil {
			h.entra.signedIn = &alice
		}
		if h.entra.idToken == nil {
			h.entra.idToken = jwt.MapClaims{"nonce": r.Nonce}
		}
		for name, value := range claims {
			h.entra.idToken[name] = value
		}
	})
	return h.source.Redeem(context.Background(), r, secret.New(code), time.Now())
}

func TestAuthorizationURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		address := func(change func(*CodeRequest)) url.Values {
			r := codeRequest()
			change(&r)
			text, err := h.source.AuthorizationURL(t.Context(), r, "the-challenge")
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(text)
			if err != nil || u.Scheme+"://"+u.Host+u.Path != "https://localhost/"+tenantDomain+"/oauth2/v2.0/authorize" || strings.Contains(text, secretMark) {
				t.Fatalf("got address %q, %v", text, err)
			}
			return u.Query()
		}
		want := url.Values{
			"client_id": {clientID}, "response_type": {"code"}, "response_mode": {"query"}, "redirect_uri": {redirect},
			"scope": {imapScope + " " + smtpScope + " openid profile offline_access"}, "state": {"the-state"}, "nonce": {"the-nonce"},
			"code_challenge": {"the-challenge"}, "code_challenge_method": {"S256"}, "prompt": {"select_account"},
			"claims": {`{"id_token":{"auth_time":{"essential":true}}}`},
		}
		if diff := cmp.Diff(want, address(func(*CodeRequest) {})); diff != "" {
			t.Errorf("first sign-in (-want +got):\n%s", diff)
		}
		want["claims"] = []string{`{"id_token":{"acrs":{"essential":true,"value":"c1"},"auth_time":{"essential":true}}}`}
		want["login_hint"], want["prompt"], want["max_age"] = []string{"alice@contoso.example"}, []string{"login"}, []string{"0"}
		got := address(func(r *CodeRequest) { r.LoginHint, r.Fresh, r.Context = "alice@contoso.example", true, "c1" })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("step-up (-want +got):\n%s", diff)
		}
	})
}

// TestI17PeopleAreSentToTheProviderAlone: a discovery document that names another host for the sign-in is not followed.
func TestI17PeopleAreSentToTheProviderAlone(t *testing.T) {
	for _, endpoint := range []string{"https://evil.example/authorize", "http://localhost/authorize", "https://localhost.evil.example/authorize", "javascript:alert(1)"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			h.entra.set(func() {
				h.entra.document = func(w http.ResponseWriter) {
					reply(w, http.StatusOK, map[string]any{
						"issuer": h.entra.issuer, "token_endpoint": "https://localhost/" + tenantDomain + "/oauth2/v2.0/token",
						"authorization_endpoint": endpoint, "jwks_uri": "https://localhost/" + tenantDomain + "/discovery/v2.0/keys",
					})
				}
			})
			if address, err := h.source.AuthorizationURL(t.Context(), codeRequest(), "x"); err == nil {
				t.Errorf("people are sent to %q", address)
			}
		})
	}
}

func TestRedeem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		r := codeRequest()
		r.Context, r.Fresh = "c1", true
		in, err := h.redeem(r, goodCode, jwt.MapClaims{
			"name": "Alice Archer", "auth_time": time.Now().Unix(), "acrs": "c1", "amr": []string{"pwd", "mfa"}, "roles": []string{"Postern.Auditor"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if in.Identity != alice || in.Name != "Alice Archer" || !in.AuthTime.Equal(time.Now().Truncate(time.Second)) ||
			!slices.Equal(in.Contexts, []string{"c1"}) || !slices.Equal(in.Methods, []string{"pwd", "mfa"}) || !slices.Equal(in.Roles, []string{"Postern.Auditor"}) {
			t.Errorf("got %+v", in)
		}
		form := h.entra.forms[0]
		if form.Get("redirect_uri") != redirect || form.Get("code_verifier") != goodVerifier || form.Get("client_secret") == "" {
			t.Errorf("got form %v", form)
		}
		h.wantNothingKept()
		h.wantEvents()
	})
}

// TestI21SignInsThatAreNotTaken: whatever is wrong with a sign-in, its tokens are thrown away before anything is kept.
func TestI21SignInsThatAreNotTaken(t *testing.T) {
	forged, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func(r *CodeRequest) { r.Fresh = true }
	context := func(r *CodeRequest) { r.Context = "c1" }
	for name, test := range map[string]struct {
		request func(*CodeRequest)
		claims  jwt.MapClaims
		arrange func(*fakeEntra)
		code    string // of the error
	}{
		"replayed code":          {code: "invalid_grant", arrange: func(f *fakeEntra) { f.signedIn = nil; f.refuseAll(400, "invalid_grant", 54005) }},
		"wrong verifier":         {code: "invalid_grant", request: func(r *CodeRequest) { r.Verifier = secret.New("another") }},
		"foreign nonce":          {code: CodeNonce, claims: jwt.MapClaims{"nonce": "another"}},
		"no nonce":               {code: CodeNonce, claims: jwt.MapClaims{"nonce": ""}},
		"another tenant":         {code: CodeIdentity, claims: jwt.MapClaims{"tid": "66666666-2222-3333-4444-555555555555"}},
		"another issuer":         {code: CodeIdentity, claims: jwt.MapClaims{"iss": "https://localhost/other/v2.0"}},
		"another audience":       {code: CodeIdentity, claims: jwt.MapClaims{"aud": "somebody"}},
		"expired":                {code: CodeIdentity, claims: jwt.MapClaims{"exp": time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Hour).Unix()}},
		"forged":                 {code: CodeIdentity, arrange: func(f *fakeEntra) { f.key = forged }},
		"without object id":      {code: CodeIdentity, claims: jwt.MapClaims{"oid": ""}},
		"old sign-in":            {code: CodeNotFresh, request: fresh, claims: jwt.MapClaims{"auth_time": time.Date(1999, 12, 31, 23, 54, 0, 0, time.UTC).Unix()}},
		"sign-in of unknown age": {code: CodeNotFresh, request: fresh},
		"context not satisfied":  {code: CodeNoContext, request: context},
		"another context":        {code: CodeNoContext, request: context, claims: jwt.MapClaims{"acrs": []string{"c2", "c11"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				r := codeRequest()
				if test.request != nil {
					test.request(&r)
				}
				if test.arrange != nil {
					test.arrange(h.entra)
				}
				_, err := h.redeem(r, goodCode, test.claims)
				var failed *Error
				if !errors.As(err, &failed) || failed.Code != test.code || strings.Contains(err.Error(), secretMark) {
					t.Errorf("got %v, want code %s", err, test.code)
				}
				h.wantNothingKept()
				h.wantEvents()
			})
		})
	}
}

// TestEnrolledBySignIn: the refresh token of a sign-in serves the account from then on, as the kind of client that it
// was issued to.
func TestEnrolledBySignIn(t *testing.T) {
	for name, config := range map[string]MicrosoftConfig{
		"confidential client": {ClientSecret: secret.New(secretMark + "-client")}, "public client": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.source = h.newSourceAs(config)
				in, err := h.redeem(codeRequest(), goodCode, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := h.source.EnrollSignIn(t.Context(), aliceAccount, in, "alice"); err != nil {
					t.Fatal(err)
				}
				want := audit.AccountEnrolled{Provider: "contoso", Account: alice.Username, TenantID: tenantID, ObjectID: alice.ObjectID,
					Method: "authorization-code", By: "alice"}
				if diff := cmp.Diff([]audit.Event{want}, h.audit.events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				first := h.mustUse(aliceAccount)
				time.Sleep(2 * time.Hour)
				if second := h.mustUse(aliceAccount); second.Token.Equal(first.Token) {
					t.Error("the token was not renewed")
				}
				form := h.entra.forms[len(h.entra.forms)-1]
				if got, want := form.Has("client_secret"), !config.ClientSecret.IsZero(); form.Get("grant_type") != "refresh_token" || got != want {
					t.Errorf("renewed with %v; want the client's secret in it: %v", form, want)
				}
				if len(h.store.caches) != 1 {
					t.Errorf("there are %d rows, want one", len(h.store.caches))
				}
			})
		})
	}
}

// TestTheLastEnrolmentCounts: by device code after a sign-in at the portal and the other way round.
func TestTheLastEnrolmentCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		byCode := func() {
			in, err := h.redeem(codeRequest(), goodCode, nil)
			if err == nil {
				err = h.source.EnrollSignIn(t.Context(), aliceAccount, in, "alice")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		kind := func(want string) {
			t.Helper()
			for key := range h.store.caches {
				if key.Kind != want || len(h.store.caches) != 1 {
					t.Errorf("got %d rows, one of kind %s; want one of kind %s", len(h.store.caches), key.Kind, want)
				}
			}
			h.mustUse(aliceAccount)
		}
		byCode()
		kind(KindConfidential)
		if _, err := h.enrollAlice(t.Context()); err != nil {
			t.Fatal(err)
		}
		kind(KindPublic)
		byCode()
		kind(KindConfidential)
	})
}

// TestI21SignInEnrolsItsPersonAlone: an account that is somebody else's is not enrolled, by name or by object id.
func TestI21SignInEnrolsItsPersonAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		in, err := h.redeem(codeRequest(), goodCode, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string, account Account, in SignIn, events ...string) {
			t.Helper()
			h.audit.events = nil
			if err := h.source.EnrollSignIn(t.Context(), account, in, "alice"); err == nil {
				t.Errorf("%s: it was enrolled", what)
			}
			h.wantEvents(events...)
		}
		refused("bob's account", bobAccount, in, "enrolment-refused")
		elsewhere := aliceAccount
		elsewhere.Provider = "fabrikam"
		refused("another provider's", elsewhere, in)
		refused("the application's", appAccount, in)
		guest, err := h.redeem(codeRequest(), goodCode, jwt.MapClaims{"idp": "https://sts.windows.net/77777777-2222-3333-4444-555555555555/"})
		if err != nil {
			t.Fatal(err)
		}
		refused("a guest of that name", aliceAccount, guest, "enrolment-refused")
		if in, err = h.redeem(codeRequest(), goodCode, jwt.MapClaims{"idp": "https://sts.windows.net/" + tenantID + "/"}); err != nil || in.Guest {
			t.Fatalf("got guest %v, %v; want one of the tenant's own", in.Guest, err)
		}
		refused("nobody", aliceAccount, SignIn{Identity: alice})
		h.wantNothingKept()

		// The account is enrolled for one who had the name before.
		before := Identity{TenantID: tenantID, ObjectID: "cccccccc-0000-0000-0000-000000000003", Username: alice.Username}
		h.store.enrolments[aliceAccount] = Enrolment{Identity: before}
		refused("a name that changed hands", aliceAccount, in, "enrolment-refused")
		// And where it is the same person under a new name, it goes on.
		h.store.enrolments[aliceAccount] = Enrolment{Identity: Identity{TenantID: tenantID, ObjectID: alice.ObjectID, Username: "alice.old@contoso.example"}}
		if err := h.source.EnrollSignIn(t.Context(), aliceAccount, in, "alice"); err != nil {
			t.Error(err)
		}

		// If it cannot be recorded, it is not done.
		h.store.enrolments, h.store.caches = map[Account]Enrolment{}, map[CacheKey][]byte{}
		h.audit.fault = errors.New("disk full")
		if err := h.source.EnrollSignIn(t.Context(), aliceAccount, in, "alice"); err == nil {
			t.Error("it was enrolled without a line in the audit log")
		}
		h.wantNothingKept()
	})
}
