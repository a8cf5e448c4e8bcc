package token

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"postern/internal/secret"
)

// CodeRequest is a sign-in by authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), as it is begun and as it is
// finished. Both ends must have the same one.
type CodeRequest struct {
	Provider    string // name in the configuration
	RedirectURI string // registered for the application, to the letter
	State       string // that comes back with the code
	Nonce       string // that comes back in the ID token
	Verifier    secret.Text
	// LoginHint is the account to suggest; empty to have the person choose among theirs.
	LoginHint string
	// Fresh asks for a new sign-in, whatever the browser has.
	Fresh bool
	// Context is the authentication context to be satisfied, such as c1; empty for none (reference F.4).
	Context string
}

// SignIn is a person who signed in by a code: who the verified ID token says it is, and tokens that nobody has yet.
type SignIn struct {
	Identity
	Name string // for display; the person's own choice, or a stranger's
	// AuthTime is when they proved who they are; the zero time if the provider does not say.
	AuthTime time.Time
	// Contexts are the authentication contexts that the provider says are satisfied (acrs). Entra says so of any that was
	// asked for and that no policy guards, too (reference F.4).
	Contexts []string
	Methods  []string // amr; Entra's v2.0 ID tokens have none
	Roles    []string // the application's roles that they have
	// Guest is somebody of another tenant, or of none, whom this one has invited: their username is not the tenant's to
	// vouch for, and proves nothing.
	Guest bool

	provider string
	kind     string // of the row
	row      *cacheRow
}

// challengeMethod is the one way in which a verifier is made a challenge (RFC 9700 section 2.1.1).
const challengeMethod = "S256"

// AuthorizationURL gives the address to which a browser is sent to sign in. challenge is derived from the request's
// verifier by S256. The error is an *[Error].
func (s *Source) AuthorizationURL(ctx context.Context, r CodeRequest, challenge string) (string, error) {
	provider, failed := s.signInProvider(r.Provider)
	if failed != nil {
		return "", failed
	}
	ctx, c := withNewCall(ctx)
	client, err := provider.publicClient(new(cacheRow))
	var address string
	if err == nil {
		// MSAL adds nothing of its own here (reference G.4.2).
		scopes := append(slices.Clone(provider.scopes), "openid", "profile", "offline_access")
		address, err = client.AuthCodeURL(ctx, provider.clientID, r.RedirectURI, scopes, public.WithClaims(r.claims()))
	}
	if err != nil {
		return "", provider.failure(personOf(r.Provider), c.answer, err)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || !slices.Contains(provider.hosts, strings.ToLower(u.Host)) {
		return "", &Error{Account: personOf(r.Provider), Class: Misconfigured, Advice: "the discovery document of " + provider.host +
			" leads people to another host: check endpoints.authority or cloud of provider " + r.Provider}
	}
	query := u.Query()
	query.Set("state", r.State)
	query.Set("nonce", r.Nonce)
	query.Set("code_challenge", challenge)
	query.Set("code_challenge_method", challengeMethod)
	query.Set("response_mode", "query")
	switch {
	case r.Fresh:
		query.Set("prompt", "login")
		query.Set("max_age", "0") // not known to be honoured: auth_time is looked at (reference F.2)
	case r.LoginHint == "":
		query.Set("prompt", "select_account")
	}
	if r.LoginHint != "" {
		query.Set("login_hint", r.LoginHint)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// claims asks for the claims of the ID token that are not there by themselves (OpenID Connect Core 1.0 section 5.5).
func (r CodeRequest) claims() string {
	asked := map[string]any{"auth_time": map[string]any{"essential": true}}
	if r.Context != "" {
		asked["acrs"] = map[string]any{"essential": true, "value": r.Context}
	}
	text, _ := json.Marshal(map[string]any{"id_token": asked}) // it always marshals
	return string(text)
}

// signInProvider gives the provider at which a person can sign in.
func (s *Source) signInProvider(name string) (*Microsoft, *Error) {
	provider, known := s.provider(name)
	advice := ""
	switch {
	case !known:
		advice = "there is no provider " + strconv.Quote(name) + " in the configuration"
	case slices.Contains(sharedTenants, provider.tenant):
		advice = "tenant " + provider.tenant + " of provider " + name + " is no tenant of its own: name yours"
	default:
		return provider, nil
	}
	return nil, &Error{Account: personOf(name), Class: Misconfigured, Advice: advice}
}

// personOf is somebody of a provider, who is not known yet, for errors.
func personOf(provider string) Account { return Account{Provider: provider, Grant: Delegated} }

// Reasons for which a sign-in by code is not taken though the provider gave tokens: they are the [Error.Code] of the
// error. The tokens are thrown away.
const (
	CodeNonce      = "foreign_nonce"     // the ID token answers another request
	CodeIdentity   = "identity_mismatch" // the ID token does not prove who it is, or the tokens are not theirs
	CodeNotFresh   = "not_fresh"         // a new sign-in was asked for and this one is old, or does not say how old
	CodeNoContext  = "context_missing"   // the authentication context that was asked for was not satisfied
	freshTolerance = 5 * time.Minute     // by how much the clocks of here and there may differ
)

// Redeem redeems a code for the person who has signed in, began being when their request was made. The ID token is
// verified before anything else: signature, issuer, audience, times, tenant, and that its nonce is the request's
// (OpenID Connect Core 1.0 section 3.1.3.7; threat model I-21). Nothing is kept: see [Source.EnrollSignIn]. The error is
// an *[Error].
func (s *Source) Redeem(ctx context.Context, r CodeRequest, code secret.Text, began time.Time) (SignIn, error) {
	provider, failed := s.signInProvider(r.Provider)
	if failed != nil {
		return SignIn{}, failed
	}
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	ctx, c := withNewCall(ctx)
	row, idToken, err := provider.redeemCode(ctx, r, code)
	if err != nil {
		return SignIn{}, provider.failure(personOf(r.Provider), c.answer, err)
	}
	claims, err := provider.verify(ctx, idToken)
	if err != nil {
		return SignIn{}, unacceptable(r, CodeIdentity, err.Error())
	}
	in := claims.signIn(r.Provider, provider.personKind(), row)
	in.Guest = claims.IDP != "" && issuerTenant(claims.IDP) != in.TenantID
	kept, err := row.parse()
	switch {
	case err != nil, !kept.belongsTo(in.Identity):
		return SignIn{}, unacceptable(r, CodeIdentity, "the tokens are not of the person who signed in")
	case !secret.New(claims.Nonce).Equal(secret.New(r.Nonce)) || r.Nonce == "":
		return SignIn{}, unacceptable(r, CodeNonce, "the ID token has the nonce of another request")
	case r.Fresh && in.AuthTime.Before(began.Add(-freshTolerance)):
		return SignIn{}, unacceptable(r, CodeNotFresh, "the sign-in is from before it was asked for, or its auth_time is missing: "+
			"add the optional claim auth_time to the ID token of application "+provider.clientID)
	case r.Context != "" && !slices.Contains(in.Contexts, r.Context):
		return SignIn{}, unacceptable(r, CodeNoContext, "the ID token does not say that authentication context "+r.Context+" is satisfied")
	}
	return in, nil
}

func unacceptable(r CodeRequest, code, advice string) *Error {
	return &Error{Account: personOf(r.Provider), Class: NeedsSignIn, Code: code, Advice: advice + "; the tokens were thrown away"}
}

// redeemCode gives the row with the tokens of a code and the ID token, as yet unverified. The application proves itself
// where it has a credential: Entra demands that for a redirect URI of the web platform, and binds the refresh token to it.
func (m *Microsoft) redeemCode(ctx context.Context, r CodeRequest, code secret.Text) (*cacheRow, string, error) {
	row := new(cacheRow)
	if m.credential == nil {
		client, err := m.publicClient(row)
		if err != nil {
			return nil, "", err
		}
		result, err := client.AcquireTokenByAuthCode(ctx, code.Reveal(), r.RedirectURI, m.scopes, public.WithChallenge(r.Verifier.Reveal()))
		return row, result.IDToken.RawToken, err
	}
	client, err := m.confidentialClient(row)
	if err != nil {
		return nil, "", err
	}
	result, err := client.AcquireTokenByAuthCode(ctx, code.Reveal(), r.RedirectURI, m.scopes, confidential.WithChallenge(r.Verifier.Reveal()))
	return row, result.IDToken.RawToken, err
}

// personKind is the kind of cache that a sign-in by code brings.
func (m *Microsoft) personKind() string {
	if m.credential == nil {
		return KindPublic
	}
	return KindConfidential
}

// signIn makes a sign-in of verified claims.
func (c idClaims) signIn(provider, kind string, row *cacheRow) SignIn {
	in := SignIn{
		Identity: c.identity(), Name: c.Name[:min(len(c.Name), maxUsername)],
		Contexts: c.Contexts, Methods: c.Methods, Roles: c.Roles, provider: provider, kind: kind, row: row,
	}
	if c.AuthTime > 0 {
		in.AuthTime = time.Unix(c.AuthTime, 0).UTC()
	}
	return in
}

// methodCode is the audit log's name of an enrolment by authorization code.
const methodCode = "authorization-code"

// EnrollSignIn keeps the refresh token of a sign-in for an account, and gives an error where it may not: where the
// account is enrolled for somebody else, or, when it is not enrolled yet, has another name than the person who signed in
// (threat model I-21). by is who asked for it, for the audit log. The error is an *[Error].
func (s *Source) EnrollSignIn(ctx context.Context, account Account, in SignIn, by string) error {
	if in.provider != account.Provider || account.Grant != Delegated || in.row == nil {
		return &Error{Account: account, Class: Misconfigured, Advice: "this sign-in is not for an account of that kind"}
	}
	enrolment, err := s.store.Enrolment(ctx, account)
	switch {
	case errors.Is(err, ErrNotEnrolled):
		if in.Guest || !strings.EqualFold(in.Username, account.Name) {
			return s.refuseEnrolment(account, in.Identity, by, errOtherName)
		}
	case err != nil:
		return storeError(account, err)
	case enrolment.Identity.TenantID != in.TenantID || enrolment.Identity.ObjectID != in.ObjectID:
		return s.refuseEnrolment(account, in.Identity, by, errors.New("the account is enrolled for somebody else, by tenant and object id"))
	}
	if err := usable(in.Identity, in.row); err != nil {
		return s.refuseEnrolment(account, in.Identity, by, err)
	}
	key := CacheKey{Provider: account.Provider, TenantID: in.TenantID, Owner: in.ObjectID, Kind: in.kind}
	return s.saveEnrolment(ctx, account, in.Identity, key, in.row, methodCode, by)
}
