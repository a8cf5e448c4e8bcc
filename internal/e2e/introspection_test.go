package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// introspection is the endpoint that a Dovecot asks about a token (RFC 7662). It judges tokens as Exchange Online does:
// by Entra's keys, the audience, the life and the permission.
type introspection struct {
	URL     string
	keys    oidc.KeySet
	context context.Context // with an HTTP client that trusts the simulator
	mailbox string          // the one mailbox that the application was given
	role    string          // that opens it

	mu     sync.Mutex
	home   string   // where Dovecot keeps the mailbox
	tokens []string // all that were asked about
}

// claims are what an access token of Entra for Exchange says (version 1.0).
type claims struct {
	Audience string   `json:"aud"`
	Expires  int64    `json:"exp"`
	Roles    []string `json:"roles"`
}

// startIntrospection serves the endpoint for tokens of a simulator, which open a mailbox when they have a role.
func startIntrospection(t *testing.T, s *simulator, mailbox, role string) *introspection {
	t.Helper()
	client := s.client(t)
	i := &introspection{context: oidc.ClientContext(t.Context(), client), mailbox: mailbox, role: role}
	i.keys = oidc.NewRemoteKeySet(i.context, keysURL(t, client, s))
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// keysURL asks the simulator's discovery document where its keys are.
func keysURL(t *testing.T, client *http.Client, s *simulator) string {
	t.Helper()
	authority := s.tenantURL()
	answer, err := client.Get(authority + "/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil || document.Keys == "" {
		t.Fatalf("the discovery document of %s names no jwks_uri: %v", authority, err)
	}
	return document.Keys
}

// tenantURL gives where the tenant is at Entra: the authority, with the tenant's name.
func (s *simulator) tenantURL() string {
	authority := strings.TrimSuffix(s.Authority, "/")
	if strings.HasSuffix(authority, "/"+s.provider.Tenant) {
		return authority
	}
	return authority + "/" + s.provider.Tenant
}

// ServeHTTP answers Dovecot.
func (i *introspection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	i.mu.Lock()
	i.tokens = append(i.tokens, token)
	home := i.home
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"active": true, "username": i.mailbox, "home": home}
	if err := i.judge(token); !bearer || err != nil {
		answer = map[string]any{"active": false}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// keepAt has Dovecot keep the mailbox of every sign-in from now on in a folder.
func (i *introspection) keepAt(home string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.home = home
}

// judge says why a token opens no mailbox; nil when it does.
func (i *introspection) judge(token string) error {
	payload, err := i.keys.VerifySignature(i.context, token)
	if err != nil {
		return err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return err
	}
	switch {
	case c.Audience != "https://outlook.office365.com" && c.Audience != "https://outlook.office.com":
		return fmt.Errorf("audience %q", c.Audience)
	case time.Now().After(time.Unix(c.Expires, 0)):
		return fmt.Errorf("expired %v", time.Unix(c.Expires, 0))
	case !slices.Contains(c.Roles, i.role):
		return fmt.Errorf("roles %q", c.Roles)
	}
	return nil
}

// seen gives the tokens that were asked about, each once.
func (i *introspection) seen() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(i.tokens)))
}
