package entra

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertion makes an assertion that is good but for what change does to it.
func (f *fixture) assertion(t *testing.T, method jwt.SigningMethod, change func(header map[string]any, claims jwt.MapClaims)) string {
	t.Helper()
	sum := sha256.Sum256(f.cert.Raw)
	claims := jwt.MapClaims{
		"aud": f.URL() + "/" + domain + "/oauth2/v2.0/token", "iss": clientID, "sub": clientID, "jti": newGUID(),
		"nbf": f.clock.now().Unix(), "exp": f.clock.now().Add(10 * time.Minute).Unix(),
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	if change != nil {
		change(token.Header, claims)
	}
	var key any = f.key
	if method == jwt.SigningMethodHS256 {
		key = []byte("shared")
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func asserted(assertion string) url.Values {
	return with(credentials(), "client_secret", "", "client_assertion_type", assertionType, "client_assertion", assertion)
}

func TestAssertions(t *testing.T) {
	f := start(t)
	sha1Sum := sha1.Sum(f.cert.Raw)
	for name, assertion := range map[string]string{
		"PS256": f.assertion(t, jwt.SigningMethodPS256, nil),
		"RS256": f.assertion(t, jwt.SigningMethodRS256, nil),
		"x5t": f.assertion(t, jwt.SigningMethodPS256, func(header map[string]any, _ jwt.MapClaims) {
			delete(header, "x5t#S256")
			header["x5t"] = base64.RawURLEncoding.EncodeToString(sha1Sum[:])
		}),
		"tenant by its id": f.assertion(t, jwt.SigningMethodPS256, func(_ map[string]any, claims jwt.MapClaims) {
			claims["aud"] = f.URL() + "/" + tenantID + "/oauth2/v2.0/token"
		}),
	} {
		t.Run(name, func(t *testing.T) {
			r := f.post(t, "token", asserted(assertion))
			r.wantTokens(t)
			if got := claimsOf(t, r.text("access_token"))["appidacr"]; got != "2" {
				t.Errorf("got appidacr %v, want 2", got)
			}
		})
	}
}

func TestAssertionsRefused(t *testing.T) {
	f := start(t)
	set := func(changes jwt.MapClaims) func(map[string]any, jwt.MapClaims) {
		return func(_ map[string]any, claims jwt.MapClaims) { maps.Copy(claims, changes) }
	}
	good := f.assertion(t, jwt.SigningMethodPS256, nil)
	f.post(t, "token", asserted(good)).wantTokens(t)
	mine := f.key
	f.key = newCertificate().key
	foreign := f.assertion(t, jwt.SigningMethodPS256, nil)
	f.key = mine
	now := f.clock.now()
	for _, c := range []struct{ name, assertion, reason string }{
		{"replay", good, "used before"},
		{"no assertion", "hello", "signature validation"},
		{"foreign key", foreign, "signature validation"},
		{"other method", f.assertion(t, jwt.SigningMethodHS256, nil), "signature validation"},
		{"unknown certificate", f.assertion(t, jwt.SigningMethodPS256, func(h map[string]any, _ jwt.MapClaims) { h["x5t#S256"] = "AAAA" }), "not registered"},
		{"no thumbprint", f.assertion(t, jwt.SigningMethodPS256, func(h map[string]any, _ jwt.MapClaims) { delete(h, "x5t#S256") }), "not registered"},
		{"other audience", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"aud": "https://login.example/x/oauth2/v2.0/token"})), "audience"},
		{"other tenant", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"aud": f.URL() + "/x/oauth2/v2.0/token"})), "audience"},
		{"other issuer", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"iss": webID})), "client id"},
		{"other subject", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"sub": webID})), "client id"},
		{"expired", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"exp": now.Add(-6 * time.Minute).Unix()})), "expired"},
		{"not yet", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"nbf": now.Add(6 * time.Minute).Unix()})), "not valid yet"},
		{"too long", f.assertion(t, jwt.SigningMethodPS256, set(jwt.MapClaims{"exp": now.Add(time.Hour).Unix()})), "too long"},
		{"without expiry", f.assertion(t, jwt.SigningMethodPS256, func(_ map[string]any, claims jwt.MapClaims) { delete(claims, "exp") }), "missing"},
		{"without id", f.assertion(t, jwt.SigningMethodPS256, func(_ map[string]any, claims jwt.MapClaims) { delete(claims, "jti") }), "no jti"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.post(t, "token", asserted(c.assertion))
			r.wantError(t, 401, 700027, "invalid_client")
			contains(t, "description", r.text("error_description"), c.reason)
		})
	}
}
