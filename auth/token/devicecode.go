package token

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// maxSignInTime bounds a sign-in by device code, whatever the provider says of the code's life.
const maxSignInTime = 30 * time.Minute

var userCodeForm = regexp.MustCompile(`^[A-Za-z0-9-]{4,32}$`)

// signInByDeviceCode has a person sign in (RFC 8628). It gives the row with their tokens and the ID token, as yet
// unverified.
func (m *Microsoft) signInByDeviceCode(ctx context.Context, account Account, show func(DeviceCode)) (*cacheRow, string, *Error) {
	signIn, cancel := context.WithTimeout(ctx, maxSignInTime)
	defer cancel()
	row, c := new(cacheRow), &call{paced: true}
	signIn = withCall(signIn, c)
	client, err := m.publicClient(row)
	if err != nil {
		return nil, "", m.failure(account, c.answer, err)
	}
	code, err := client.AcquireTokenByDeviceCode(signIn, m.scopes)
	if err != nil {
		return nil, "", m.failure(account, c.answer, err)
	}
	page, err := url.Parse(code.Result.VerificationURL)
	// What is shown to a person at a terminal comes from the network (threat model I-38).
	if err != nil || page.Scheme != "https" || !userCodeForm.MatchString(code.Result.UserCode) {
		return nil, "", &Error{Account: account, Class: Temporary, Advice: "the answer of " + m.host + " has no usable device code in it"}
	}
	show(DeviceCode{UserCode: code.Result.UserCode, VerificationURL: page.String(), Expires: code.Result.ExpiresOn})
	result, err := code.AuthenticationResult(signIn)
	switch {
	case ctx.Err() != nil:
		return nil, "", &Error{Account: account, Class: Temporary, Advice: "the sign-in was given up", cause: ctx.Err()}
	case errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(code.Result.ExpiresOn):
		return nil, "", m.failure(account, answer{status: http.StatusBadRequest, code: "expired_token"}, nil)
	case err != nil:
		return nil, "", m.failure(account, c.answer, err)
	}
	return row, result.IDToken.RawToken, nil
}

// errIDToken is an ID token that does not prove who signed in. The reasons of the library are not passed on: they are
// about a secret.
var errIDToken = errors.New("the ID token does not verify: its signature, issuer, audience or tenant is not right")

// verifyIDToken gives who an ID token is about (OpenID Connect Core 1.0 section 3.1.3.7): its signature, issuer,
// audience and times, and that its tenant is the issuer's.
func (m *Microsoft) verifyIDToken(ctx context.Context, raw string) (Identity, error) {
	d, err := m.document(ctx)
	if err != nil {
		return Identity{}, err
	}
	verifier := oidc.NewVerifier(d.Issuer, m.keySet(ctx, d.KeysURL), &oidc.Config{ClientID: m.clientID, SupportedSigningAlgs: []string{oidc.RS256}})
	verified, err := verifier.Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return Identity{}, errors.New("the ID token has expired already: check this machine's clock")
	case err != nil:
		return Identity{}, errIDToken
	}
	var claims struct {
		TenantID string `json:"tid"`
		ObjectID string `json:"oid"`
		Username string `json:"preferred_username"`
	}
	if err := verified.Claims(&claims); err != nil || claims.ObjectID == "" || claims.TenantID == "" ||
		claims.TenantID != issuerTenant(d.Issuer) {
		return Identity{}, errIDToken
	}
	return Identity{TenantID: claims.TenantID, ObjectID: claims.ObjectID, Username: claims.Username[:min(len(claims.Username), 256)]}, nil
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
