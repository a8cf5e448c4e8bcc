package gateway

import (
	"context"
	"fmt"

	"postern/auth"
	"postern/auth/factor"
	"postern/auth/token"
)

// FactorOwner is the person behind a login, as the gateway knows them once they have signed in.
type FactorOwner struct {
	Login    string
	Username string // as the provider shows it
	factor.Person
}

// Factors gives the second factors of the person behind a login.
func (a *Admin) Factors(ctx context.Context, login string) (FactorOwner, []factor.Factor, error) {
	owner, err := a.factorOwner(ctx, login)
	if err != nil {
		return owner, nil, err
	}
	factors, err := factorStore{a.state.Store}.Factors(ctx, owner.Person)
	return owner, factors, err
}

// ResetFactors removes the second factors of the person behind a login, and gives how many there were. Their app passwords
// stay as they are; the next proof begins with an enrolment, for which they sign in at the provider afresh.
func (a *Admin) ResetFactors(ctx context.Context, login string) (FactorOwner, int, error) {
	owner, err := a.factorOwner(ctx, login)
	if err != nil {
		return owner, 0, err
	}
	n, err := factor.Reset(ctx, factorStore{a.state.Store}, a.state.Audit, owner.Person, owner.Username, a.by)
	return owner, n, err
}

func (a *Admin) factorOwner(ctx context.Context, login string) (FactorOwner, error) {
	mapping, err := a.mapping(login)
	if err != nil {
		return FactorOwner{}, err
	}
	return factorOwner(ctx, tokenStore{a.state.Store}, mapping)
}

// factorOwner finds the person behind a login. Nobody is behind one of the application's, nor behind one whose person has
// never signed in.
func factorOwner(ctx context.Context, tokens tokenStore, mapping auth.Mapping) (FactorOwner, error) {
	owner := FactorOwner{Login: mapping.Login}
	if mapping.Account.Grant == token.Application {
		return owner, fmt.Errorf("%s has grant: application: nobody signs in for it, so nobody has second factors", mapping.Login)
	}
	enrolment, enrolled, err := tokens.find(ctx, mapping.Account)
	switch {
	case err != nil:
		return owner, err
	case !enrolled:
		return owner, fmt.Errorf("%s has not signed in yet, so there is nobody whose second factors these could be", mapping.Account)
	}
	owner.Username = enrolment.Identity.Username
	owner.Person = factor.Person{TenantID: enrolment.Identity.TenantID, ObjectID: enrolment.Identity.ObjectID}
	return owner, nil
}
