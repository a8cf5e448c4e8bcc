package entra

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func TestDiscovery(t *testing.T) {
	f := start(t)
	for _, name := range []string{domain, tenantID, "common"} {
		r := f.get(t, "/"+name+"/v2.0/.well-known/openid-configuration")
		base, issuer := f.URL()+"/"+name, f.URL()+"/"+tenantID+"/v2.0"
		if name == "common" {
			issuer = f.URL() + "/{tenantid}/v2.0"
		}
		for field, want := range map[string]string{
			"issuer": issuer, "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"device_authorization_endpoint": base + "/oauth2/v2.0/devicecode", "jwks_uri": base + "/discovery/v2.0/keys",
		} {
			if r.text(field) != want {
				t.Errorf("%s: got %s %q, want %q", name, field, r.text(field), want)
			}
		}
		if got := r.header.Get("Cache-Control"); got != "max-age=86400, private" {
			t.Errorf("got Cache-Control %q", got)
		}
	}
	r := f.get(t, "/fabrikam.example/v2.0/.well-known/openid-configuration")
	r.wantError(t, 400, 90002, "invalid_request")
	f.get(t, "/fabrikam.example/discovery/v2.0/keys").wantError(t, 400, 90002, "invalid_request")
	if !strings.HasPrefix(f.URL(), "https://localhost:") || !strings.HasPrefix(f.Address(), "127.0.0.1:") {
		t.Errorf("got URL %q at %q, want localhost", f.URL(), f.Address())
	}
}

func TestInstanceDiscovery(t *testing.T) {
	f := start(t)
	path := func(endpoint string) string {
		return "/common/discovery/instance?api-version=1.1&authorization_endpoint=" + url.QueryEscape(endpoint)
	}
	for _, host := range []string{f.URL(), "https://login.microsoftonline.com", "https://sts.windows.net"} {
		r := f.get(t, path(host+"/"+domain+"/oauth2/v2.0/authorize"))
		if got, want := r.text("tenant_discovery_endpoint"), host+"/"+domain+"/v2.0/.well-known/openid-configuration"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		contains(t, "aliases", r.body, strings.TrimPrefix(host, "https://"))
	}
	f.get(t, path("https://login.example/x/oauth2/v2.0/authorize")).wantError(t, 400, 50049, "invalid_instance")
	f.get(t, path("nothing")).wantError(t, 400, 50049, "invalid_instance")
}

// TestIDTokenVerifiesWithOIDC has the library of the other side judge discovery, keys and id tokens.
func TestIDTokenVerifiesWithOIDC(t *testing.T) {
	f := start(t)
	ctx := oidc.ClientContext(t.Context(), f.client)
	provider, err := oidc.NewProvider(ctx, f.URL()+"/"+tenantID+"/v2.0")
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: clientID})
	for round := range 2 { // before and after a rotation, which is noticed by an unknown kid
		raw := f.signIn(t, clientID, alice, mailScope+" openid").text("id_token")
		token, err := verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var claims struct {
			TenantID string `json:"tid"`
			ObjectID string `json:"oid"`
		}
		if err := token.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if claims.TenantID != tenantID || claims.ObjectID != aliceID || time.Until(token.Expiry) > time.Hour {
			t.Errorf("got %+v until %v", claims, token.Expiry)
		}
		if err := f.RotateKeys(); err != nil {
			t.Fatal(err)
		}
	}
}
