package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/auth/token"
	"postern/certs"
	"postern/internal/config"
	"postern/internal/store"
)

// TestForecastOfAccountsAndCertificates: what needs a sign-in first, then what is not used, then what ends; and nothing of
// accounts that the configuration has no login for any more.
func TestForecastOfAccountsAndCertificates(t *testing.T) {
	folder := t.TempDir()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, key, err := authority.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "app.pem")
	if err := os.WriteFile(path, append(key, certificate...), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &config.Config{
		Store: "sqlite:" + filepath.Join(folder, "postern.db"), KeysFile: filepath.Join(folder, "postern.keys"), AuditFile: filepath.Join(folder, "postern.audit"),
		Providers: map[string]*config.Provider{"contoso": {Name: "contoso", ClientCertificateFile: path}},
		Policies:  map[string]*config.Policy{"person": {Name: "person", Protocols: []string{"imap"}}},
		Users: []config.User{
			{Login: "helpdesk", Mailbox: "helpdesk@contoso.example", Account: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
			{Match: "*@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
		},
	}
	a, err := NewAdmin(t.Context(), c, "root")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()

	now := time.Now()
	for name, state := range map[string]store.AccountState{
		"alice@contoso.example": store.OK, "bob@contoso.example": store.NeedsSignIn, "carol@contoso.example": store.OK, "dave@elsewhere.example": store.NeedsSignIn,
	} {
		account := store.Account{Provider: "contoso", Name: name, TenantID: "tid", ObjectID: name,
			Standing: store.Standing{State: state, Since: now.AddDate(0, 0, -80)}}
		if state == store.NeedsSignIn {
			account.Reason = "the password was changed"
		}
		if err := a.state.Store.SaveEnrolment(t.Context(), account, store.TokenCacheKey{Owner: "of nobody here"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// Carol's token was used just now, whenever she enrolled.
	cache := store.TokenCacheKey{Provider: "contoso", TenantID: "tid", Owner: "carol@contoso.example", Kind: token.KindPublic}
	if err := a.state.Store.SaveTokenCache(t.Context(), cache, []byte("tokens")); err != nil {
		t.Fatal(err)
	}

	forecast := func(days int) string {
		stops, err := a.Forecast(t.Context(), now, now.AddDate(0, 0, days))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, s := range stops {
			if s.At.IsZero() || s.Why == "" || s.Remedy == "" {
				t.Errorf("%s has no time, reason or remedy: %+v", s.Subject, s)
			}
			all = append(all, s.Kind+" of "+s.Subject)
		}
		return strings.Join(all, "; ")
	}
	soon := "sign-in-needed of account bob@contoso.example at contoso; account-idle of account alice@contoso.example at contoso"
	if got := forecast(30); got != soon {
		t.Errorf("within 30 days got %s, want %s", got, soon)
	}
	later := soon + "; account-idle of account carol@contoso.example at contoso; client-certificate of client certificate of provider contoso"
	if got := forecast(4000); got != later {
		t.Errorf("within 4000 days got %s, want %s", got, later)
	}
	remedies := make(map[string]string)
	stops, err := a.Forecast(t.Context(), now, now.AddDate(0, 0, 4000))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stops {
		remedies[s.Subject] = s.Remedy
	}
	if got := remedies["account alice@contoso.example at contoso"]; !strings.Contains(got, "postern user enroll helpdesk") {
		t.Errorf("of alice the forecast says %q, want that helpdesk enrols", got)
	}
}

// TestForecastOfSecrets: a secret's end is what the configuration says, or not known.
func TestForecastOfSecrets(t *testing.T) {
	a := &Admin{config: &config.Config{Providers: map[string]*config.Provider{
		"contoso":  {ClientSecretEnv: "SECRET"},
		"fabrikam": {ClientSecretEnv: "SECRET", ClientSecretExpires: config.Date{Time: noon}},
	}}}
	stops, err := a.credentialStops(t.Context(), noon)
	if err != nil || len(stops) != 2 || !stops[0].At.IsZero() || !stops[1].At.Equal(noon) {
		t.Errorf("got %+v, %v", stops, err)
	}
}
