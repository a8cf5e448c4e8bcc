package entra

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/certs"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tenant of the tests.
const (
	tenantID      = "11111111-2222-4333-8444-555555555555"
	domain        = "contoso.example"
	alice         = "alice@contoso.example" // with a second factor
	bob           = "bob@contoso.example"   // without
	aliceID       = "a11ce000-0000-4000-8000-000000000001"
	clientID      = "c11e0000-0000-4000-8000-000000000001" // public and confidential, with everything
	webID         = "c11e0000-0000-4000-8000-000000000002" // confidential only, with little consent
	publicID      = "c11e0000-0000-4000-8000-000000000003" // public only
	offID         = "c11e0000-0000-4000-8000-000000000004" // disabled
	redirectURI   = "https://postern.example/portal/callback"
	clientSecret  = "the client's secret"
	expiredSecret = "the client's old secret"
	password      = "correct horse"
	mailScope     = "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send"
	appScope      = "https://outlook.office365.com/.default"
)

// fixture is a running server with what a test needs of it.
type fixture struct {
	*Server
	tenant *tenant.Tenant
	client *http.Client // which does not follow redirects to the application
	roots  *x509.CertPool
	key    *rsa.PrivateKey // of the certificate that is registered for clientID
	cert   *x509.Certificate
	clock  *clock
	log    *lockedBuffer
}

// clock is the time, as far ahead as a test has put it.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func start(t *testing.T) *fixture {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, _, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{tenant: tenant.New(tenantID, domain), roots: authority.Roots(), clock: &clock{}, log: &lockedBuffer{}}
	registered := registeredCertificate()
	f.key, f.cert = registered.key, registered.cert
	f.fillTenant()
	f.Server, err = Start(Config{
		Tenant: f.tenant, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Address: "127.0.0.1:0", Now: f.clock.now,
		Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.client = f.newBrowser(t)
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

// newBrowser makes a client with cookies of its own.
func (f *fixture) newBrowser(t *testing.T) *http.Client {
	jar, _ := cookiejar.New(nil)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (f *fixture) fillTenant() {
	f.tenant.AddPerson(tenant.Person{ObjectID: aliceID, UPN: alice, Name: "Alice", Password: secret.New(password), MFA: true})
	f.tenant.AddPerson(tenant.Person{ObjectID: "b0b00000-0000-4000-8000-000000000002", UPN: bob, Name: "Bob", Password: secret.New(password)})
	all := []string{"IMAP.AccessAsUser.All", "SMTP.Send", "User.Read"}
	f.tenant.AddApplication(tenant.Application{
		ClientID: clientID, ObjectID: "0b1ec700-0000-4000-8000-000000000001", Name: "Postern", PublicClient: true, Delegated: all,
		Roles: []string{"IMAP.AccessAsApp", "SMTP.SendAsApp"}, RedirectURIs: []string{redirectURI},
		Certificates: []*x509.Certificate{f.cert},
		Secrets: []tenant.Secret{
			{Value: secret.New(clientSecret)}, {Value: secret.New(expiredSecret), Expires: time.Now().Add(-time.Hour)},
		},
	})
	f.tenant.AddApplication(tenant.Application{
		ClientID: webID, ObjectID: "0b1ec700-0000-4000-8000-000000000002", Name: "Web", Delegated: []string{"SMTP.Send"},
		RedirectURIs: []string{redirectURI}, Secrets: []tenant.Secret{{Value: secret.New(clientSecret)}},
	})
	f.tenant.AddApplication(tenant.Application{ClientID: publicID, Name: "Public", PublicClient: true, Delegated: all})
	f.tenant.AddApplication(tenant.Application{ClientID: offID, Name: "Off", PublicClient: true, Disabled: true})
}

// keyPair is a certificate with its key.
type keyPair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// registeredCertificate is the one of all tests: keys take long to make.
var registeredCertificate = sync.OnceValue(newCertificate)

func newCertificate() keyPair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return keyPair{key: key, cert: cert}
}

// form makes a form of names and values in turn.
func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// with gives a copy of a form with more or other fields; an empty value takes a field away.
func with(values url.Values, pairs ...string) url.Values {
	changed := url.Values{}
	for name, value := range values {
		changed[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			changed.Del(pairs[i])
		} else {
			changed.Set(pairs[i], pairs[i+1])
		}
	}
	return changed
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any // nil when it is none
}

func read(t *testing.T, response *http.Response, err error) reply {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: response.StatusCode, header: response.Header, body: string(body)}
	_ = json.Unmarshal(body, &r.json)
	return r
}

func (f *fixture) get(t *testing.T, path string) reply {
	t.Helper()
	response, err := f.client.Get(f.URL() + path)
	return read(t, response, err)
}

// post posts a form to an endpoint of the tenant.
func (f *fixture) post(t *testing.T, endpoint string, values url.Values) reply {
	t.Helper()
	response, err := f.client.PostForm(f.URL()+"/"+domain+"/oauth2/v2.0/"+endpoint, values)
	return read(t, response, err)
}

// text gives a text of the answer.
func (r reply) text(name string) string {
	s, _ := r.json[name].(string)
	return s
}

// wantError holds an answer to an error of Entra's.
func (r reply) wantError(t *testing.T, status, code int, word string) {
	t.Helper()
	codes, _ := r.json["error_codes"].([]any)
	if r.status != status || r.text("error") != word || len(codes) != 1 || codes[0] != float64(code) {
		t.Fatalf("got status %d, error %q, codes %v, want %d, %q, %d\n%s", r.status, r.text("error"), codes, status, word, code, r.body)
	}
}

// wantTokens holds an answer to success.
func (r reply) wantTokens(t *testing.T) {
	t.Helper()
	if r.status != http.StatusOK || r.text("access_token") == "" || r.text("token_type") != "Bearer" {
		t.Fatalf("got status %d, want tokens\n%s", r.status, r.body)
	}
}

// device begins the device code flow.
func (f *fixture) device(t *testing.T, client, scope string) reply {
	t.Helper()
	r := f.post(t, "devicecode", form("client_id", client, "scope", scope))
	if r.status != http.StatusOK {
		t.Fatalf("device code: got %d\n%s", r.status, r.body)
	}
	return r
}

// poll asks for a device's tokens.
func (f *fixture) poll(t *testing.T, client string, device reply) reply {
	t.Helper()
	return f.post(t, "token", form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", client,
		"device_code", device.text("device_code"), "client_info", "1"))
}

// signIn has a person sign in by device code and gives the tokens.
func (f *fixture) signIn(t *testing.T, client, account, scope string) reply {
	t.Helper()
	d := f.device(t, client, scope)
	if err := f.ApproveDevice(d.text("user_code"), account); err != nil {
		t.Fatal(err)
	}
	r := f.poll(t, client, d)
	r.wantTokens(t)
	return r
}

// refresh redeems the refresh token of an answer.
func (f *fixture) refresh(t *testing.T, client string, tokens reply, more ...string) reply {
	t.Helper()
	return f.post(t, "token", with(form("grant_type", "refresh_token", "client_id", client,
		"refresh_token", tokens.text("refresh_token"), "scope", mailScope+" offline_access"), more...))
}

func (f *fixture) verify(t *testing.T, tokens reply) tenant.Claims {
	t.Helper()
	claims, err := f.Verify(secret.New(tokens.text("access_token")))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// credentials is a good client credentials request.
func credentials() url.Values {
	return form("grant_type", "client_credentials", "client_id", clientID, "client_secret", clientSecret, "scope", appScope)
}

func contains(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: got\n%s\nwant %q in it", what, text, part)
	}
}
