package token

import (
	"context"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// application is the way to the application's own token, by client credentials (RFC 6749 section 4.4).
func (m *Microsoft) application(r request) (way, *Error) {
	if m.credential == nil {
		return way{}, &Error{Account: r.account, Class: Misconfigured, Advice: "provider " + r.account.Provider +
			" has no credential of the application, which the application grant needs: set client_certificate_file, client_secret_file, " +
			"client_assertion_file or managed_identity"}
	}
	scopes := []string{m.applicationScope}
	key := CacheKey{Provider: r.account.Provider, TenantID: m.tenant, Owner: m.clientID, Kind: KindApplication}
	return way{
		lease: key,
		look: func(ctx context.Context, store Store) (place, Access, *Error) {
			content, err := store.Cache(ctx, key)
			if err != nil {
				return place{}, Access{}, storeError(r.account, err)
			}
			kept, err := (&cacheRow{content: content}).parse()
			if err != nil {
				kept = contract{} // nothing is lost with it
			}
			// There is nothing in the row but access tokens; where they will not do, MSAL shall not see them.
			return place{key, new(cacheRow)}, kept.newer(r, m.clientID, scopes), nil
		},
		ask: func(ctx context.Context, p place) (Access, bool, *Error) {
			c := &call{account: r.account}
			result, err := m.credentials(withCall(ctx, c), p.row, scopes)
			if err != nil {
				return Access{}, true, m.failure(r.account, c.answer, err)
			}
			return granted(result.AccessToken, time.Now(), result.ExpiresOn), true, nil
		},
	}, nil
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
