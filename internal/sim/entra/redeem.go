package entra

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// redeemCredentials answers the client credentials grant (RFC 6749 section 4.4): a token of the application's own.
func (s *Server) redeemCredentials(r tokenRequest) (*tokenAnswer, *problem) {
	text := r.form.Get("scope")
	if text == "" {
		return nil, missing("scope")
	}
	asked, p := parseScope(text)
	if p != nil {
		return nil, p
	}
	// The libraries add openid and its like, which Entra passes over here.
	if len(asked.permissions) != 1 || asked.permissions[0].name != allPermissions {
		return nil, refuse(1002012).says("The provided value for scope %s is not valid. Client credential flows must have a scope value "+
			"with /.default suffixed to the resource identifier (application ID URI).", text)
	}
	audience, p := asked.audience()
	if p != nil {
		return nil, p
	}
	life := s.tokenLife()
	access, err := s.applicationToken(r.application, audience, life, r.proof)
	if err != nil {
		return nil, s.unable("signing an access token", err)
	}
	return lasting(access, life), nil
}

// redeemRefreshToken answers the refresh token grant (RFC 6749 section 6). The refresh token is not bound to the
// resource that it was first asked for (reference A.3).
func (s *Server) redeemRefreshToken(r tokenRequest) (*tokenAnswer, *problem) {
	presented := r.form.Get("refresh_token")
	if presented == "" {
		return nil, missing("refresh_token")
	}
	s.state.mu.Lock()
	kept, known := s.state.refresh[presented]
	revoked := known && kept.revoked
	s.state.mu.Unlock()
	switch {
	case !known:
		return nil, refuse(70000).says("Provided grant is invalid or malformed. The refresh token is not recognized.")
	case kept.clientID != r.application.ClientID:
		return nil, refuse(70000).says("The provided value for the 'refresh_token' parameter was issued to another client id.")
	case revoked:
		return nil, refuse(50173)
	}
	in := kept.signIn
	in.scope.offline = true
	return s.forPerson(in, r)
}

// authorizationCode is a code that was given to a browser.
type authorizationCode struct {
	signIn
	redirectURI string
	challenge   string // PKCE's, derived by S256; empty for none
	expires     time.Time
	redeemed    bool
}

// codeLife is how long an authorization code can be redeemed.
const codeLife = 10 * time.Minute

// redeemCode answers the authorization code grant (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
func (s *Server) redeemCode(r tokenRequest) (*tokenAnswer, *problem) {
	if r.form.Get("code") == "" {
		return nil, missing("code")
	}
	s.state.mu.Lock()
	code, known := s.state.codes[r.form.Get("code")]
	var p *problem
	switch {
	case !known, code.clientID != r.application.ClientID:
		p = refuse(70000).says("The provided value for the 'code' parameter is not valid.")
	case code.redeemed:
		p = refuse(54005)
	case !s.now().Before(code.expires):
		p = refuse(70008).says("The provided authorization code has expired.")
	case code.redirectURI != r.form.Get("redirect_uri"):
		p = refuse(50011).says("The redirect URI '%s' specified in the request does not match the one that the code was issued for.",
			r.form.Get("redirect_uri"))
	case code.challenge != s256(r.form.Get("code_verifier")):
		p = refuse(50148)
	default:
		code.redeemed = true
	}
	s.state.mu.Unlock()
	if p != nil {
		return nil, p
	}
	return s.forPerson(code.signIn, r)
}

// s256 derives the code challenge of a verifier (RFC 7636 section 4.2); none of none.
func s256(verifier string) string {
	if verifier == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// forPerson gives the tokens that a person's sign-in earns, for the scope of the request or else that of the sign-in.
func (s *Server) forPerson(in signIn, r tokenRequest) (*tokenAnswer, *problem) {
	person, known := s.tenant.PersonByID(in.objectID)
	switch {
	case !known:
		return nil, refuse(50034)
	case person.Disabled:
		return nil, refuse(50057)
	}
	asked := in.scope
	if text := r.form.Get("scope"); text != "" {
		var p *problem
		if asked, p = parseScope(text); p != nil {
			return nil, p
		}
	}
	audience, p := asked.audience()
	if p != nil {
		return nil, p
	}
	granted, p := asked.consented(r.application)
	if p != nil {
		return nil, p
	}
	life := s.tokenLife()
	access, err := s.userToken(in, r.application, person, audience, names(granted), life, r.proof)
	if err != nil {
		return nil, s.unable("signing an access token", err)
	}
	answer := lasting(access, life)
	answer.Scope = echo(granted, r.otherHost)
	if asked.openID {
		if answer.IDToken, err = s.idToken(in, r.application, person); err != nil {
			return nil, s.unable("signing an id token", err)
		}
	}
	if asked.offline || in.scope.offline {
		in.nonce = "" // it belongs to the first id token
		answer.RefreshToken = s.state.newRefreshToken(in)
	}
	if r.form.Get("client_info") == "1" {
		answer.ClientInfo = s.clientInfo(in.objectID)
	}
	return answer, nil
}

// longLife is the life from which an answer suggests when to refresh: half way (reference F.2).
const longLife = 2 * time.Hour

// lasting begins an answer with an access token and its life.
func lasting(access string, life time.Duration) *tokenAnswer {
	seconds := int(life / time.Second)
	answer := &tokenAnswer{TokenType: "Bearer", ExpiresIn: seconds, ExtExpiresIn: seconds, AccessToken: access}
	if life >= longLife {
		answer.RefreshIn = seconds / 2
	}
	return answer
}

// unable is a failure of the simulator itself.
func (s *Server) unable(doing string, err error) *problem {
	s.log.Error("the simulated Entra ID failed", "doing", doing, "error", err)
	return refuse(90033)
}
