package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tenantDomain = "contoso.example"
	tenantID     = "11111111-2222-3333-4444-555555555555"
	clientID     = "99999999-8888-7777-6666-000000000000"
	goodCode     = secretMark + "-code"
	goodVerifier = secretMark + "-verifier"
	// secretMark is in everything that the tests may not find anywhere.
	secretMark = "TopSecret"
)

var (
	alice = Identity{TenantID: tenantID, ObjectID: "aaaaaaaa-0000-0000-0000-000000000001", Username: "alice@contoso.example"}
	bob   = Identity{TenantID: tenantID, ObjectID: "bbbbbbbb-0000-0000-0000-000000000002", Username: "bob@contoso.example"}

	imapScope = "https://outlook.office.com/IMAP.AccessAsUser.All"
	smtpScope = "https://outlook.office.com/SMTP.Send"
	appScope  = "https://outlook.office365.com/.default"
)

// signingKey signs the ID tokens of every fake; making one takes long.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// fakeEntra is as much of Entra as this package speaks to. It is reached through pipes, so that a test's clock can stand
// still while nobody does anything.
type fakeEntra struct {
	roots *x509.CertPool
	conns chan net.Conn
	done  chan struct{}

	mu        sync.Mutex
	refresh   map[string]Identity // refresh token → whose
	owners    map[string]Identity // access token → whose
	issued    int
	calls     []string        // grant types of the token requests, in order
	forms     []url.Values    // their forms
	at        []time.Time     // when they came
	discovers int             // requests for the discovery document
	life      time.Duration   // of access tokens
	scope     string          // what to echo as scope; empty for what was asked
	noRotate  bool            // answer a refresh without a new refresh token
	as        *Identity       // whose tokens to answer with, whoever asked
	idToken   jwt.MapClaims   // claims to put over those of ID tokens
	key       *rsa.PrivateKey // that signs ID tokens
	issuer    string
	// token, when set, is asked first about each token request; it answers false to let it through.
	token func(w http.ResponseWriter, form url.Values) bool
	// document, when set, answers in the place of the discovery document.
	document func(w http.ResponseWriter)

	interval int       // of the device code, seconds
	signedIn *Identity // who approved the device code
	polls    []time.Time
}

func newFakeEntra(t *testing.T) *fakeEntra {
	t.Helper()
	f := &fakeEntra{
		roots: x509.NewCertPool(), conns: make(chan net.Conn), done: make(chan struct{}),
		refresh: make(map[string]Identity), owners: make(map[string]Identity), life: time.Hour, interval: 5, key: signingKey(),
		issuer: "https://localhost/" + tenantID + "/v2.0",
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost", "elsewhere.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	f.roots.AddCert(leaf)
	server := &http.Server{Handler: f.routes(), ErrorLog: log.New(io.Discard, "", 0)}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	listener := tls.NewListener(f, &tls.Config{Certificates: []tls.Certificate{certificate}})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return f
}

// Accept, Close and Addr make the fake its own listener.
func (f *fakeEntra) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *fakeEntra) Close() error {
	close(f.done)
	return nil
}

func (f *fakeEntra) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "pipe"} }

// dial is the provider's way to the fake.
func (f *fakeEntra) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case f.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// set changes the fake's behaviour.
func (f *fakeEntra) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// pause makes every token request take its time.
func (f *fakeEntra) pause(d time.Duration) {
	f.set(func() {
		f.token = func(http.ResponseWriter, url.Values) bool {
			select {
			case <-time.After(d):
			case <-f.done:
			}
			return false
		}
	})
}

// refuseAll makes every token request fail with one answer.
func (f *fakeEntra) refuseAll(status int, word string, codes ...int) {
	f.set(func() {
		f.token = func(w http.ResponseWriter, form url.Values) bool {
			refuse(w, form, status, word, codes...)
			return true
		}
	})
}

// count gives the number of token requests so far.
func (f *fakeEntra) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (f *fakeEntra) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+tenantDomain+"/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.discovers++
		if f.document != nil {
			f.document(w)
			return
		}
		f.describe(w)
	})
	mux.HandleFunc("GET /"+tenantDomain+"/discovery/v2.0/keys", func(w http.ResponseWriter, _ *http.Request) {
		n := base64.RawURLEncoding.EncodeToString(signingKey().N.Bytes())
		reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "kid": "k1", "n": n, "e": "AQAB"}}})
	})
	mux.HandleFunc("POST /"+tenantDomain+"/oauth2/v2.0/devicecode", f.serveDeviceCode)
	mux.HandleFunc("POST /"+tenantDomain+"/oauth2/v2.0/token", f.serveToken)
	return mux
}

// describe answers with the discovery document.
func (f *fakeEntra) describe(w http.ResponseWriter) {
	base := "https://localhost/" + tenantDomain
	reply(w, http.StatusOK, map[string]any{
		"issuer": f.issuer, "token_endpoint": base + "/oauth2/v2.0/token",
		"authorization_endpoint": base + "/oauth2/v2.0/authorize", "jwks_uri": base + "/discovery/v2.0/keys",
	})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// refuse answers as Entra refuses, secrets of the request included: what an upstream says is not trusted to keep them.
func refuse(w http.ResponseWriter, form url.Values, status int, word string, codes ...int) {
	reply(w, status, map[string]any{
		"error": word, "error_codes": codes, "trace_id": "0a0a0a0a-1111", "correlation_id": "0b0b0b0b-2222",
		"error_description": fmt.Sprintf("AADSTS%v: no. You sent %s Trace ID: 0a0a0a0a-1111", codes, form.Encode()),
	})
}

func (f *fakeEntra) serveDeviceCode(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{
		"device_code": secretMark + "-device", "user_code": "ABCD12345", "verification_uri": "https://localhost/device",
		"expires_in": 900, "interval": f.interval, "message": "go there",
	})
}

func (f *fakeEntra) serveToken(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	f.mu.Lock()
	f.calls, f.forms, f.at = append(f.calls, r.PostForm.Get("grant_type")), append(f.forms, r.PostForm), append(f.at, time.Now())
	token := f.token
	f.mu.Unlock()
	if token != nil && token(w, r.PostForm) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
		f.issued++
		reply(w, http.StatusOK, map[string]any{
			"token_type": "Bearer", "expires_in": int(f.life.Seconds()), "access_token": fmt.Sprintf("%s-app-%d", secretMark, f.issued),
		})
	case "refresh_token":
		who, known := f.refresh[r.PostForm.Get("refresh_token")]
		if !known {
			refuse(w, r.PostForm, http.StatusBadRequest, "invalid_grant", 50173)
			return
		}
		f.issue(w, r.PostForm, who)
	case "authorization_code":
		if f.signedIn == nil || r.PostForm.Get("code") != goodCode || r.PostForm.Get("code_verifier") != goodVerifier {
			refuse(w, r.PostForm, http.StatusBadRequest, "invalid_grant", 54005)
			return
		}
		f.issue(w, r.PostForm, *f.signedIn)
	case "device_code":
		f.polls = append(f.polls, time.Now())
		if f.signedIn == nil {
			refuse(w, r.PostForm, http.StatusBadRequest, "authorization_pending", 70016)
			return
		}
		f.issue(w, r.PostForm, *f.signedIn)
	default:
		refuse(w, r.PostForm, http.StatusBadRequest, "unsupported_grant_type", 70003)
	}
}

// issue answers with a person's tokens. The caller holds the mutex.
func (f *fakeEntra) issue(w http.ResponseWriter, form url.Values, who Identity) {
	if f.as != nil {
		who = *f.as
	}
	f.issued++
	scope := f.scope
	if scope == "" {
		scope = strings.Join(strings.Fields(form.Get("scope"))[:2], " ")
	}
	answer := map[string]any{
		"token_type": "Bearer", "scope": scope, "expires_in": int(f.life.Seconds()), "ext_expires_in": int(f.life.Seconds()),
		"access_token": fmt.Sprintf("%s-access-%d", secretMark, f.issued),
		"id_token":     f.sign(who),
		"client_info":  base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"uid":%q,"utid":%q}`, who.ObjectID, who.TenantID)),
	}
	f.owners[fmt.Sprintf("%s-access-%d", secretMark, f.issued)] = who
	if !f.noRotate {
		answer["refresh_token"] = f.grant(who)
	}
	reply(w, http.StatusOK, answer)
}

// grant makes a refresh token. The caller holds the mutex.
func (f *fakeEntra) grant(who Identity) string {
	token := fmt.Sprintf("%s-refresh-%d-%s", secretMark, len(f.refresh), who.Username)
	f.refresh[token] = who
	return token
}

// sign makes an ID token. The caller holds the mutex.
func (f *fakeEntra) sign(who Identity) string {
	claims := jwt.MapClaims{
		"iss": f.issuer, "aud": clientID, "sub": "sub-" + who.ObjectID, "tid": who.TenantID, "oid": who.ObjectID,
		"preferred_username": who.Username, "iat": time.Now().Unix(), "nbf": time.Now().Unix(),
		"exp": time.Now().Add(time.Hour).Unix(), "ver": "2.0",
	}
	for name, value := range f.idToken {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(f.key)
	if err != nil {
		panic(err)
	}
	return signed
}
