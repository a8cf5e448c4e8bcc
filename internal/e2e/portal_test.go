package e2e

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"postern/internal/chromium"
)

// shownCode is what the simulator's page says of the second factor.
var shownCode = regexp.MustCompile(`simulated one displays ([0-9]{6})\.`)

// certificateOf reads the certificate that the demo's servers show, which lies beside its configuration.
func certificateOf(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s holds no certificate", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// demoPortal is the demo with a browser that trusts it.
type demoPortal struct {
	*gateway
	*chromium.Browser
	people map[string]string // account → password at the simulated Microsoft
}

func openDemo(t *testing.T) *demoPortal {
	t.Helper()
	g := startDemo(t)
	d := &demoPortal{gateway: g, people: make(map[string]string)}
	for _, p := range g.People {
		d.people[p.Account] = p.Password
	}
	d.Browser = chromium.Open(t, certificateOf(t, strings.Replace(g.Config, "postern.yaml", "mail.pem", 1)))
	return d
}

// signIn signs in at the simulator's pages, from the portal's button on.
func (d *demoPortal) signIn(t *testing.T, account, button string) {
	t.Helper()
	d.PressText(button)
	d.atMicrosoft(t, account)
}

// atMicrosoft goes through the simulator's pages.
func (d *demoPortal) atMicrosoft(t *testing.T, account string) {
	t.Helper()
	atMicrosoft(t, d.Browser, account, d.people[account])
}

// atMicrosoft signs a person in on the simulator's pages, with the second factor for which they ask some.
func atMicrosoft(t *testing.T, b *chromium.Browser, account, password string) {
	t.Helper()
	b.WaitFor("Email address")
	b.Fill(`input[name="login"]`, account)
	b.PressText("Next")
	b.WaitFor("Enter password")
	b.Fill(`input[name="passwd"]`, password)
	b.PressText("Next")
	if code := shownCode.FindStringSubmatch(b.WaitFor("simulated one displays", "Postern")); code != nil {
		b.Fill(`input[name="otc"]`, code[1])
		b.PressText("Next")
	}
}

// TestPortalSignIn signs people in to the demo's portal in a real browser, with a second factor at Microsoft and without.
func TestPortalSignIn(t *testing.T) {
	t.Parallel()
	d := openDemo(t)
	d.Visit(d.Portal)
	d.WaitFor("Sign in with Microsoft")
	d.Shot("signin")
	if got := d.Path(); got != "/signin?return=%2F" {
		t.Errorf("a stranger is at %s, want the page to sign in", got)
	}
	d.signIn(t, "alice@contoso.example", "Sign in with Microsoft")
	d.WaitFor("Alice Archer")
	d.Shot("home")

	// Somebody who goes back to where the provider sent them gets nothing for it.
	d.PressText("alice@contoso.example")
	d.Shot("menu")
	d.PressText("Sign out")
	d.WaitFor("You are signed out.")
	d.Shot("signed-out")
	d.Visit(d.Portal + "/")
	d.WaitFor("Sign in with Microsoft")
	d.signIn(t, "bob@contoso.example", "Sign in with Microsoft")
	d.WaitFor("Bob Baker")

	// A callback that was not begun here is refused, with a page that says what to do.
	d.Forgive("status of 403")
	d.Visit(d.Portal + "/signin/contoso/callback?state=x&code=y")
	d.WaitFor("This sign-in was not begun in this browser.")
	d.Shot("signin-refused")
	d.Visit(d.Portal + "/")
	d.WaitFor("Bob Baker")
	d.Language("de")
	d.Forgive("status of 404")
	d.Visit(d.Portal + "/nowhere")
	d.WaitFor("Diese Seite gibt es nicht")
	d.Shot("not-found")
	d.Visit(d.Portal + "/signin") // who is signed in has nothing to do there
	d.WaitFor("Bob Baker")
	d.PressText("bob@contoso.example")
	d.PressText("Überall abmelden")
	d.WaitFor("Mit Microsoft anmelden")
	d.Shot("signin-de")
}

// TestPortalSignInDeclined: what Microsoft refuses is told, with its words.
func TestPortalSignInDeclined(t *testing.T) {
	t.Parallel()
	d := openDemo(t)
	d.order(t, "application", map[string]any{"assignment_required": true})
	d.Forgive("status of 403")
	d.Visit(d.Portal)
	d.signIn(t, "bob@contoso.example", "Sign in with Microsoft")
	d.WaitFor("access_denied AADSTS50105")
	d.WaitFor("block users unless they are specifically granted")
	d.Shot("signin-declined")
	d.order(t, "person", map[string]any{"account": "bob@contoso.example", "roles": []string{"Postern.Auditor"}})
	d.PressText("Try again")
	d.WaitFor("Sign in with Microsoft")
	d.signIn(t, "bob@contoso.example", "Sign in with Microsoft")
	d.WaitFor("Bob Baker")
}

// order has the demo's simulator do something.
func (d *demoPortal) order(t *testing.T, path string, order map[string]any) {
	t.Helper()
	(&simulator{Authority: d.Authority, CAFile: d.CAFile}).order(t, path, order)
}

// TestPortalEnrols: signing in to the portal enrols the person's account, so that her client is served, without a command
// on the server; and the tokens go on being renewed as the application's own client.
func TestPortalEnrols(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	portal := freeAddress(t)
	config, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, append(config, "\nportal: {address: \""+portal+"\", url: \"https://"+portal+"\"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	d.serve(t, g, program)
	user := g.named(t, "helpdesk@contoso.example")
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "NO [CONTACTADMIN] ") {
		t.Fatalf("before she signed in: got %q, want NO [CONTACTADMIN]", got)
	}
	s.order(t, "application", map[string]any{"redirect_uris": []string{"https://" + portal + "/signin/contoso/callback"}})
	b := chromium.Open(t, certificateOf(t, d.folder+"/server.pem"), certificateOf(t, strings.Replace(s.Config, "postern.yaml", "mail.pem", 1)))
	people := map[string]string{}
	for _, p := range s.People {
		people[p.Account] = p.Password
	}
	visitor := &demoPortal{Browser: b, people: people}
	b.Visit("https://" + portal)
	visitor.signIn(t, "alice@contoso.example", "Sign in with Microsoft")
	b.WaitFor("Alice Archer")
	put(t, g.open(t, user), "INBOX", letter("bob@contoso.example", user.Mailbox, "to the helpdesk", trickyBody))
	s.order(t, "expire", map[string]any{})
	if got := arrived(t, g.open(t, user), "INBOX", "to the helpdesk").body(); got != trickyBody {
		t.Errorf("got body\n%q\nwant\n%q", got, trickyBody)
	}
	d.searchTwice(t, g, secretsOf(s, g))
}

// TestPortalOverHTTP holds the portal to what does not show in a browser: methods, hosts, cookies and headers, over the
// network (threat model I-37).
func TestPortalOverHTTP(t *testing.T) {
	t.Parallel()
	g := startDemo(t)
	client := (&simulator{CAFile: g.CAFile}).client(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(method, path string, header http.Header) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequest(method, g.Portal+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		request.Host = header.Get("Host")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	for _, c := range []struct {
		method, path string
		header       http.Header
		status       int
	}{
		{"GET", "/", nil, 303},
		{"GET", "/", http.Header{"Host": {"evil.example"}}, 421},
		{"POST", "/signin/contoso", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"POST", "/signin/contoso", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"POST", "/signin/contoso", http.Header{"Origin": {g.Portal}}, 303},
		{"GET", "/signin/contoso", nil, 404},
		{"POST", "/signout", nil, 303}, // to sign in
		{"GET", "/signin/contoso/callback?error=%3Cscript%3E&state=x", nil, 403},
		{"TRACE", "/", nil, 404},
		{"GET", "/" + strings.Repeat("a", 40<<10), nil, 431},
	} {
		if c.header == nil {
			c.header = http.Header{}
		}
		response, body := ask(c.method, c.path, c.header)
		if response.StatusCode != c.status {
			t.Errorf("%s %.40s %v: got status %d, want %d", c.method, c.path, c.header, response.StatusCode, c.status)
		}
		if strings.Contains(body, "<script>") {
			t.Errorf("%s %.40s: the page has what was in the address:\n%s", c.method, c.path, body)
		}
		if c.status == 431 { // answered before it gets to a page
			continue
		}
		if response.Header.Get("Strict-Transport-Security") == "" || !strings.Contains(response.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %.40s: got headers %v", c.method, c.path, response.Header)
		}
	}
	response, _ := ask("POST", "/signin/contoso", http.Header{"Origin": {g.Portal}})
	location, err := url.Parse(response.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(location.String(), g.Authority+"/oauth2/v2.0/authorize?") {
		t.Errorf("people are sent to %q, want to %s", location, g.Authority)
	}
	for _, event := range g.auditLines(t) {
		if event["kind"] == "portal-sign-in" && event["reason"] != "other-browser" {
			t.Errorf("got event %v", event)
		}
	}
}

// auditLines reads the demo's audit log.
func (g *gateway) auditLines(t *testing.T) (events []map[string]any) {
	t.Helper()
	content, err := os.ReadFile(strings.Replace(g.Config, "postern.yaml", "postern.audit", 1))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		event := map[string]any{}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		events = append(events, event)
	}
	return events
}
