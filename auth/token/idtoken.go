package token

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// errIDToken is an ID token that does not prove who signed in. The reasons of the library are not passed on: they are
// about a secret.
var errIDToken = errors.New("the ID token does not verify: its signature, issuer, audience or tenant is not right")

// idClaims are what an ID token says (reference F.4).
type idClaims struct {
	TenantID string   `json:"tid"`
	ObjectID string   `json:"oid"`
	Username string   `json:"preferred_username"`
	Name     string   `json:"name"`
	Nonce    string   `json:"nonce"`
	AuthTime int64    `json:"auth_time"` // seconds since 1970
	Contexts wordList `json:"acrs"`
	Methods  wordList `json:"amr"`
	Roles    wordList `json:"roles"`
	// IDP is who vouches for the person, where that is not the tenant itself: for a guest.
	IDP string `json:"idp"`
}

// maxUsername bounds a name of an ID token, in bytes.
const maxUsername = 256

func (c idClaims) identity() Identity {
	return Identity{TenantID: c.TenantID, ObjectID: c.ObjectID, Username: c.Username[:min(len(c.Username), maxUsername)]}
}

// wordList is a claim that is one word or a list of them: Entra writes acrs both ways.
type wordList []string

// UnmarshalJSON reads either.
func (l *wordList) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = wordList{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// verify gives what an ID token says once it is proved (OpenID Connect Core 1.0 section 3.1.3.7): its signature, issuer,
// audience and times, and that its tenant is the issuer's.
func (m *Microsoft) verify(ctx context.Context, raw string) (idClaims, error) {
	d, err := m.document(ctx)
	if err != nil {
		return idClaims{}, err
	}
	verifier := oidc.NewVerifier(d.Issuer, m.keySet(ctx, d.KeysURL), &oidc.Config{ClientID: m.clientID, SupportedSigningAlgs: []string{oidc.RS256}})
	verified, err := verifier.Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return idClaims{}, errors.New("the ID token has expired already: check this machine's clock")
	case err != nil:
		return idClaims{}, errIDToken
	}
	var claims idClaims
	if err := verified.Claims(&claims); err != nil || claims.ObjectID == "" || claims.TenantID == "" ||
		claims.TenantID != issuerTenant(d.Issuer) {
		return idClaims{}, errIDToken
	}
	return claims, nil
}

// issuerTenant gives the tenant's id out of an issuer, https://HOST/ID/v2.0. For common and organizations it is the
// literal {tenantid}, which no token has (reference F.1).
func issuerTenant(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant
}

// document gives the discovery document: the one that MSAL has just used.
func (m *Microsoft) document(ctx context.Context) (document, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+m.host+discoveryPath(m.tenant), nil)
	if err != nil {
		return document{}, errIDToken
	}
	response, err := m.client.Do(request)
	if err != nil {
		return document{}, errors.New("the discovery document of " + m.host + " was not had: " + unreachable(m.host, err))
	}
	defer response.Body.Close()
	var d document
	if err := json.NewDecoder(response.Body).Decode(&d); err != nil || d.Issuer == "" || d.KeysURL == "" {
		return document{}, errors.New("the discovery document of " + m.host + " does not name an issuer and its keys")
	}
	return d, nil
}

// keySet gives the provider's signing keys. The library keeps them and asks again for a key that it does not know.
func (m *Microsoft) keySet(ctx context.Context, keysURL string) oidc.KeySet {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil || m.keysURL != keysURL {
		m.keys, m.keysURL = oidc.NewRemoteKeySet(oidc.ClientContext(ctx, m.client), keysURL), keysURL
	}
	return m.keys
}
