package token

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"postern/internal/secret"
)

// newCredential reads the application's credential; nil when it has none. There are four kinds, and one of them at most: a
// secret, a certificate, a token of another issuer that Entra trusts (a federated credential), and the identity of the
// Azure machine, which is a federated credential whose token Azure gives.
func newCredential(c MicrosoftConfig) (*confidential.Credential, error) {
	var named []string
	var credential confidential.Credential
	var err error
	if !c.ClientSecret.IsZero() {
		named = append(named, "client secret")
		credential, err = confidential.NewCredFromSecret(c.ClientSecret.Reveal())
	}
	if !c.ClientCertificate.IsZero() {
		named = append(named, "client certificate")
		credential, err = certificateCredential(c.ClientCertificate)
	}
	if c.ClientAssertion != nil {
		named = append(named, "client assertion")
		credential = assertionCredential(func(context.Context) (secret.Text, error) { return readAssertion(c.ClientAssertion) })
	}
	if c.ManagedIdentity != "" {
		named = append(named, "managed identity")
		credential, err = managedCredential(c.ManagedIdentity, c.TokenExchange)
	}
	switch {
	case len(named) == 0:
		return nil, nil
	case len(named) > 1:
		return nil, fmt.Errorf("%s are both set: keep one", strings.Join(named[:2], " and "))
	case err != nil:
		return nil, err
	}
	return &credential, nil
}

// certificateCredential reads a certificate and its key. MSAL signs with PS256 and names the certificate by its SHA-256
// thumbprint (x5t#S256; reference F.2).
func certificateCredential(text secret.Text) (confidential.Credential, error) {
	certificates, key, err := confidential.CertFromPEM([]byte(text.Reveal()), "")
	if err == nil {
		var credential confidential.Credential
		if credential, err = confidential.NewCredFromCert(certificates, key); err == nil {
			return credential, nil
		}
	}
	// The errors of both calls are about the form of the file and quote nothing of it.
	return confidential.Credential{}, fmt.Errorf("client certificate: %w; it must be PEM with the certificate and its RSA private key, unencrypted", err)
}

// assertionCredential makes a credential of what gives an assertion (RFC 7521 section 4.2). It is called for each request,
// so that what takes the place of an assertion counts at once. Its error is a *credentialError.
func assertionCredential(get func(context.Context) (secret.Text, error)) confidential.Credential {
	return confidential.NewCredFromAssertionCallback(func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
		assertion, err := get(ctx)
		return assertion.Reveal(), err
	})
}

// credentialError is a credential that was not to be had when a request needed it. It holds no secret.
type credentialError struct {
	class  Class
	advice string
}

func (e *credentialError) Error() string { return e.advice }

// asCredentialError gives the credential's fault that is behind an error of MSAL, if it is that.
func asCredentialError(err error) (*credentialError, bool) {
	var failed *credentialError
	return failed, errors.As(err, &failed)
}
