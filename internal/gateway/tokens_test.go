package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/auth/token"
	"postern/certs"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/sim"
	"postern/internal/sim/entra"
	"postern/internal/sim/tenant"
)

// What package token promises, on the store that a gateway has, and between processes.

// bureau is a simulated Entra ID and the configuration of a gateway that asks it.
type bureau struct {
	t      *testing.T
	tenant *tenant.Tenant
	entra  *entra.Server
	config *config.Config
}

// newBureau makes one whose access tokens live as long as life says; 0 is as Entra does it.
func newBureau(t *testing.T, life time.Duration) *bureau {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, _, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &bureau{t: t, tenant: sim.Contoso()}
	b.entra, err = entra.Start(entra.Config{
		Tenant: b.tenant, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Address: "127.0.0.1:0", TokenLife: life,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.entra.Close() })
	application, _ := b.tenant.Application(sim.ClientID)
	folder := t.TempDir()
	for name, content := range map[string]string{
		"client.secret": application.Secrets[0].Value.Reveal(),
		"ca.pem":        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[len(certificate.Certificate)-1]})),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.config = configIn(folder, b.entra.URL()+"/"+b.tenant.Domains[0])
	return b
}

// configIn makes the configuration of a folder with a bureau's files.
func configIn(folder, authority string) *config.Config {
	return &config.Config{
		Store: "sqlite:" + filepath.Join(folder, "postern.db"), KeysFile: filepath.Join(folder, "postern.keys"),
		AuditFile: filepath.Join(folder, "postern.audit"),
		Providers: map[string]*config.Provider{"contoso": {
			Name: "contoso", ClientID: sim.ClientID, ClientSecretFile: filepath.Join(folder, "client.secret"),
			Endpoints: config.Endpoints{Authority: authority, CAFile: filepath.Join(folder, "ca.pem")},
		}},
	}
}

// open opens a source on a configuration's state, as a gateway does, for a store that may be another than the state's own.
func open(t *testing.T, c *config.Config, wrap func(token.Store) token.Store) (*State, *token.Source) {
	t.Helper()
	state, err := OpenState(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	up, err := newUpstreams(c.Providers, nil)
	if err != nil {
		t.Fatal(err)
	}
	var store token.Store = tokenStore{state.Store}
	if wrap != nil {
		store = wrap(store)
	}
	source := token.NewSource(token.Config{Providers: up.tokens(), Store: store, Audit: state.Audit, Log: quiet})
	t.Cleanup(func() {
		source.Close()
		_ = state.Close()
	})
	return state, source
}

// person is the account of somebody in the tenant.
func person(upn string) token.Account {
	return token.Account{Provider: "contoso", Grant: token.Delegated, Name: upn}
}

const alice = "alice@contoso.example"

// enroll has somebody sign in.
func (b *bureau) enroll(source *token.Source, upn string) token.Identity {
	b.t.Helper()
	identity, err := source.Enroll(b.t.Context(), person(upn), "root", func(code token.DeviceCode) {
		if err := b.entra.ApproveDevice(code.UserCode, upn); err != nil {
			b.t.Error(err)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return identity
}

// spend takes the access tokens out of what is kept of somebody, as if they had ended.
func spend(t *testing.T, state *State, identity token.Identity) {
	t.Helper()
	key := token.CacheKey{Provider: "contoso", TenantID: identity.TenantID, Owner: identity.ObjectID, Kind: token.KindPublic}
	content, err := tokenStore{state.Store}.Cache(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(content, &sections); err != nil {
		t.Fatal(err)
	}
	delete(sections, "AccessToken")
	if content, err = json.Marshal(sections); err == nil {
		err = tokenStore{state.Store}.SaveCache(t.Context(), key, content)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// use gets an account's token.
func use(ctx context.Context, source *token.Source, account token.Account) (got secret.Text, err error) {
	err = source.Use(ctx, account, func(_ context.Context, access token.Access) error {
		got = access.Token
		return nil
	})
	return got, err
}
