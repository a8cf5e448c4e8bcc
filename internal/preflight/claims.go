package preflight

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"postern/internal/secret"
)

// claims are what an access token says, as far as a diagnosis can use it. To a client a token is opaque by contract, so nothing
// is decided by it; what cannot be read is unknown (reference A.3).
type claims struct {
	Audience string   `json:"aud"`
	Scopes   string   `json:"scp"`   // of a delegated token
	Roles    []string `json:"roles"` // of an application's own
	ObjectID string   `json:"oid"`   // of the person, or of the enterprise application
	Kind     string   `json:"idtyp"`
}

// readClaims reads a token's claims without verifying anything: it came straight from the token endpoint. False where the token
// is of another form.
func readClaims(access secret.Text) (claims, bool) {
	parts := strings.Split(access.Reveal(), ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	content, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims{}, false
	}
	var c claims
	if json.Unmarshal(content, &c) != nil {
		return claims{}, false
	}
	return c, true
}

// has reports whether the token carries a permission, such as SMTP.Send or IMAP.AccessAsApp.
func (c claims) has(permission string) bool {
	for _, p := range append(strings.Fields(c.Scopes), c.Roles...) {
		if strings.EqualFold(p, permission) {
			return true
		}
	}
	return false
}
