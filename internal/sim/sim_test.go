package sim

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/certs"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = "alice@contoso.example"
	bob   = "bob@contoso.example"
	scans = "scans@contoso.example"
)

// running is a simulator with a client that trusts it.
type running struct {
	*Sim
	client *http.Client
	tls    *tls.Config
}

func start(t *testing.T) *running {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, _, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Options{Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	trusted := &tls.Config{RootCAs: authority.Roots(), ServerName: "localhost"}
	transport := &http.Transport{TLSClientConfig: trusted}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &running{Sim: s, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}, tls: trusted}
}

// ask sends an order to the control endpoint and gives the status and the answer.
func (r *running) ask(t *testing.T, method, path, order string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, r.Entra.URL()+"/sim/"+path, strings.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// order sends an order that must be followed.
func (r *running) order(t *testing.T, method, path, order string) {
	t.Helper()
	if status, body := r.ask(t, method, path, order); status != http.StatusNoContent {
		t.Fatalf("%s %s: got %d %s, want 204", method, path, status, body)
	}
}

// tokens asks the token endpoint.
func (r *running) tokens(t *testing.T, pairs ...string) (int, map[string]any) {
	t.Helper()
	form := url.Values{"client_id": {ClientID}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return r.entra(t, "token", form)
}

func (r *running) entra(t *testing.T, endpoint string, form url.Values) (int, map[string]any) {
	t.Helper()
	response, err := r.client.PostForm(r.Authority()+"/oauth2/v2.0/"+endpoint, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// applicationToken gets the application's own token.
func (r *running) applicationToken(t *testing.T) string {
	t.Helper()
	status, answer := r.tokens(t, "grant_type", "client_credentials", "client_secret", r.ClientSecret().Reveal(),
		"scope", "https://outlook.office365.com/.default")
	if status != http.StatusOK {
		t.Fatalf("got %d %v, want a token", status, answer)
	}
	return answer["access_token"].(string)
}

// TestTogether has a token of Entra's open the IMAP of Exchange, and the same token not open it after it was expired.
func TestTogether(t *testing.T) {
	r := start(t)
	token := r.applicationToken(t)
	signIn := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", r.Exchange.IMAPAddress(), r.tls)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		initial, err := sasl.XOAUTH2(scans, secret.New(token))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "a AUTHENTICATE XOAUTH2 "+base64.StdEncoding.EncodeToString(initial)+"\r\n"); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "a ") {
				return lines.Text()
			}
		}
		t.Fatalf("no tagged reply: %v", lines.Err())
		return ""
	}
	if got := signIn(); !strings.HasPrefix(got, "a OK") {
		t.Errorf("got %q, want a OK", got)
	}
	r.order(t, http.MethodPost, "expire", "{}")
	if got := signIn(); !strings.HasPrefix(got, "a NO") {
		t.Errorf("after /sim/expire: got %q, want a NO", got)
	}
}

func TestContoso(t *testing.T) {
	r := start(t)
	if got, want := r.Authority(), r.Entra.URL()+"/contoso.example"; got != want {
		t.Errorf("got authority %q, want %q", got, want)
	}
	claims, err := r.Entra.Verify(secret.New(r.applicationToken(t)))
	if err != nil {
		t.Fatal(err)
	}
	person, _ := r.Tenant.Person(alice)
	hers := tenant.Claims{
		ObjectID: person.ObjectID, UPN: alice, ClientID: ClientID, Scopes: []string{"IMAP.AccessAsUser.All", "SMTP.Send"},
	}
	for _, c := range []struct {
		who     string
		claims  tenant.Claims
		mailbox string
		opens   bool
	}{
		{"the application", claims, scans, true}, {"the application", claims, alice, true},
		{"the application", claims, bob, false}, {"the application", claims, "helpdesk@contoso.example", false},
		{"alice", hers, alice, true}, {"alice", hers, "helpdesk@contoso.example", true},
		{"alice", hers, bob, false}, {"alice", hers, scans, false},
	} {
		_, imap := r.Tenant.OpenIMAP(c.claims, c.mailbox)
		_, smtp := r.Tenant.OpenSMTP(c.claims, c.mailbox)
		if (imap == nil) != c.opens || (smtp == nil) != c.opens {
			t.Errorf("%s at %s: got IMAP %v, SMTP %v, want it opened: %v", c.who, c.mailbox, imap, smtp, c.opens)
		}
	}
	if !r.Tenant.MaySendAs(alice, "helpdesk@contoso.example") || r.Tenant.MaySendAs(bob, "helpdesk@contoso.example") {
		t.Error("helpdesk is not alice's alone to send as")
	}
	other := Contoso()
	again, _ := other.Person(alice)
	if again.Password.Equal(person.Password) || person.Password.IsZero() || again.ObjectID != person.ObjectID || other.ID != r.Tenant.ID {
		t.Error("want the same ids and another password in the next Contoso")
	}
	if (&Sim{Tenant: tenant.New("id", "example.com")}).ClientSecret() != (secret.Text{}) {
		t.Error("got a client secret of another tenant")
	}
}

func TestStartRefusesAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, options := range []Options{{EntraAddress: taken.Addr().String()}, {SMTPAddress: taken.Addr().String()}} {
		options.Certificate = tls.Certificate{Certificate: [][]byte{{}}}
		if s, err := Start(options); err == nil {
			t.Errorf("started, want that %s is in use", taken.Addr())
			_ = s.Close()
		}
	}
}
