package entra

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// accessTokenClaims are the claims of an access token that are read back.
type accessTokenClaims struct {
	jwt.RegisteredClaims
	ID       string   `json:"uti"`
	TenantID string   `json:"tid"`
	ObjectID string   `json:"oid"`
	ClientID string   `json:"appid"`
	UPN      string   `json:"upn"`
	Scopes   string   `json:"scp"`
	Roles    []string `json:"roles"`
}

// Verify tells whether an access token is one of this server's, for the mail resource and still valid, and gives its
// claims. The error says why it is not and quotes nothing of it. It makes the server a [tenant.Verifier].
func (s *Server) Verify(token secret.Text) (tenant.Claims, error) {
	var claims accessTokenClaims
	_, err := jwt.ParseWithClaims(token.Reveal(), &claims, s.keys.public,
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(s.now), jwt.WithExpirationRequired(),
		jwt.WithIssuer(accessIssuer+s.tenant.ID+"/"), jwt.WithAudience(mailResources...))
	if err != nil {
		return tenant.Claims{}, fmt.Errorf("access token: %w", whyInvalid(err))
	}
	if !s.current(claims.ID) {
		return tenant.Claims{}, errors.New("access token: expired on order")
	}
	return tenant.Claims{
		ID: claims.ID, TenantID: claims.TenantID, ObjectID: claims.ObjectID, ClientID: claims.ClientID, UPN: claims.UPN,
		Scopes: strings.Fields(claims.Scopes), Roles: claims.Roles, Expires: claims.ExpiresAt.Time,
	}, nil
}

// current reports whether a token is of the generation that is taken.
func (s *Server) current(id string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return err == nil && len(raw) > 0 && raw[0] == s.state.generation
}

// whyInvalid gives the kind of the parser's error alone: its text may quote the token.
func whyInvalid(err error) error {
	for _, kind := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenExpired,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return jwt.ErrTokenInvalidClaims
}
