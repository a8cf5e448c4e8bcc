package entra

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
)

func secretOf(r reply) secret.Text { return secret.New(r.text("access_token")) }

func TestVerify(t *testing.T) {
	f := start(t)
	tokens := f.signIn(t, clientID, alice, mailScope+" openid offline_access")
	good := tokens.text("access_token")
	f.verify(t, tokens)

	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(good, claims); err != nil {
		t.Fatal(err)
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	forged.Header["kid"] = f.keys.keys[0].id
	signed, err := forged.SignedString(foreign)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	forged.Header["kid"] = "unknown"
	unknown, err := forged.SignedString(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"nothing": "", "no token": "hello", "id token": tokens.text("id_token"), "foreign signature": signed, "no signature": unsigned,
		"unknown key": unknown, "cut": good[:len(good)-8],
	} {
		_, err := f.Verify(secret.New(token))
		if err == nil {
			t.Errorf("%s: was taken", name)
		} else if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error quotes the token", name)
		}
	}
	f.clock.advance(91 * time.Minute)
	if _, err := f.Verify(secret.New(good)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after 91 minutes: got %v, want that it has expired", err)
	}
}

func TestExpireTokens(t *testing.T) {
	f := start(t)
	tokens := f.post(t, "token", credentials())
	f.ExpireTokens()
	if _, err := f.Verify(secretOf(tokens)); err == nil {
		t.Error("a token from before ExpireTokens was taken")
	}
	f.verify(t, f.post(t, "token", credentials()))
}

func TestRotateKeys(t *testing.T) {
	f := start(t)
	before := f.post(t, "token", credentials())
	if err := f.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	f.verify(t, before)
	f.verify(t, f.post(t, "token", credentials()))
	keys, _ := f.get(t, "/"+tenantID+"/discovery/v2.0/keys").json["keys"].([]any)
	if len(keys) != 2 {
		t.Errorf("got %d published keys, want 2", len(keys))
	}
}

func TestTokenLifeIsSettable(t *testing.T) {
	f := start(t)
	for life, refreshIn := range map[time.Duration]any{7 * time.Second: nil, 24 * time.Hour: float64(12 * 60 * 60)} {
		f.life = life
		r := f.post(t, "token", credentials())
		if r.json["expires_in"] != life.Seconds() || r.json["refresh_in"] != refreshIn {
			t.Errorf("life %v: got expires_in %v, refresh_in %v, want refresh_in %v", life, r.json["expires_in"], r.json["refresh_in"], refreshIn)
		}
	}
}
