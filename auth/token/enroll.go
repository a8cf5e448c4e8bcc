package token

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postern/internal/audit"
)

// DeviceCode is what a person needs to sign in with a browser on any machine (RFC 8628 section 3.2).
type DeviceCode struct {
	UserCode        string    // to be typed
	VerificationURL string    // where to type it
	Expires         time.Time // when the code is no longer taken
}

// methodDeviceCode is the audit log's name of the way an account was enrolled.
const methodDeviceCode = "device-code"

// Enroll has the person of a delegated account sign in by a device code, and keeps their refresh token. It calls show
// once, with the code, and returns when the person has signed in, or an error when they have not: when the code runs
// out, they decline, or ctx ends. Who signed in must be who the account names; anybody else's tokens are thrown away
// (threat model I-21). by is who asked for the enrolment, for the audit log.
//
// The error is an *[Error] always. Enroll replaces an earlier enrolment of the account.
func (s *Source) Enroll(ctx context.Context, account Account, by string, show func(DeviceCode)) (Identity, error) {
	provider, failed := s.enrollable(account)
	if failed != nil {
		return Identity{}, failed
	}
	row, idToken, failed := provider.signInByDeviceCode(ctx, account, show)
	if failed != nil {
		if ctx.Err() == nil {
			s.recordFailure(failed)
		}
		return Identity{}, failed
	}
	claims, err := provider.verify(ctx, idToken)
	identity := claims.identity()
	if err == nil {
		err = accept(account, identity, row)
	}
	if err != nil {
		return Identity{}, s.refuseEnrolment(account, identity, by, err)
	}
	if err := s.saveEnrolment(ctx, account, identity, personKey(account, identity), row, methodDeviceCode, by); err != nil {
		return Identity{}, err
	}
	return identity, nil
}

// enrollable gives the provider of an account for which a person can sign in.
func (s *Source) enrollable(account Account) (*Microsoft, *Error) {
	provider, known := s.provider(account.Provider)
	advice := ""
	switch {
	case !known:
		advice = "there is no provider " + account.Provider + " in the configuration"
	case account.Grant != Delegated, account.Name == "":
		advice = "only a person's account is enrolled; this one's tokens are the application's"
	case len(provider.scopes) == 0:
		advice = "provider " + account.Provider + " has no delegated permissions to ask for"
	case slices.Contains(sharedTenants, provider.tenant):
		// Anybody's sign-in would do there, and no token could be held against the tenant.
		advice = "tenant " + provider.tenant + " of provider " + account.Provider + " is no tenant of its own: name yours"
	case strings.Contains(provider.authority, "token"):
		// MSAL finds the device code's endpoint by replacing that word throughout the URL (reference G.3).
		advice = "the device code does not work with an authority that has \"token\" in its name: give the tenant of provider " +
			account.Provider + " by its id"
	default:
		return provider, nil
	}
	return nil, &Error{Account: account, Class: Misconfigured, Advice: advice}
}

// errOtherName is a sign-in of somebody whose name is not the account's.
var errOtherName = errors.New("somebody else signed in than the account names")

// accept says why the person who signed in is not taken for the account; nil when they are.
func accept(account Account, identity Identity, row *cacheRow) error {
	if !strings.EqualFold(identity.Username, account.Name) {
		return errOtherName
	}
	return usable(identity, row)
}

// usable says why a row cannot be kept for a person; nil when it can.
func usable(identity Identity, row *cacheRow) error {
	kept, err := row.parse()
	switch {
	case err != nil:
		return err
	case !kept.belongsTo(identity):
		return errors.New("the tokens are not of the person who signed in")
	case len(kept.RefreshTokens) == 0:
		return errors.New("no refresh token came: the permission offline_access is missing")
	}
	return nil
}

// refuseEnrolment records that a sign-in was not accepted.
func (s *Source) refuseEnrolment(account Account, identity Identity, by string, reason error) *Error {
	event := audit.EnrolmentRefused{
		Provider: account.Provider, Account: account.Name, Reason: reason.Error(), SignedIn: identity.Username, By: by,
	}
	if err := s.audit.Record(event); err != nil {
		s.log.Error("a refused enrolment is not in the audit log", "account", account.String(), "error", err)
	}
	return needsSignIn(account, "", reason.Error()+"; the tokens were thrown away: "+enrollCommand(account))
}

// saveEnrolment records an enrolment and then keeps it. The error is nil or an *Error.
func (s *Source) saveEnrolment(ctx context.Context, account Account, identity Identity, key CacheKey, row *cacheRow, method, by string) error {
	// The person has signed in: that is kept also where whoever asked for it has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime+saveTime)
	defer cancel()
	// What is still under way for the enrolment before would be kept over this one.
	release, failed := lease(ctx, s.store, account, personKey(account, identity))
	if failed != nil {
		return failed
	}
	defer release()
	event := audit.AccountEnrolled{
		Provider: account.Provider, Account: account.Name, TenantID: identity.TenantID, ObjectID: identity.ObjectID,
		Method: method, By: by,
	}
	if err := s.audit.Record(event); err != nil {
		return &Error{Account: account, Class: Temporary, Advice: "the audit log cannot be written, so the sign-in is not kept", cause: err}
	}
	enrolment := Enrolment{Identity: identity, Since: time.Now()}
	if err := s.store.SaveEnrolment(ctx, account, enrolment, key, row.content); err != nil {
		return storeError(account, err)
	}
	return nil
}
