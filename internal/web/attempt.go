package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"postern/auth/token"
	"postern/internal/secret"
)

const (
	// attemptCookie holds a sign-in that is under way: it binds that to the browser in which it began.
	attemptCookie = "__Host-postern-signin"
	// attemptLife is how long a person may take at the provider's pages.
	attemptLife = 10 * time.Minute
)

// attempt is a sign-in that is under way. It is sealed in a cookie, so that strangers who begin sign-ins and never come
// back cost nothing here.
type attempt struct {
	Provider string
	State    string // what comes back in the address must be this
	Nonce    string // what comes back in the ID token must be this
	Verifier string // of PKCE
	Return   string // the page to go on to
	Began    time.Time
	// Who asked for it when it is a further sign-in of somebody who is signed in; zero otherwise.
	TenantID, ObjectID string
	LoginHint          string
	Context            string // the authentication context to be satisfied; empty for none
	Fresh              bool
}

// newAttempt begins a sign-in. State, nonce and verifier have 256 random bits each.
func (p *Portal) newAttempt(provider, back string) attempt {
	return attempt{
		Provider: provider, State: randomText(), Nonce: randomText(), Verifier: randomText(), Return: back, Began: p.now(),
	}
}

// randomText gives 256 random bits as 43 characters of the alphabet of PKCE's verifiers (RFC 7636 section 4.1).
func randomText() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it cannot fail
	return base64.RawURLEncoding.EncodeToString(random)
}

// challenge derives PKCE's challenge from the verifier, by S256 (RFC 7636 section 4.2).
func (a attempt) challenge() string {
	sum := sha256.Sum256([]byte(a.Verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is the attempt as package token wants it.
func (p *Portal) request(a attempt) token.CodeRequest {
	return token.CodeRequest{
		Provider: a.Provider, RedirectURI: p.config.URL + callbackPath(a.Provider), State: a.State, Nonce: a.Nonce,
		Verifier: secret.New(a.Verifier), LoginHint: a.LoginHint, Fresh: a.Fresh, Context: a.Context,
	}
}

// callbackPath is where a provider sends the browser back to: a path of its own for each, so that one cannot answer for
// another (RFC 9700 section 4.4.2.1).
func callbackPath(provider string) string { return "/signin/" + provider + "/callback" }

// attemptPlace describes an attempt's cookie to the sealing.
var attemptPlace = []byte("postern/portal-sign-in/1")

// giveAttempt puts an attempt into the browser.
func (p *Portal) giveAttempt(w http.ResponseWriter, a attempt) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sealed, err := p.config.Keys.Seal(plain, attemptPlace)
	if err == nil {
		setCookie(w, attemptCookie, base64.RawURLEncoding.EncodeToString(sealed))
	}
	return err
}

// takeAttempt takes the attempt out of the browser; false when it has none, or none of ours.
func (p *Portal) takeAttempt(w http.ResponseWriter, r *http.Request) (attempt, bool) {
	cookie, err := r.Cookie(attemptCookie)
	if err != nil {
		return attempt{}, false
	}
	setCookie(w, attemptCookie, "")
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return attempt{}, false
	}
	plain, err := p.config.Keys.Unseal(sealed, attemptPlace)
	var a attempt
	if err != nil || json.Unmarshal(plain, &a) != nil {
		return attempt{}, false
	}
	return a, true
}
