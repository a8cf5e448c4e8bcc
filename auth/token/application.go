package token

import (
	"context"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"postern/internal/secret"
)

// fetchApplication gets the application's own token by client credentials (RFC 6749 section 4.4).
func (m *Microsoft) fetchApplication(ctx context.Context, store Store, r request) (Access, bool, *Error) {
	if m.credential == nil {
		return Access{}, false, &Error{Account: r.account, Class: Misconfigured, Advice: "provider " + r.account.Provider +
			" has neither a client secret nor a client certificate, which the application grant needs: set client_certificate_file or " +
			"client_secret_file"}
	}
	key := CacheKey{Provider: r.account.Provider, TenantID: m.tenant, Owner: m.clientID, Kind: KindApplication}
	content, err := store.Cache(ctx, key)
	if err != nil {
		return Access{}, false, storeError(r.account, err)
	}
	scopes := []string{m.applicationScope}
	row := &cacheRow{content: content}
	kept, err := row.parse()
	if err == nil {
		if access, ok := kept.newer(r, m.clientID, scopes); ok {
			return access, false, nil
		}
	}
	// There is nothing in the row but access tokens, and those are not wanted.
	row.content = nil
	c := new(call)
	result, err := m.credentials(withCall(ctx, c), row, scopes)
	obtained := time.Now()
	if err != nil {
		return Access{}, true, m.failure(r.account, c.answer, err)
	}
	if failed := save(ctx, store, r.account, key, row); failed != nil {
		return Access{}, true, failed
	}
	return Access{Token: secret.New(result.AccessToken), Obtained: obtained, Expires: result.ExpiresOn}, true, nil
}

// credentials asks with a client of its own.
func (m *Microsoft) credentials(ctx context.Context, row *cacheRow, scopes []string) (confidential.AuthResult, error) {
	client, err := m.confidentialClient(row)
	if err != nil {
		return confidential.AuthResult{}, err
	}
	return client.AcquireTokenByCredential(ctx, scopes)
}

// confidentialClient makes the client of one row, for an application that has a credential. Instance discovery is off:
// MSAL would ask Microsoft's public cloud about every authority that it does not know, and so leave the configured one.
func (m *Microsoft) confidentialClient(row *cacheRow) (confidential.Client, error) {
	return confidential.New(m.authority, m.clientID, *m.credential,
		confidential.WithHTTPClient(m.client),
		confidential.WithCache(row),
		confidential.WithInstanceDiscovery(false),
		// MSAL's own word for "no region, whatever the environment says": MSAL_FORCE_REGION leads to another host.
		confidential.WithAzureRegion("DisableMsalForceRegion"))
}
