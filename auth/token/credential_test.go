package token

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
	"postern/internal/sim"
	"postern/internal/sim/tenant"
)

const (
	exchangeAudience = "api://AzureADTokenExchange"
	platformIssuer   = "https://kubernetes.contoso.example"
	federatedClient  = "5f0f5a5c-0000-4000-8000-00000000fed0"
	platformSubject  = "system:serviceaccount:mail:postern"
)

// platform issues tokens that the simulator's Entra ID is told to trust.
type platform struct {
	t   *testing.T
	key *rsa.PrivateKey
}

// trusted is a simulated Entra ID that trusts a platform, and the platform.
func trusted(t *testing.T) (*simulated, *platform) {
	t.Helper()
	s := newSimulated(t)
	p := &platform{t: t}
	var err error
	if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	application, _ := s.tenant.Application(sim.ClientID)
	application.ClientID, application.Secrets = federatedClient, nil
	application.Federated = []tenant.FederatedCredential{
		{Issuer: platformIssuer, Subject: platformSubject, Audience: exchangeAudience, Key: &p.key.PublicKey},
	}
	s.tenant.AddApplication(application)
	return s, p
}

// token makes a token with some claims other than usual.
func (p *platform) token(claims jwt.MapClaims) secret.Text {
	p.t.Helper()
	all := jwt.MapClaims{"iss": platformIssuer, "sub": platformSubject, "aud": exchangeAudience,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "name": secretMark}
	for name, value := range claims {
		all[name] = value
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, all).SignedString(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return secret.New(signed)
}

// with makes the provider of the simulator with another credential.
func (s *simulated) with(c MicrosoftConfig) *Microsoft {
	s.t.Helper()
	old := (*s.source.providers.Load())["contoso"]
	c.Authority, c.ClientID, c.Scopes, c.ApplicationScope = old.authority, federatedClient, old.scopes, appScope
	m, err := NewMicrosoft(c)
	if err != nil {
		s.t.Fatal(err)
	}
	m.client = old.client
	return m
}

// ask asks for the application's token, from an empty store.
func (s *simulated) ask(m *Microsoft) *Error {
	access, _, failed := m.fetch(s.t.Context(), newMemory(), request{account: appAccount})
	if failed != nil {
		return failed
	}
	claims, err := s.entra.Verify(access.Token)
	if err != nil || claims.ClientID != federatedClient {
		s.t.Errorf("got a token of %q, %v", claims.ClientID, err)
	}
	return nil
}

// TestFederatedCredential: the platform's token proves the application, and is read anew for each request.
func TestFederatedCredential(t *testing.T) {
	s, p := trusted(t)
	reads := 0
	m := s.with(MicrosoftConfig{ClientAssertion: func() (secret.Text, error) {
		reads++
		return secret.New(p.token(nil).Reveal() + "\n"), nil
	}})
	for range 2 {
		if failed := s.ask(m); failed != nil {
			t.Fatal(failed)
		}
	}
	if reads != 2 {
		t.Errorf("the assertion was read %d times for two requests", reads)
	}
}

func TestFederatedCredentialThatDoesNotFit(t *testing.T) {
	s, p := trusted(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		read func() (secret.Text, error)
		code int    // Entra's; 0 when it was not asked
		want string // in the advice
	}{
		"another issuer": {func() (secret.Text, error) { return p.token(jwt.MapClaims{"iss": "https://elsewhere.example"}), nil }, 700211, "issuer"},
		"another subject": {func() (secret.Text, error) {
			return p.token(jwt.MapClaims{"sub": "system:serviceaccount:mail:Postern"}), nil
		}, 700213, "subject"},
		"another audience": {func() (secret.Text, error) { return p.token(jwt.MapClaims{"aud": "https://kubernetes"}), nil }, 700212, "audience"},
		"not yet valid": {func() (secret.Text, error) {
			return p.token(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}), nil
		}, 700024, "clock"},
		"another key": {func() (secret.Text, error) { return (&platform{t, stranger}).token(nil), nil }, 700027, "certificate"},
		"over": {func() (secret.Text, error) {
			return p.token(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), nil
		}, 0, "ended at"},
		"no token": {func() (secret.Text, error) { return secret.New(secretMark), nil }, 0, "client_assertion_file of provider contoso: it does not hold a token"},
		"no file":  {func() (secret.Text, error) { return secret.Text{}, errors.New("the file cannot be read: no such file") }, 0, "no such file"},
	} {
		failed := s.ask(s.with(MicrosoftConfig{ClientAssertion: test.read}))
		switch {
		case failed == nil || failed.Class != Misconfigured || !strings.Contains(failed.Advice, test.want):
			t.Errorf("%s: got %v, want %q in it", name, failed, test.want)
		case test.code == 0 && len(failed.AADSTS) > 0, test.code != 0 && (len(failed.AADSTS) != 1 || failed.AADSTS[0] != test.code):
			t.Errorf("%s: got AADSTS %v, want %d", name, failed.AADSTS, test.code)
		}
		if text := fmt.Sprintf("%v %+v", failed, failed); strings.Contains(text, secretMark) {
			t.Errorf("%s: a secret shows in %s", name, text)
		}
	}
}

// azure is the identity service of an Azure machine, as its App Service has it.
func azure(t *testing.T, answer http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", secretMark+"-header")
}

// TestManagedIdentity: the machine's identity proves the application, also for people, and Azure is not asked each time.
func TestManagedIdentity(t *testing.T) {
	s, p := trusted(t)
	const assigned = "11111111-0000-4000-8000-000000000001"
	var asked atomic.Int32
	azure(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		query := r.URL.Query()
		if query.Get("resource") != exchangeAudience || query.Get("client_id") != assigned || r.Header.Get("X-IDENTITY-HEADER") == "" {
			t.Errorf("asked with %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": p.token(nil).Reveal(), "token_type": "Bearer",
			"expires_on": fmt.Sprint(time.Now().Add(24 * time.Hour).Unix()), "resource": exchangeAudience})
	})
	m := s.with(MicrosoftConfig{ManagedIdentity: assigned, TokenExchange: exchangeAudience})
	for range 3 {
		if failed := s.ask(m); failed != nil {
			t.Fatal(failed)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("Azure was asked %d times, want once", n)
	}
}

func TestManagedIdentityThatIsNotThere(t *testing.T) {
	s, _ := trusted(t)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   Class
	}{
		"not assigned": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"invalid_request","error_description":"`+secretMark+`"}`, http.StatusBadRequest)
		}, Misconfigured},
		"no token": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>"+secretMark) }, Temporary},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/msi/token" {
				t.Error("a redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, Misconfigured},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"access_token":"%s"}`, strings.Repeat("x", 2*maxManagedAnswer))
		}, Temporary},
	} {
		t.Run(name, func(t *testing.T) {
			azure(t, test.answer)
			failed := s.ask(s.with(MicrosoftConfig{ManagedIdentity: fmt.Sprintf("22222222-0000-4000-8000-%012d", len(name)), TokenExchange: exchangeAudience}))
			if failed == nil || failed.Class != test.want || !strings.Contains(failed.Advice, "managed_identity of provider contoso") {
				t.Errorf("got %v, want it %s", failed, test.want)
			}
			if text := fmt.Sprintf("%v %+v", failed, failed); strings.Contains(text, secretMark) {
				t.Errorf("a secret shows in %s", text)
			}
		})
	}
}

// TestNoAzure: outside of Azure nobody answers; it is told as temporary, for on the right machine it is.
func TestNoAzure(t *testing.T) {
	s, _ := trusted(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	t.Setenv("IDENTITY_ENDPOINT", "http://"+gone.Addr().String())
	t.Setenv("IDENTITY_HEADER", "x")
	failed := s.ask(s.with(MicrosoftConfig{ManagedIdentity: SystemIdentity, TokenExchange: exchangeAudience}))
	if failed == nil || failed.Class != Temporary || !strings.Contains(failed.Advice, "outside of Azure") {
		t.Errorf("got %v, want it temporary", failed)
	}
}

// FuzzAssertion: whatever is in the file, reading it fails or gives it, and never shows it.
func FuzzAssertion(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJleHAiOjF9.x")
	f.Add("a.e30.")
	f.Add("..")
	f.Add("a.eyJleHAiOjFlOTl9.b")
	f.Fuzz(func(t *testing.T, content string) {
		got, err := readAssertion(func() (secret.Text, error) { return secret.New(content), nil })
		if err == nil && got.Reveal() != strings.TrimSpace(content) {
			t.Errorf("%q became %q", content, got.Reveal())
		}
		if err != nil && len(content) > 8 && strings.Contains(err.Error(), content) {
			t.Errorf("the error shows the content: %v", err)
		}
	})
}
