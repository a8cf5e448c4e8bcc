package token

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"postern/certs"
	"postern/internal/secret"
	"postern/internal/sim"
	"postern/internal/sim/entra"
	"postern/internal/sim/tenant"
)

// simulated is a source that asks the simulator's Entra ID over the loopback network.
type simulated struct {
	*harness
	entra  *entra.Server
	tenant *tenant.Tenant
}

func newSimulated(t *testing.T) *simulated {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, _, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	contoso := sim.Contoso()
	server, err := entra.Start(entra.Config{
		Tenant: contoso, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Address: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	application, _ := contoso.Application(sim.ClientID)
	provider, err := NewMicrosoft(MicrosoftConfig{
		Authority: server.URL() + "/" + contoso.Domains[0], ClientID: sim.ClientID, ClientSecret: application.Secrets[0].Value,
		Scopes: []string{imapScope, smtpScope}, ApplicationScope: appScope, Roots: authority.Roots(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &simulated{harness: &harness{t: t, store: newMemory(), audit: new(recorder)}, entra: server, tenant: contoso}
	s.source = NewSource(Config{
		Providers: map[string]*Microsoft{"contoso": provider}, Store: s.store, Audit: s.audit, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(s.source.Close)
	return s
}

// enrollAlice enrols alice, who signs in at once.
func (s *simulated) enrollAlice() Identity {
	s.t.Helper()
	identity, err := s.source.Enroll(s.t.Context(), aliceAccount, "root", func(code DeviceCode) {
		if err := s.entra.ApproveDevice(code.UserCode, alice.Username); err != nil {
			s.t.Error(err)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return identity
}

// renewed uses an account and has the token refused, so that the provider is asked.
func (s *simulated) renewed(account Account) (token secret.Text, err error) {
	first := true
	err = s.source.Use(s.t.Context(), account, func(_ context.Context, access Access) error {
		if token = access.Token; first {
			first = false
			return ErrRefused
		}
		return nil
	})
	return token, err
}

func TestSimulatorIssuesToEachTheirOwn(t *testing.T) {
	s := newSimulated(t)
	identity := s.enrollAlice()
	person, _ := s.tenant.Person(alice.Username)
	if identity.ObjectID != person.ObjectID || identity.TenantID != s.tenant.ID {
		t.Errorf("got identity %+v, want object id %s in tenant %s", identity, person.ObjectID, s.tenant.ID)
	}
	for _, account := range []Account{aliceAccount, appAccount} {
		for _, get := range []func(Account) (secret.Text, error){
			func(a Account) (secret.Text, error) { access, err := s.use(a); return access.Token, err }, s.renewed,
		} {
			token, err := get(account)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := s.entra.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			if (account == aliceAccount) != (claims.UPN == alice.Username) {
				t.Errorf("%s got a token of %q", account, claims.UPN)
			}
		}
	}
}

func TestSimulatorRevokes(t *testing.T) {
	s := newSimulated(t)
	s.enrollAlice()
	s.entra.RevokeSessions(alice.Username)
	_, err := s.renewed(aliceAccount)
	if failed := s.wantClass(err, NeedsSignIn); len(failed.AADSTS) != 1 || failed.AADSTS[0] != 50173 || failed.TraceID == "" {
		t.Errorf("got %+v, want AADSTS50173 with a trace id", failed)
	}
	s.enrollAlice()
	if _, err := s.renewed(aliceAccount); err != nil {
		t.Error(err)
	}
}

// TestSimulatorsErrors has the simulator give every error of reference F.3 in its own words.
func TestSimulatorsErrors(t *testing.T) {
	s := newSimulated(t)
	identity := s.enrollAlice()
	provider := (*s.source.providers.Load())["contoso"]
	classes := make(map[int]Class)
	for _, row := range f3 {
		for _, code := range row.codes {
			classes[code] = row.want
		}
	}
	delete(classes, 99999) // is nobody's
	for code, want := range classes {
		s.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Times: 1, AADSTS: code})
		_, _, failed := provider.fetch(t.Context(), s.store, request{account: aliceAccount, identity: identity, force: true})
		if failed == nil || failed.Class != want {
			t.Errorf("AADSTS%d: got %v, want %s", code, failed, want)
		}
		s.tenant.Faults.Clear()
	}
}

func TestSimulatorsFaults(t *testing.T) {
	s := newSimulated(t)
	identity := s.enrollAlice()
	provider := (*s.source.providers.Load())["contoso"]
	for name, test := range map[string]struct {
		fault tenant.Fault
		want  Class // empty for success
	}{
		"limited":       {tenant.Fault{Status: http.StatusTooManyRequests, RetryAfter: 60}, Temporary},
		"in trouble":    {tenant.Fault{Status: http.StatusServiceUnavailable}, Temporary},
		"a web page":    {tenant.Fault{Status: http.StatusOK, Reply: "<html>sign in to the network</html>"}, Temporary},
		"no answer":     {tenant.Fault{Drop: true}, Temporary},
		"claims":        {tenant.Fault{AADSTS: 50076, Claims: `{"access_token":{"acrs":{"value":"c1"}}}`}, NeedsSignIn},
		"other host":    {tenant.Fault{OtherHost: true}, ""},
		"tenant limits": {tenant.Fault{AADSTS: 50196}, Temporary},
	} {
		t.Run(name, func(t *testing.T) {
			test.fault.Point = tenant.TokenEndpoint
			s.tenant.Faults.Add(test.fault)
			defer s.tenant.Faults.Clear()
			access, _, failed := provider.fetch(t.Context(), s.store, request{account: aliceAccount, identity: identity, force: true})
			switch {
			case test.want == "":
				if _, err := s.entra.Verify(access.Token); failed != nil || err != nil {
					t.Errorf("got %v, %v", failed, err)
				}
			case failed == nil || failed.Class != test.want:
				t.Errorf("got %v, want it %s", failed, test.want)
			case test.fault.RetryAfter > 0 && failed.retryAfter.Seconds() != float64(test.fault.RetryAfter):
				t.Errorf("got Retry-After %v", failed.retryAfter)
			}
		})
	}
}

// TestSimulatorsConfigurationFaults are what an administrator meets on the first day.
func TestSimulatorsConfigurationFaults(t *testing.T) {
	s := newSimulated(t)
	provider := (*s.source.providers.Load())["contoso"]
	for name, test := range map[string]struct {
		config MicrosoftConfig
		code   int
	}{
		"unknown tenant":      {MicrosoftConfig{Authority: s.entra.URL() + "/fabrikam.example", ClientID: sim.ClientID, ClientSecret: secret.New("x")}, 90002},
		"unknown application": {MicrosoftConfig{Authority: provider.authority, ClientID: "00000000-0000-4000-8000-00000000dead", ClientSecret: secret.New("x")}, 700016},
		"wrong secret":        {MicrosoftConfig{Authority: provider.authority, ClientID: sim.ClientID, ClientSecret: secret.New("x")}, 7000215},
	} {
		test.config.ApplicationScope = appScope
		m, err := NewMicrosoft(test.config)
		if err != nil {
			t.Fatal(err)
		}
		m.client = provider.client
		_, _, failed := m.fetch(t.Context(), newMemory(), request{account: appAccount})
		if failed == nil || failed.Class != Misconfigured || len(failed.AADSTS) != 1 || failed.AADSTS[0] != test.code {
			t.Errorf("%s: got %v, want AADSTS%d", name, failed, test.code)
		}
	}
	_, err := s.source.Enroll(t.Context(), bobAccount, "root", func(code DeviceCode) {
		if err := s.entra.ApproveDevice(code.UserCode, alice.Username); err != nil {
			t.Error(err)
		}
	})
	var failed *Error
	if !errors.As(err, &failed) || failed.Class != NeedsSignIn {
		t.Errorf("alice was enrolled as bob: %v", err)
	}
}
