package token

import (
	"context"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// identityMismatch is the code of an answer that was for another person than the account's.
const identityMismatch = "identity_mismatch"

// delegated is the way to a person's token, for the refresh token that is kept of them (RFC 6749 section 6).
func (m *Microsoft) delegated(r request) (way, *Error) {
	return way{
		lease: personKey(r.account, r.identity),
		look: func(ctx context.Context, store Store) (place, Access, *Error) {
			p, err := m.personRow(ctx, store, r)
			if err != nil {
				return place{}, Access{}, storeError(r.account, err)
			}
			access, failed := m.readPerson(r, p.row)
			return p, access, failed
		},
		ask: func(ctx context.Context, p place) (Access, bool, *Error) { return m.askForPerson(ctx, r, p) },
	}, nil
}

// readPerson holds a kept row against the enrolment, and gives its access token where that will do.
func (m *Microsoft) readPerson(r request, row *cacheRow) (Access, *Error) {
	kept, err := row.parse()
	switch {
	case err != nil, len(kept.RefreshTokens) == 0:
		return Access{}, needsSignIn(r.account, "", "no refresh token is kept for the account: "+enrollCommand(r.account))
	case !kept.belongsTo(r.identity):
		return Access{}, mismatch(r.account)
	}
	return kept.newer(r, m.clientID, m.scopes), nil
}

// askForPerson redeems the row's refresh token, and holds the answer against the enrolment.
func (m *Microsoft) askForPerson(ctx context.Context, r request, p place) (Access, bool, *Error) {
	if err := p.row.dropAccessTokens(); err != nil {
		return Access{}, false, needsSignIn(r.account, "", err.Error()+": "+enrollCommand(r.account))
	}
	c := &call{account: r.account}
	result, err := m.redeem(withCall(ctx, c), p)
	obtained := time.Now()
	switch {
	case err != nil && !c.asked && ctx.Err() == nil:
		// MSAL found no refresh token for this client and authority. The person is not marked: it is the file that changed.
		return Access{}, false, &Error{Account: r.account, Class: Misconfigured, Advice: "the kept sign-in is for another client_id or " +
			"authority than provider " + r.account.Provider + " has now: put those back, or " + enrollCommand(r.account)}
	case err != nil:
		return Access{}, true, m.failure(r.account, c.answer, err)
	}
	if failed := m.checkIdentity(r, p.row, result); failed != nil {
		return Access{}, true, failed
	}
	return granted(result.AccessToken, obtained, result.ExpiresOn), true, nil
}

// personRow gives the row of a person and its place: what a sign-in by code brought, or else by device code. There is one
// of them at a time.
func (m *Microsoft) personRow(ctx context.Context, store Store, r request) (place, error) {
	key := personKey(r.account, r.identity)
	if m.credential != nil {
		byCode := key
		byCode.Kind = KindConfidential
		content, err := store.Cache(ctx, byCode)
		if err != nil || len(content) > 0 {
			return place{byCode, &cacheRow{content: content}}, err
		}
	}
	content, err := store.Cache(ctx, key)
	return place{key, &cacheRow{content: content}}, err
}

// redeem redeems the refresh token of a row that has no access token, as the kind of client that the token is bound to.
// All accounts of the row are one person; MSAL goes by the home account id, which they share.
func (m *Microsoft) redeem(ctx context.Context, p place) (public.AuthResult, error) {
	if p.key.Kind == KindConfidential {
		client, err := m.confidentialClient(p.row)
		if err != nil {
			return confidential.AuthResult{}, err
		}
		kept, err := p.row.parse()
		if err != nil {
			return confidential.AuthResult{}, err
		}
		account, err := client.Account(ctx, kept.home())
		if err != nil {
			return confidential.AuthResult{}, err
		}
		return client.AcquireTokenSilent(ctx, m.scopes, confidential.WithSilentAccount(account))
	}
	client, err := m.publicClient(p.row)
	if err != nil {
		return public.AuthResult{}, err
	}
	accounts, err := client.Accounts(ctx)
	if err != nil {
		return public.AuthResult{}, err
	}
	return client.AcquireTokenSilent(ctx, m.scopes, public.WithSilentAccount(accounts[0]))
}

// publicClient makes the client of one row: the device code's tokens are bound to a public client also where the
// application has a credential. See [Microsoft.confidentialClient] for instance discovery.
func (m *Microsoft) publicClient(row *cacheRow) (public.Client, error) {
	return public.New(m.clientID,
		public.WithAuthority(m.authority),
		public.WithHTTPClient(m.client),
		public.WithCache(row),
		public.WithInstanceDiscovery(false))
}

// checkIdentity holds an answer against the enrolment (threat model I-18). The signature of the ID token need not be
// checked here: it came straight from the token endpoint over verified TLS (OpenID Connect Core 1.0 section 3.1.3.7,
// item 6).
func (m *Microsoft) checkIdentity(r request, row *cacheRow, result public.AuthResult) *Error {
	if result.IDToken.Oid == "" || result.IDToken.TenantID == "" {
		return &Error{Account: r.account, Class: Temporary, Advice: "the answer of " + m.host + " does not say who it is for"}
	}
	kept, err := row.parse()
	if err != nil || !kept.belongsTo(r.identity) ||
		result.IDToken.Oid != r.identity.ObjectID || result.IDToken.TenantID != r.identity.TenantID {
		return mismatch(r.account)
	}
	return nil
}

// personKey is where the token cache of a person's device code is kept: by what does not change hands.
func personKey(account Account, identity Identity) CacheKey {
	return CacheKey{Provider: account.Provider, TenantID: identity.TenantID, Owner: identity.ObjectID, Kind: KindPublic}
}

func needsSignIn(account Account, code, advice string) *Error {
	return &Error{Account: account, Class: NeedsSignIn, Code: code, Advice: advice}
}

func mismatch(account Account) *Error {
	return needsSignIn(account, identityMismatch,
		"the tokens are another person's than the one who was enrolled and were thrown away: "+enrollCommand(account))
}

// enrollCommand is the command that makes a delegated account work again.
func enrollCommand(account Account) string { return "postern user enroll " + account.Name }
