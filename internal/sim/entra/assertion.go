package entra

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

const (
	maxAssertionLife = 10 * time.Minute
	// clockSkew is how far a client's clock may be off.
	clockSkew = 5 * time.Minute
)

// checkAssertion checks the JWT with which an application proves that it holds a certificate's key (RFC 7523 section 3,
// reference F.2). Whatever is wrong is AADSTS700027, with the reason in its text.
func (s *Server) checkAssertion(application tenant.Application, assertion secret.Text) *problem {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(assertion.Reveal(), &claims, certificateKey(application),
		jwt.WithValidMethods([]string{"PS256", "RS256"}), jwt.WithTimeFunc(s.now), jwt.WithLeeway(clockSkew),
		jwt.WithExpirationRequired())
	reason := ""
	switch {
	case errors.Is(err, errUnknownCertificate):
		reason = "The certificate with identifier used to sign the client assertion is not registered on application."
	case err != nil:
		reason = "Client assertion failed signature validation: " + whyInvalid(err).Error() + "."
	case !s.isTokenEndpoint(claims.Audience):
		reason = "Client assertion audience claim does not match the token endpoint."
	case claims.Issuer != application.ClientID || claims.Subject != application.ClientID:
		reason = "Client assertion issuer and subject claims must both be the application's client id."
	case claims.ExpiresAt.After(s.now().Add(maxAssertionLife + clockSkew)):
		reason = "Client assertion is valid for too long."
	case claims.ID == "":
		reason = "Client assertion has no jti claim."
	case !s.firstUse(application.ClientID+" "+claims.ID, claims.ExpiresAt.Add(clockSkew)):
		reason = "Client assertion was used before: its jti claim is not unique."
	default:
		return nil
	}
	return refuse(700027).says("%s Application ID: '%s'.", reason, application.ClientID)
}

var errUnknownCertificate = errors.New("no such certificate")

// certificateKey finds the registered certificate that an assertion names by its thumbprint.
func certificateKey(application tenant.Application) jwt.Keyfunc {
	return func(token *jwt.Token) (any, error) {
		for _, certificate := range application.Certificates {
			if namesCertificate(token.Header, certificate) {
				return certificate.PublicKey, nil
			}
		}
		return nil, errUnknownCertificate
	}
}

func namesCertificate(header map[string]any, certificate *x509.Certificate) bool {
	sha256Sum, sha1Sum := sha256.Sum256(certificate.Raw), sha1.Sum(certificate.Raw)
	return isThumbprint(header["x5t#S256"], sha256Sum[:]) || isThumbprint(header["x5t"], sha1Sum[:])
}

// isThumbprint compares a header field with a sum. The field is base64url (RFC 7515 section 4.1.7), but MSAL for Go
// writes plain base64 with padding, and Entra takes it.
func isThumbprint(field any, sum []byte) bool {
	text, _ := field.(string)
	text = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text)
	return text == base64.RawURLEncoding.EncodeToString(sum)
}

// isTokenEndpoint reports whether an audience is this server's token endpoint, by either name of the tenant.
func (s *Server) isTokenEndpoint(audience jwt.ClaimStrings) bool {
	for _, a := range audience {
		name, ok := strings.CutPrefix(a, s.url+"/")
		if name, found := strings.CutSuffix(name, "/oauth2/v2.0/token"); ok && found && s.tenant.Is(name) {
			return true
		}
	}
	return false
}

// firstUse reports whether an assertion was not used before, and remembers it until it expires.
func (s *Server) firstUse(id string, expires time.Time) bool {
	now := s.now()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	maps.DeleteFunc(s.state.assertions, func(_ string, e time.Time) bool { return e.Before(now) })
	_, used := s.state.assertions[id]
	s.state.assertions[id] = expires
	return !used
}
