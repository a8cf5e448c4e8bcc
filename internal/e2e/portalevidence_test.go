package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/chromium"
)

// portal is a deployment with the pages, in which everybody of the tenant has a login.
type portal struct {
	*deployment
	*gateway
	sim     *simulator
	program string
	address string
	url     string

	cert, key string // files
}

// openPortal starts a gateway with a portal, whose policy takes what evidence says. contexts is a line of the provider's
// configuration, or empty.
func openPortal(t *testing.T, evidence, contexts string) *portal {
	t.Helper()
	p := &portal{program: binary(t, program), address: freeAddress(t)}
	p.sim = startSim(t, p.program)
	p.deployment, p.gateway = deploy(t, p.sim, p.sim.upstreams())
	p.cert, p.key = issue(t, p.authority, p.folder)
	p.url = "https://" + byName(t, p.address)
	p.sim.order(t, "application", map[string]any{"redirect_uris": []string{p.url + "/signin/contoso/callback"}})
	p.configure(t, evidence, contexts)
	p.serve(t)
	return p
}

// configure writes the configuration.
func (p *portal) configure(t *testing.T, evidence, contexts string) {
	t.Helper()
	p.config = write(t, p.folder, "postern.yaml", fmt.Sprintf(`domain: localhost
certificates:
  - files: {cert: %q, key: %q}
providers:
  contoso:
    kind: microsoft
    tenant: %q
    client_id: %q
    client_secret_file: %q
    endpoints: {authority: %q, imap: %q, smtp: %q, ca_file: %q}
    %s
listeners:
  - {protocol: imap, address: %q, tls: implicit}
  - {protocol: smtp, address: %q, tls: implicit}
portal: {address: %q}
policies:
  person: {protocols: [imap, smtp], mfa: {evidence: %s}}
users:
  - {match: "*@contoso.example", provider: contoso, grant: delegated, policy: person}
`, p.cert, p.key, p.sim.provider.Tenant, p.sim.provider.ClientID, write(t, p.folder, secretFile, p.sim.secret+"\n"),
		p.sim.Authority, p.sim.IMAP, p.sim.SMTP, p.sim.CAFile, contexts, p.IMAPS, p.SMTPS, p.address, evidence))
}

// serve runs the gateway, once more after a stop.
func (p *portal) serve(t *testing.T) {
	t.Helper()
	p.process = start(t, p.program, "serve", "-c", p.config)
	p.listening(t, p.IMAPS, p.SMTPS, p.address)
}

// browser opens a browser that trusts the certificates of the portal and of the simulated Entra ID.
func (p *portal) browser(t *testing.T) *chromium.Browser {
	t.Helper()
	return chromium.Open(t, shownAt(t, p.address), shownAt(t, strings.Split(strings.TrimPrefix(p.sim.Authority, "https://"), "/")[0]))
}

// shownAt gives the certificate that is shown at an address.
func shownAt(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // it is looked at, and nothing is said
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// signIn opens a page and has a person sign in for it at the simulated Microsoft.
func (p *portal) signIn(t *testing.T, b *chromium.Browser, page, account string) {
	t.Helper()
	b.Visit(p.url + page)
	b.WaitFor("Sign in with Microsoft")
	b.PressText("Sign in with Microsoft")
	p.atMicrosoft(t, b, account)
}

// atMicrosoft has a person sign in on the simulator's pages.
func (p *portal) atMicrosoft(t *testing.T, b *chromium.Browser, account string) {
	t.Helper()
	for _, person := range p.sim.People {
		if person.Account == account {
			atMicrosoft(t, b, account, person.Password)
			return
		}
	}
	t.Fatalf("nobody is called %s", account)
}

// reads reports what an IMAP client is told that signs in with an app password.
func (p *portal) reads(t *testing.T, account, password string) (told string, ok bool) {
	t.Helper()
	told, code := command{path: need(t, "curl"), args: []string{"--silent", "--show-error", "--max-time", "60", "--cacert", p.CAFile,
		"--user", account + ":" + password, "imaps://" + byName(t, p.IMAPS) + "/INBOX", "--request", "NOOP"}}.try(t)
	p.replies.WriteString(told)
	return told, code == 0
}

// issueOnPages fills in the form of a new app password and gives what is shown. The browser is at the form.
func (p *portal) issueOnPages(t *testing.T, b *chromium.Browser, label string) (password string) {
	t.Helper()
	b.WaitFor("What is it for?")
	b.Shot("password-new")
	b.Fill("#label", label)
	b.PressText("Make the app password")
	b.WaitFor("Your new app password")
	b.Shot("password-issued")
	return b.Value("#secret")
}

// TestI40PortalWithPasskey has a person sign in at Microsoft with a second factor there, enrol a passkey here, and make an
// app password, which a mail program uses. It is shown once, to its owner.
func TestI40PortalWithPasskey(t *testing.T) {
	t.Parallel()
	p := openPortal(t, "[totp, passkey]", "")
	b := p.browser(t)
	b.Authenticator()
	const alice = "alice@contoso.example"
	p.signIn(t, b, "/passwords/new", alice)
	b.WaitFor("Prove that it is you") // a sign-in alone issues nothing
	b.PressText("Set one up")
	b.WaitFor("You have none yet")
	b.PressText("Set up a passkey")
	password := p.issueOnPages(t, b, "Thunderbird")

	b.Reload()
	if text := b.WaitFor("is shown only once"); strings.Contains(text, password) {
		t.Error("a reload shows the app password again")
	}
	b.Back()
	if text := b.WaitFor("What is it for?"); strings.Contains(text, password) {
		t.Error("the browser's way back shows the app password again")
	}
	if told, ok := p.reads(t, alice, password); !ok {
		t.Fatalf("the app password is refused: %s", told)
	}
	for page, want := range map[string]string{"passwords": "Thunderbird", "sessions": "", "activity": "passkey", "factors": "My passkey", "": "Alice"} {
		b.Visit(p.url + "/" + page)
		if text := b.WaitFor(want); strings.Contains(text, password) {
			t.Errorf("/%s shows the app password", page)
		}
		b.Shot("page-" + page)
	}

	b.Visit(p.url + "/passwords")
	b.PressText("Revoke Thunderbird")
	b.WaitFor("Revoke")
	b.Press("button.danger")
	b.WaitFor("“Thunderbird” is revoked")
	if _, ok := p.reads(t, alice, password); ok {
		t.Error("the app password works after it was revoked")
	}
	p.events(t, "account-enrolled", "factor-enrolled", "password-issued", "password-revoked")
}

// TestPortalWithAuthenticator has a person sign in at Microsoft without a second factor, enrol an authenticator here, and
// make an app password. The policy then wants a passkey: the app password is refused until its owner proves one, and is
// accepted again as it is.
func TestPortalWithAuthenticator(t *testing.T) {
	t.Parallel()
	p := openPortal(t, "[totp]", "")
	b := p.browser(t)
	b.Authenticator()
	const bob = "bob@contoso.example"
	p.signIn(t, b, "/factors?return=/passwords/new", bob)
	b.WaitFor("You have none yet")
	b.PressText("Set up an authenticator app")
	b.WaitFor("Show that it works")
	key := strings.ReplaceAll(b.Value(".secret"), " ", "")
	b.Fill("#code", code(t, key, 0))
	b.PressText("Set it up")
	password := p.issueOnPages(t, b, "Scanner")
	if told, ok := p.reads(t, bob, password); !ok {
		t.Fatalf("the app password is refused: %s", told)
	}

	p.stop(t)
	p.configure(t, "[passkey]", "")
	p.serve(t)
	if _, ok := p.reads(t, bob, password); ok {
		t.Error("the app password works though the policy wants a passkey")
	}
	b.Visit(p.url + "/passwords") // the session outlives the restart
	b.WaitFor("Scanner")
	b.Shot("passwords-suspended")
	b.Visit(p.url + "/passwords/renew")
	b.WaitFor("Scanner")
	b.Press("main button")
	b.WaitFor("You have not set up one that will do here.")
	b.PressText("Set one up")
	b.WaitFor("You have one.")
	b.PressText("Set up a passkey") // on the proof of the authenticator, a moment ago
	b.WaitFor("Scanner")
	b.Press("main button")
	b.WaitFor("App passwords that go on working unchanged: 1.")
	if told, ok := p.reads(t, bob, password); !ok {
		t.Errorf("after the renewal the app password is refused: %s", told)
	}
	// An administrator takes the factors away: what the browser has proved counts no more, and the app password stays.
	if got := p.admin(t, "user", "factors", bob, "--json"); !strings.Contains(got, `"method":"totp"`) || !strings.Contains(got, `"method":"passkey"`) {
		t.Errorf("user factors says %s", got)
	}
	if got := p.admin(t, "user", "factors", bob, "--reset"); !strings.Contains(got, "removed 2 second factors of "+bob) {
		t.Errorf("user factors --reset says %s", got)
	}
	b.Visit(p.url + "/passwords/new")
	b.WaitFor("You have not set up one that will do here.")
	b.Visit(p.url + "/activity")
	b.WaitFor("All your second factors were removed")
	if told, ok := p.reads(t, bob, password); !ok {
		t.Errorf("after the reset the app password is refused: %s", told)
	}
	p.events(t, "account-enrolled", "factor-enrolled", "password-issued", "factor-enrolled", "password-renewed", "factors-reset")

	l := secretsOf(p.sim, p.gateway)
	l.add("app password", password)
	l.add("key of the authenticator", key)
	p.searchTwice(t, p.gateway, l)
}

// TestPortalWithAuthenticationContext has a person sign in at Microsoft in a way that satisfies the context that the
// policy takes for evidence.
func TestPortalWithAuthenticationContext(t *testing.T) {
	t.Parallel()
	p := openPortal(t, "[acrs:c1]", "authentication_contexts: {c1: asserted}")
	b := p.browser(t)
	const alice = "alice@contoso.example"
	p.signIn(t, b, "/passwords/new", alice)
	b.WaitFor("Prove that it is you")
	b.PressText("Sign in with Microsoft again")
	b.WaitFor("Confirm that it is you")
	b.Shot("signin-again")
	b.PressText("Confirm with Microsoft")
	p.atMicrosoft(t, b, alice)
	password := p.issueOnPages(t, b, "Thunderbird")
	if told, ok := p.reads(t, alice, password); !ok {
		t.Fatalf("the app password is refused: %s", told)
	}
	for _, e := range p.audit(t) {
		if e.Kind == "password-issued" && e.Evidence != "acrs:c1" {
			t.Errorf("the evidence in the audit log is %q, want acrs:c1", e.Evidence)
		}
	}
}

// code is what an authenticator with a key shows.
func code(t *testing.T, key string, later time.Duration) string {
	t.Helper()
	code, err := totp.GenerateCode(key, time.Now().Add(later))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// events checks that the audit log has events of these kinds in this order, whatever is between them.
func (p *portal) events(t *testing.T, kinds ...string) {
	t.Helper()
	var all []string
	for _, e := range p.audit(t) {
		all = append(all, e.Kind)
		if len(kinds) > 0 && e.Kind == kinds[0] {
			kinds = kinds[1:]
		}
	}
	if len(kinds) > 0 {
		t.Errorf("the audit log lacks %v, in this order; it has %v", kinds, all)
	}
}
