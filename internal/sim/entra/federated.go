package entra

import (
	"errors"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// checkAnyAssertion checks a client assertion: one that the application made itself, with a certificate's key, or the token
// of another issuer whom the registration trusts.
func (s *Server) checkAnyAssertion(application tenant.Application, assertion secret.Text) *problem {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion.Reveal(), &claims); err != nil || claims.Issuer == application.ClientID ||
		len(application.Federated) == 0 {
		return s.checkAssertion(application, assertion)
	}
	trusted := func(match func(tenant.FederatedCredential) bool) bool {
		return slices.ContainsFunc(application.Federated, match)
	}
	switch {
	case !trusted(func(f tenant.FederatedCredential) bool { return f.Issuer == claims.Issuer }):
		return refuse(700211).says("No matching federated identity record found for presented assertion issuer '%s'.", claims.Issuer)
	case !trusted(func(f tenant.FederatedCredential) bool {
		return f.Issuer == claims.Issuer && f.Subject == claims.Subject
	}):
		return refuse(700213).says("No matching federated identity record found for presented assertion subject '%s'.", claims.Subject)
	case !trusted(func(f tenant.FederatedCredential) bool { return fits(f, claims) }):
		return refuse(700212).says("No matching federated identity record found for presented assertion audience '%v'.", claims.Audience)
	}
	return s.checkFederated(application, assertion)
}

// fits reports whether a token is the one that a registration trusts, whoever signed it.
func fits(f tenant.FederatedCredential, claims jwt.RegisteredClaims) bool {
	return f.Issuer == claims.Issuer && f.Subject == claims.Subject && slices.Contains(claims.Audience, f.Audience)
}

// checkFederated checks the signature and the time of a token that fits. It may be shown more than once.
func (s *Server) checkFederated(application tenant.Application, assertion secret.Text) *problem {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(assertion.Reveal(), &claims, func(*jwt.Token) (any, error) {
		for _, f := range application.Federated {
			if fits(f, claims) {
				return f.Key, nil
			}
		}
		return nil, errUnknownCertificate
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(s.now), jwt.WithLeeway(clockSkew), jwt.WithExpirationRequired())
	switch {
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return refuse(700024)
	case err != nil:
		return refuse(700027).says("Client assertion failed signature validation: %v.", whyInvalid(err))
	}
	return nil
}
