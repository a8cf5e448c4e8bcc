package entra

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/sim/tenant"
)

// accessIssuer is the iss of access tokens in v1.0 form, without the tenant.
const accessIssuer = "https://sts.windows.net/"

// idTokenLife is how long an id token can be used.
const idTokenLife = time.Hour

// tokenLife chooses the life of one access token, in whole seconds as expires_in says it.
func (s *Server) tokenLife() time.Duration {
	if s.life > 0 {
		return s.life.Truncate(time.Second)
	}
	return time.Hour + time.Duration(randomBelow(30*60))*time.Second
}

// tokenID makes the uti of a token. Its first byte is the generation of access tokens, for ExpireTokens.
func (s *Server) tokenID() string {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return base64.RawURLEncoding.EncodeToString(append([]byte{s.state.generation}, randomBytes(15)...))
}

// accessClaims are what all access tokens say: v1.0 form, as the mail resource asks for (reference A.3). The claims that
// nobody should depend on are there for the size.
func (s *Server) accessClaims(application tenant.Application, audience string, life time.Duration) jwt.MapClaims {
	now := s.now()
	return jwt.MapClaims{
		"aud": audience, "iss": accessIssuer + s.tenant.ID + "/",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"aio": randomText(96), "rh": "1." + randomText(48) + ".", "uti": s.tokenID(),
		"appid": application.ClientID, "app_displayname": application.Name,
		"tid": s.tenant.ID, "ver": "1.0", "sid": newGUID(), "xms_ftd": randomText(60), "xms_tdbr": "EU",
		"idp": accessIssuer + s.tenant.ID + "/", "tenant_region_scope": "EU",
	}
}

// userToken makes an access token of a person's sign-in.
func (s *Server) userToken(in signIn, application tenant.Application, person tenant.Person, audience string, scopes []string,
	life time.Duration, proof strength) (string, error) {
	claims := s.accessClaims(application, audience, life)
	methods := []string{"pwd"}
	if in.mfa {
		methods = append(methods, "mfa")
	}
	for name, value := range map[string]any{
		"acct": 0, "acr": "1", "amr": methods, "appidacr": proof, "idtyp": "user", "ipaddr": "127.0.0.1",
		"name": person.Name, "oid": person.ObjectID, "puid": "1003200" + strings.ToUpper(newGUID()[:8]),
		"scp": strings.Join(scopes, " "), "signin_state": []string{"kmsi"}, "sub": pairwise(person.ObjectID, audience),
		"unique_name": person.UPN, "upn": person.UPN,
		// The built-in role "User", and one more.
		"wids":      []string{"b79fbf4d-3ef9-4689-8143-76b194e85509", "cf1c38e5-3621-4004-a7cb-879624dced7c"},
		"xms_idrel": "1 " + randomText(2),
	} {
		claims[name] = value
	}
	return s.keys.sign(claims)
}

// applicationToken makes an access token of the application itself.
func (s *Server) applicationToken(application tenant.Application, audience string, life time.Duration, proof strength) (string, error) {
	claims := s.accessClaims(application, audience, life)
	for name, value := range map[string]any{
		"appidacr": proof, "idtyp": "app", "oid": application.ObjectID, "sub": application.ObjectID,
		"wids": []string{"0997a1d0-0d1d-4acb-b408-d5ca73121e90"},
	} {
		claims[name] = value
	}
	if isMail(audience) && len(application.Roles) > 0 {
		claims["roles"] = application.Roles
	}
	return s.keys.sign(claims)
}

// idToken makes an id token in v2.0 form: without amr, and with acrs and auth_time where they were asked for
// (reference F.4).
func (s *Server) idToken(in signIn, application tenant.Application, person tenant.Person) (string, error) {
	now := s.now()
	claims := jwt.MapClaims{
		"aud": application.ClientID, "iss": s.issuer(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(idTokenLife).Unix(),
		"aio": randomText(96), "rh": "1." + randomText(48) + ".", "uti": s.tokenID(),
		"name": person.Name, "oid": person.ObjectID, "preferred_username": person.UPN,
		"sub": pairwise(person.ObjectID, application.ClientID), "tid": s.tenant.ID, "ver": "2.0",
	}
	if roles := rolesOf(person, application); len(roles) > 0 {
		claims["roles"] = roles
	}
	if in.nonce != "" {
		claims["nonce"] = in.nonce
	}
	if in.claims.authTime {
		claims["auth_time"] = in.at.Unix()
	}
	// The contexts that were asked for, whether or not a policy guards them: as Entra does it (reference F.4).
	if len(in.claims.contexts) > 0 {
		claims["acrs"] = in.claims.contexts
	}
	return s.keys.sign(claims)
}

// rolesOf gives the values of a person's app roles.
func rolesOf(person tenant.Person, application tenant.Application) (roles []string) {
	for _, a := range person.AppRoles {
		if a.ClientID == application.ClientID && a.Role != "" {
			roles = append(roles, a.Role)
		}
	}
	return roles
}

// pairwise is a person's sub for one audience (OpenID Connect Core 1.0 section 8.1).
func pairwise(objectID, audience string) string {
	sum := sha256.Sum256([]byte(objectID + " " + audience))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// clientInfo names a person's account to Microsoft's libraries.
func (s *Server) clientInfo(objectID string) string {
	text, _ := json.Marshal(map[string]string{"uid": objectID, "utid": s.tenant.ID})
	return base64.RawURLEncoding.EncodeToString(text)
}

// claimsRequest is the part of a claims parameter that is understood here (OpenID Connect Core 1.0 section 5.5).
type claimsRequest struct {
	contexts []string // authentication contexts asked for as acrs
	authTime bool
}

// parseClaims reads a claims parameter.
func parseClaims(text string) (claimsRequest, *problem) {
	if text == "" {
		return claimsRequest{}, nil
	}
	var asked struct {
		IDToken struct {
			ACRS struct {
				Value  string   `json:"value"`
				Values []string `json:"values"`
			} `json:"acrs"`
			AuthTime json.RawMessage `json:"auth_time"` // null is a request too
		} `json:"id_token"`
	}
	if json.Unmarshal([]byte(text), &asked) != nil {
		return claimsRequest{}, refuse(9002313).says("Invalid request. The claims parameter is not valid JSON.")
	}
	contexts := asked.IDToken.ACRS.Values
	if v := asked.IDToken.ACRS.Value; v != "" {
		contexts = append([]string{v}, contexts...)
	}
	return claimsRequest{contexts: contexts, authTime: asked.IDToken.AuthTime != nil}, nil
}
