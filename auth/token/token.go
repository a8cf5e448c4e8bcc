// Package token keeps upstream access tokens by account.
//
// A [Source] answers "a token for this account, now": from memory when it can, from the provider when it must, one
// request at a time for each account. It renews tokens ahead of their expiry, off the path of the client that needs
// one, and remembers refusals so that a device that retries for ever does not become a flood at the provider.
//
// What a provider is asked, and how, is behind the unexported side of this package: MSAL for Microsoft is imported
// here and nowhere else. A token fetched for one [Account] is never handed out for another.
//
// What has to outlive the process, refresh tokens above all, is in the [Store] that the source is given: one sealed
// record an account. The package knows nothing of mail protocols, and nothing of who may use an account.
package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/secret"
)

// Grant says how the tokens of an account are had.
type Grant string

const (
	// Delegated: a person consented once; a refresh token is kept (RFC 6749 section 6).
	Delegated Grant = "delegated"
	// Application: the gateway asks in its own name, by client credentials (RFC 6749 section 4.4).
	Application Grant = "application"
)

// Account names the identity whose tokens open a mailbox. It is comparable and serves as a key.
type Account struct {
	// Provider is the name of the provider in the configuration.
	Provider string
	// Grant is how its tokens are had.
	Grant Grant
	// Name is the person's user principal name in lower case; empty for [Application], where the provider's own
	// application is the account and one token serves every mailbox.
	Name string
}

// String gives the account as people and logs see it.
func (a Account) String() string {
	if a.Grant == Application {
		return "application of " + a.Provider
	}
	return a.Name + " at " + a.Provider
}

// Access is an access token with what is known of its life.
type Access struct {
	Token    secret.Text
	Obtained time.Time // when the provider issued it
	Expires  time.Time // when upstream stops taking it
}

// Identity is who a provider says an account is: the immutable key of a person or an application at Entra, tenant id
// and object id. Names and addresses change hands; these do not (threat model, ASVS 6.8.1).
type Identity struct {
	TenantID string
	ObjectID string
	// Username is a label for people: preferred_username of the ID token.
	Username string
}

// ErrRefused is what a caller of [Source.Use] wraps when upstream would not take the token it was given.
var ErrRefused = errors.New("upstream refused the access token")

// Class says who can mend a failed request for a token.
type Class string

const (
	// Temporary: time mends it. Clients must hear of it as temporary.
	Temporary Class = "temporary"
	// NeedsSignIn: the person must sign in again (consent, MFA, a revoked or expired refresh token).
	NeedsSignIn Class = "needs-sign-in"
	// Misconfigured: an administrator must change the tenant, the application or the configuration file.
	Misconfigured Class = "misconfigured"
)

// NotEnrolled is the [Error.Code] of an account for which nobody has signed in; the provider was not asked.
const NotEnrolled = "not_enrolled"

// Error is a failed request for a token. It carries what identifies the failure at the provider and never a secret:
// MSAL's own errors contain whole responses and stay inside this package.
type Error struct {
	Account Account
	Class   Class
	// Code is the provider's error word, such as invalid_grant (RFC 6749 section 5.2); empty when no answer came.
	Code string
	// Suberror refines Code at Entra, such as consent_required; often empty.
	Suberror string
	// AADSTS are Entra's numbers for the failure, such as 70008.
	AADSTS []int
	// Advice says what is wrong and what mends it, in one line for an administrator.
	Advice string
	// RetryAt is when asking again can help; the zero time when time alone mends nothing.
	RetryAt time.Time
	// CorrelationID and TraceID find the request in Entra's sign-in log.
	CorrelationID, TraceID string

	retryAfter time.Duration // what the provider asked for
	unasked    bool          // the provider was not asked at all: others went first
	// cause is what failed on this side: the store, the audit log, the caller's patience. Never an error of MSAL.
	cause error
}

// Error gives the failure in one line, without secrets.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "token for %s: %s", e.Account, e.Class)
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	for _, n := range e.AADSTS {
		fmt.Fprintf(&b, " AADSTS%d", n)
	}
	if e.Advice != "" {
		b.WriteString(": " + e.Advice)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause where the failure was on this side, such as the store's error or the end of the caller's
// context; nil where it was the provider's.
func (e *Error) Unwrap() error { return e.cause }
