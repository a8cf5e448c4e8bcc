package entra

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/sim/tenant"
)

func TestClientCredentials(t *testing.T) {
	f := start(t)
	r := f.post(t, "token", credentials())
	r.wantTokens(t)
	claims := f.verify(t, r)
	want := tenant.Claims{
		ID: claims.ID, TenantID: tenantID, ObjectID: "0b1ec700-0000-4000-8000-000000000001", ClientID: clientID,
		Roles: []string{"IMAP.AccessAsApp", "SMTP.SendAsApp"}, Expires: claims.Expires,
	}
	if diff := cmp.Diff(want, claims, cmp.Transformer("nil", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	life := r.json["expires_in"].(float64)
	if left := time.Until(claims.Expires).Seconds(); life < 3600 || life > 5400 || left > life || left < life-10 {
		t.Errorf("got life %v s, %v s left, want 60 to 90 minutes and the same", life, left)
	}
	for _, name := range []string{"refresh_token", "id_token", "scope", "client_info"} {
		if r.text(name) != "" {
			t.Errorf("got %s with an application's own token, want none", name)
		}
	}
	if r.header.Get("Cache-Control") != "no-store, no-cache" {
		t.Errorf("got Cache-Control %q", r.header.Get("Cache-Control"))
	}
}

func TestAccessTokenLooksLikeEntras(t *testing.T) {
	f := start(t)
	tokens := f.signIn(t, clientID, alice, mailScope+" openid offline_access").text("access_token")
	if len(tokens) < 1500 || len(tokens) > 3000 {
		t.Errorf("got a token of %d bytes, want 1500 to 3000", len(tokens))
	}
	claims := claimsOf(t, tokens)
	for name, want := range map[string]any{
		"aud": "https://outlook.office.com", "iss": "https://sts.windows.net/" + tenantID + "/", "ver": "1.0", "upn": alice, "oid": aliceID,
		"tid": tenantID, "appid": clientID, "scp": "IMAP.AccessAsUser.All SMTP.Send", "idtyp": "user", "appidacr": "0",
	} {
		if claims[name] != want {
			t.Errorf("claim %s: got %v, want %v", name, claims[name], want)
		}
	}
	if diff := cmp.Diff([]any{"pwd", "mfa"}, claims["amr"]); diff != "" {
		t.Errorf("amr (-want +got):\n%s", diff)
	}
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts of a token, want 3", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokenEndpointRefuses(t *testing.T) {
	f := start(t)
	device := form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", clientID, "device_code", "none")
	refresh := form("grant_type", "refresh_token", "client_id", clientID, "refresh_token", "none", "scope", mailScope)
	code := form("grant_type", "authorization_code", "client_id", clientID, "client_secret", clientSecret, "code", "none")
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		code   int
		word   string
	}{
		{"no grant", with(credentials(), "grant_type", ""), 400, 900144, "invalid_request"},
		{"unknown grant", with(credentials(), "grant_type", "password"), 400, 70003, "unsupported_grant_type"},
		{"no client", with(credentials(), "client_id", ""), 400, 900144, "invalid_request"},
		{"unknown client", with(credentials(), "client_id", tenantID), 400, 700016, "unauthorized_client"},
		{"disabled client", with(credentials(), "client_id", offID), 400, 7000112, "unauthorized_client"},
		{"wrong secret", with(credentials(), "client_secret", "wrong"), 401, 7000215, "invalid_client"},
		{"expired secret", with(credentials(), "client_secret", expiredSecret), 401, 7000222, "invalid_client"},
		{"no secret", with(credentials(), "client_secret", ""), 401, 7000216, "invalid_client"},
		{"secret of a public client", with(credentials(), "client_id", publicID), 401, 700025, "invalid_client"},
		{"assertion of a public client", with(refresh, "client_id", publicID, "client_assertion", "a.b.c",
			"client_assertion_type", assertionType), 401, 700025, "invalid_client"},
		{"assertion without its type", with(credentials(), "client_assertion", "a.b.c"), 400, 900144, "invalid_request"},
		{"public flows off", with(refresh, "client_id", webID), 401, 7000218, "invalid_client"},
		{"code without a secret", with(code, "client_secret", ""), 401, 7000218, "invalid_client"},
		{"no scope", with(credentials(), "scope", ""), 400, 900144, "invalid_request"},
		{"named scope", with(credentials(), "scope", mailScope), 400, 1002012, "invalid_scope"},
		{"two defaults", with(credentials(), "scope", appScope+" https://graph.microsoft.com/.default"), 400, 1002012, "invalid_scope"},
		{"unknown resource", with(credentials(), "scope", "https://mail.example/.default"), 400, 500011, "invalid_resource"},
		{"unknown code", code, 400, 70000, "invalid_grant"},
		{"no code", with(code, "code", ""), 400, 900144, "invalid_request"},
		{"unknown device code", device, 400, 70018, "bad_verification_code"},
		{"no device code", with(device, "device_code", ""), 400, 900144, "invalid_request"},
		{"unknown refresh token", refresh, 400, 70000, "invalid_grant"},
		{"no refresh token", with(refresh, "refresh_token", ""), 400, 900144, "invalid_request"},
		{"claims that are no JSON", with(refresh, "claims", "{"), 400, 9002313, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) { f.post(t, "token", c.form).wantError(t, c.status, c.code, c.word) })
	}
}

func TestErrorsHaveEntrasForm(t *testing.T) {
	f := start(t)
	request, err := http.NewRequest(http.MethodPost, f.URL()+"/"+tenantID+"/oauth2/v2.0/token", strings.NewReader(with(credentials(),
		"client_secret", "wrong").Encode()))
	if err != nil {
		t.Fatal(err)
	}
	const correlation = "01234567-89ab-4def-8123-456789abcdef"
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("client-request-id", correlation)
	response, err := f.client.Do(request)
	r := read(t, response, err)
	r.wantError(t, 401, 7000215, "invalid_client")
	if r.text("correlation_id") != correlation || r.text("trace_id") != r.header.Get("x-ms-request-id") || !guid.MatchString(r.text("trace_id")) {
		t.Errorf("got correlation %q and trace %q, want the client's and the header's", r.text("correlation_id"), r.text("trace_id"))
	}
	if _, err := time.Parse(timeLayout, r.text("timestamp")); err != nil {
		t.Error(err)
	}
	want := "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the " +
		"client secret ID, for a secret added to app '" + clientID + "'. Trace ID: " + r.text("trace_id") + " Correlation ID: " + correlation +
		" Timestamp: " + r.text("timestamp")
	if got := r.text("error_description"); got != want {
		t.Errorf("got description\n%s\nwant\n%s", got, want)
	}
	if got, want := r.text("error_uri"), f.URL()+"/error?code=7000215"; got != want {
		t.Errorf("got error_uri %q, want %q", got, want)
	}
}

func TestTokenEndpointTakesPostsForTheTenantAlone(t *testing.T) {
	f := start(t)
	path := "/oauth2/v2.0/token"
	f.get(t, "/"+domain+path).wantError(t, 400, 900561, "invalid_request")
	for name, want := range map[string]int{"fabrikam.example": 90002, "common": 50194, "organizations": 50194} {
		response, err := f.client.PostForm(f.URL()+"/"+name+path, credentials())
		read(t, response, err).wantError(t, 400, want, "invalid_request")
	}
	response, err := f.client.PostForm(f.URL()+"/"+strings.ToUpper(tenantID)+path, credentials())
	read(t, response, err).wantTokens(t)
	response, err = f.client.Post(f.URL()+"/"+domain+path, "application/x-www-form-urlencoded", strings.NewReader("a=%zz"))
	read(t, response, err).wantError(t, 400, 9002313, "invalid_request")
}

func TestSecretInTheAuthorizationHeader(t *testing.T) {
	f := start(t)
	body := with(credentials(), "client_id", "", "client_secret", "").Encode()
	request, err := http.NewRequest(http.MethodPost, f.URL()+"/"+domain+"/oauth2/v2.0/token", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(clientID, url.QueryEscape(clientSecret))
	response, err := f.client.Do(request)
	read(t, response, err).wantTokens(t)
}

func TestRefreshTokens(t *testing.T) {
	f := start(t)
	first := f.signIn(t, clientID, bob, mailScope+" openid profile offline_access")
	second := f.refresh(t, clientID, first)
	second.wantTokens(t)
	if second.text("refresh_token") == first.text("refresh_token") || second.text("refresh_token") == "" {
		t.Error("the refresh token did not rotate")
	}
	f.refresh(t, clientID, first).wantTokens(t) // the old one goes on working
	if got := f.verify(t, second); got.UPN != bob || !slices.Equal(got.Scopes, []string{"IMAP.AccessAsUser.All", "SMTP.Send"}) {
		t.Errorf("got claims of %q with %v", got.UPN, got.Scopes)
	}
	third := f.refresh(t, clientID, second, "scope", "") // the scope of the sign-in
	third.wantTokens(t)
	if third.text("id_token") == "" || third.text("scope") != mailScope {
		t.Errorf("got scope %q, want that of the sign-in, and an id token", third.text("scope"))
	}
	f.refresh(t, publicID, first).wantError(t, 400, 70000, "invalid_grant")

	if f.RevokeSessions("nobody@contoso.example") || !f.RevokeSessions(strings.ToUpper(bob)) {
		t.Error("RevokeSessions does not tell who is there")
	}
	for _, tokens := range []reply{first, second, third} {
		f.refresh(t, clientID, tokens).wantError(t, 400, 50173, "invalid_grant")
	}
	f.verify(t, second) // access tokens go on
}

func TestRefreshDependsOnTheTenant(t *testing.T) {
	f := start(t)
	tokens := f.signIn(t, clientID, bob, mailScope+" offline_access")
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.Disabled = true })
	f.refresh(t, clientID, tokens).wantError(t, 400, 50057, "invalid_grant")
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.Disabled, p.ObjectID = false, "another" })
	f.refresh(t, clientID, tokens).wantError(t, 400, 50034, "invalid_grant")
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.ObjectID = "b0b00000-0000-4000-8000-000000000002" })
	f.refresh(t, clientID, tokens).wantTokens(t)
	f.tenant.UpdateApplication(clientID, func(a *tenant.Application) { a.Delegated = []string{"SMTP.Send"} })
	r := f.refresh(t, clientID, tokens)
	r.wantError(t, 400, 65001, "invalid_grant")
	if r.text("suberror") != "consent_required" {
		t.Errorf("got suberror %q, want consent_required", r.text("suberror"))
	}
	f.tenant.UpdateApplication(clientID, func(a *tenant.Application) { a.Disabled = true })
	f.refresh(t, clientID, tokens).wantError(t, 400, 7000112, "unauthorized_client")
}

func TestScopes(t *testing.T) {
	f := start(t)
	const graph, old = "https://graph.microsoft.com", "https://outlook.office365.com"
	tokens := f.signIn(t, clientID, bob, mailScope+" offline_access")
	for _, c := range []struct {
		name, scope string
		code        int    // 0 for tokens
		echo, scp   string // of tokens
		audience    string
		forMail     bool
	}{
		{name: "as asked", scope: mailScope, echo: mailScope, scp: "IMAP.AccessAsUser.All SMTP.Send", audience: "https://outlook.office.com", forMail: true},
		{name: "the other spelling, in lower case", scope: old + "/smtp.send", echo: old + "/smtp.send", scp: "SMTP.Send", audience: old, forMail: true},
		{name: "both spellings", scope: old + "/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All",
			echo: old + "/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All", scp: "SMTP.Send IMAP.AccessAsUser.All", audience: old, forMail: true},
		{name: "everything", scope: old + "/.default", echo: old + "/IMAP.AccessAsUser.All " + old + "/SMTP.Send",
			scp: "IMAP.AccessAsUser.All SMTP.Send", audience: old, forMail: true},
		{name: "Graph", scope: graph + "/User.Read", echo: graph + "/User.Read", scp: "User.Read", audience: graph},
		{name: "without its resource", scope: "IMAP.AccessAsUser.All", echo: graph + "/IMAP.AccessAsUser.All", scp: "IMAP.AccessAsUser.All", audience: graph},
		{name: "two resources", scope: mailScope + " " + graph + "/User.Read", code: 28000},
		{name: "default with another", scope: mailScope + " https://outlook.office.com/.default", code: 70011},
		{name: "unknown permission", scope: old + "/Mail.Eat", code: 70011},
		{name: "unknown resource", scope: "https://mail.example/SMTP.Send", code: 500011},
		{name: "not consented", scope: old + "/POP.AccessAsUser.All", code: 65001},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.refresh(t, clientID, tokens, "scope", c.scope)
			if c.code != 0 {
				r.wantError(t, 400, c.code, problems[c.code].word)
				return
			}
			r.wantTokens(t)
			claims := claimsOf(t, r.text("access_token"))
			if r.text("scope") != c.echo || claims["scp"] != c.scp || claims["aud"] != c.audience {
				t.Errorf("got scope %q, scp %q, aud %q, want %q, %q, %q", r.text("scope"), claims["scp"], claims["aud"], c.echo, c.scp, c.audience)
			}
			if _, err := f.Verify(secretOf(r)); (err == nil) != c.forMail {
				t.Errorf("for mail: got %v, want it taken: %v", err, c.forMail)
			}
		})
	}
}
