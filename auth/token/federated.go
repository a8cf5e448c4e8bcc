package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"postern/internal/secret"
)

// maxAssertion bounds an assertion, in bytes. Those of Kubernetes and of Azure are 1 to 2 kB.
const maxAssertion = 32 << 10

// readAssertion reads a federated credential's token and looks whether it can be one: Entra's words for a file that is not
// a token, or one that nobody renews any more, do not say which file that is. Whose it is and whether it is genuine is for
// Entra to decide. The error is a *credentialError.
func readAssertion(read func() (secret.Text, error)) (secret.Text, error) {
	const setting = "client_assertion_file of provider {provider}: "
	assertion, err := read()
	if err != nil {
		return secret.Text{}, &credentialError{Misconfigured, setting + err.Error()}
	}
	assertion = secret.New(strings.TrimSpace(assertion.Reveal()))
	ends, ok := assertionEnd(assertion)
	switch {
	case !ok:
		return secret.Text{}, &credentialError{Misconfigured, setting + "it does not hold a token (a JWT): name the file that the platform writes, such as " +
			"AZURE_FEDERATED_TOKEN_FILE says in Kubernetes"}
	case !ends.IsZero() && !time.Now().Before(ends):
		return secret.Text{}, &credentialError{Misconfigured, setting + "the token in it ended at " + ends.UTC().Format(time.RFC3339) +
			", and nothing has put a newer one there: look after what writes the file, or this machine's clock"}
	}
	return assertion, nil
}

// assertionEnd gives when a JWT ends (RFC 7519 section 4.1.4), the zero time where it does not say; false for what is none.
func assertionEnd(assertion secret.Text) (time.Time, bool) {
	parts := strings.Split(assertion.Reveal(), ".")
	if len(parts) != 3 || len(assertion.Reveal()) > maxAssertion {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expires json.Number `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return time.Time{}, false
	}
	seconds, err := claims.Expires.Float64()
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}, claims.Expires == ""
	}
	return time.Unix(int64(seconds), 0), true
}
