package entra

import (
	"net/http"
	"net/url"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// strength is how an application has proved itself, as the appidacr claim says it.
type strength string

const (
	unproven        strength = "0"
	withSecret      strength = "1"
	withCertificate strength = "2"
)

// basicCredentials moves a client's credentials from the Authorization header into the form (RFC 6749 section 2.3.1).
func basicCredentials(r *http.Request, form url.Values) {
	id, password, ok := r.BasicAuth()
	if !ok || form.Has("client_secret") {
		return
	}
	// Both are form-encoded before they are joined.
	if plain, err := url.QueryUnescape(id); err == nil {
		form.Set("client_id", plain)
	}
	if plain, err := url.QueryUnescape(password); err == nil {
		form.Set("client_secret", plain)
	}
}

// application finds the application of a request, which must be in the tenant and enabled.
func (s *Server) application(clientID string) (tenant.Application, *problem) {
	if clientID == "" {
		return tenant.Application{}, missing("client_id")
	}
	application, known := s.tenant.Application(clientID)
	switch {
	case !known:
		return tenant.Application{}, refuse(700016).says("Application with identifier '%s' was not found in the directory '%s'. This can "+
			"happen if the application has not been installed by the administrator of the tenant or consented to by any user in the "+
			"tenant. You may have sent your authentication request to the wrong tenant.", clientID, s.tenant.ID)
	case application.Disabled:
		return tenant.Application{}, refuse(7000112).says("Application '%s'(%s) is disabled.", application.ClientID, application.Name)
	}
	return application, nil
}

// prove checks the credential that a request carries; a request without one is a public client's.
func (s *Server) prove(application tenant.Application, form url.Values) (strength, *problem) {
	presented := secret.New(form.Get("client_secret"))
	switch assertion := form.Get("client_assertion"); {
	case assertion != "":
		if form.Get("client_assertion_type") != assertionType {
			return "", missing("client_assertion_type")
		}
		if bare(application) {
			return "", refuse(700025)
		}
		return withCertificate, s.checkAnyAssertion(application, secret.New(assertion))
	case presented.IsZero():
		return unproven, nil
	case bare(application):
		return "", refuse(700025)
	}
	for _, known := range application.Secrets {
		if !known.Value.Equal(presented) {
			continue
		}
		if !known.Expires.IsZero() && !s.now().Before(known.Expires) {
			return "", refuse(7000222).says("The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new "+
				"keys for your app, or consider using certificate credentials for added security.", application.ClientID)
		}
		return withSecret, nil
	}
	return "", refuse(7000215).says("Invalid client secret provided. Ensure the secret being sent in the request is the client secret "+
		"value, not the client secret ID, for a secret added to app '%s'.", application.ClientID)
}

// bare reports whether an application is public and has no credential at all.
func bare(application tenant.Application) bool {
	return application.PublicClient && len(application.Secrets) == 0 && len(application.Certificates) == 0 &&
		len(application.Federated) == 0
}
