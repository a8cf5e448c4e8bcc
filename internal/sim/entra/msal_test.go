package entra

import (
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"postern/internal/secret"
)

var (
	msalScopes = strings.Fields(mailScope)
	msalForce  = `{"access_token":{"xms_cc":{"values":["none"]}}}` // claims make MSAL pass over its cached access token
)

func TestMSALDeviceCode(t *testing.T) {
	f := start(t)
	client, err := public.New(publicID, public.WithAuthority(f.URL()+"/"+domain), public.WithInstanceDiscovery(false), public.WithHTTPClient(f.client))
	if err != nil {
		t.Fatal(err)
	}
	code, err := client.AcquireTokenByDeviceCode(t.Context(), msalScopes)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.ApproveDevice(code.Result.UserCode, alice); err != nil {
		t.Fatal(err)
	}
	result, err := code.AuthenticationResult(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Account.HomeAccountID != aliceID+"."+tenantID || result.Account.PreferredUsername != alice {
		t.Errorf("got account %q of %q", result.Account.HomeAccountID, result.Account.PreferredUsername)
	}
	silent := func() (public.AuthResult, error) {
		return client.AcquireTokenSilent(t.Context(), msalScopes, public.WithSilentAccount(result.Account), public.WithClaims(msalForce))
	}
	renewed, err := silent()
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := f.Verify(secret.New(renewed.AccessToken)); err != nil || claims.UPN != alice || renewed.AccessToken == result.AccessToken {
		t.Errorf("got a token of %q, %v, want a new one of alice", claims.UPN, err)
	}
	f.RevokeSessions(alice)
	_, err = silent()
	var failed msalerrors.CallErr
	if !errors.As(err, &failed) || failed.Resp.StatusCode != http.StatusBadRequest || !strings.Contains(err.Error(), "AADSTS50173") {
		t.Errorf("after the revocation: got %v, want AADSTS50173", err)
	}
}

func TestMSALConfidential(t *testing.T) {
	f := start(t)
	bySecret, err := confidential.NewCredFromSecret(clientSecret)
	if err != nil {
		t.Fatal(err)
	}
	byCertificate, err := confidential.NewCredFromCert([]*x509.Certificate{f.cert}, crypto.PrivateKey(f.key))
	if err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]confidential.Credential{"secret": bySecret, "certificate": byCertificate} {
		t.Run(name, func(t *testing.T) {
			client, err := confidential.New(f.URL()+"/"+domain, clientID, credential,
				confidential.WithInstanceDiscovery(false), confidential.WithHTTPClient(f.client))
			if err != nil {
				t.Fatal(err)
			}
			for _, claims := range []string{"", msalForce} {
				result, err := client.AcquireTokenByCredential(t.Context(), []string{appScope}, confidential.WithClaims(claims))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := f.Verify(secret.New(result.AccessToken)); err != nil || len(got.Roles) != 2 {
					t.Errorf("got roles %v, %v, want two", got.Roles, err)
				}
			}
		})
	}
}

func TestMSALAuthorizationCode(t *testing.T) {
	f := start(t)
	credential, err := confidential.NewCredFromSecret(clientSecret)
	if err != nil {
		t.Fatal(err)
	}
	client, err := confidential.New(f.URL()+"/"+domain, clientID, credential,
		confidential.WithInstanceDiscovery(false), confidential.WithHTTPClient(f.client))
	if err != nil {
		t.Fatal(err)
	}
	code := f.browse(t).signIn(wanted())
	result, err := client.AcquireTokenByAuthCode(t.Context(), code, redirectURI, msalScopes, confidential.WithChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if nonce := claimsOf(t, result.IDToken.RawToken)["nonce"]; result.Account.PreferredUsername != bob || nonce != "the nonce" {
		t.Errorf("got %q with nonce %v", result.Account.PreferredUsername, nonce)
	}
}
