package gateway

import (
	"context"
	"errors"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/store"
)

// portalAccounts says which accounts are whose, and keeps the tokens of those who sign in to the portal.
//
// An account that is enrolled is that person's whose tenant and object id it was enrolled with, whatever they are called
// now. One that is not is theirs whose name it has, in the provider's own tenant; the sign-in enrols it, and from then on
// the name decides nothing any more (threat model I-18).
type portalAccounts struct {
	directory *auth.Directory
	store     *store.Store
	tokens    *token.Source
}

// of gives the names of the accounts at a provider that are a person's, each with its enrolment; the zero enrolment for
// one that is not enrolled.
func (a portalAccounts) of(ctx context.Context, provider string, who token.Identity) (map[token.Account]token.Enrolment, error) {
	rows, err := a.store.AccountsOf(ctx, provider, who.TenantID, who.ObjectID)
	if err != nil {
		return nil, err
	}
	theirs := make(map[token.Account]token.Enrolment)
	for _, row := range rows {
		if account := accountOf(row); a.directory.HasAccount(account) {
			theirs[account] = enrolmentOf(row)
		}
	}
	named := nameOf(provider, who)
	if _, known := theirs[named]; known || !a.directory.HasAccount(named) {
		return theirs, nil
	}
	_, enrolled, err := tokenStore{a.store}.find(ctx, named)
	if err == nil && !enrolled {
		theirs[named] = token.Enrolment{}
	}
	return theirs, err
}

// Enroll keeps the tokens of a sign-in for those accounts of the person that are not enrolled or need a sign-in. An account
// of the person's name that is enrolled for somebody else is refused, which is an event.
func (a portalAccounts) Enroll(ctx context.Context, provider string, in token.SignIn, by string) error {
	theirs, err := a.of(ctx, provider, in.Identity)
	if err != nil {
		return err
	}
	named := nameOf(provider, in.Identity)
	if _, known := theirs[named]; !known && a.directory.HasAccount(named) {
		theirs[named] = token.Enrolment{}
	}
	for account, enrolment := range theirs {
		if enrolment.Identity.ObjectID == "" || enrolment.NeedsSignIn || enrolment.Refused {
			err = errors.Join(err, a.tokens.EnrollSignIn(ctx, account, in, by))
		}
	}
	return err
}

// nameOf is the account that has a person's name.
func nameOf(provider string, who token.Identity) token.Account {
	return token.Account{Provider: provider, Grant: token.Delegated, Name: auth.Canonical(who.Username)}
}
