package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/auth/token"
	"postern/certs"
	"postern/internal/config"
	"postern/internal/preflight"
	"postern/internal/sim"
	"postern/internal/sim/tenant"
)

// checked is a simulated tenant and a configuration that fits it: scans is a copier's by the application's grant, alice's is her
// own; both may use IMAP and SMTP.
type checked struct {
	t      *testing.T
	sim    *sim.Sim
	folder string
	path   string
}

func newChecked(t *testing.T) *checked {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, certPEM, keyPEM, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.Start(sim.Options{Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := &checked{t: t, sim: s, folder: t.TempDir()}
	c.path = filepath.Join(c.folder, "postern.yaml")
	if err := os.Chmod(c.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	c.write("ca.pem", authority.RootPEM())
	c.write("mail.pem", certPEM)
	c.write("mail.key", keyPEM)
	c.write("client.secret", []byte(s.ClientSecret().Reveal()))
	c.write("postern.yaml", fmt.Appendf(nil, `
domain: localhost
certificates: [{files: {cert: mail.pem, key: mail.key}}]
providers:
  contoso:
    kind: microsoft
    tenant: contoso.example
    client_id: %s
    client_secret_file: client.secret
    endpoints: {authority: %q, imap: %q, smtp: %q, ca_file: ca.pem}
listeners: [{protocol: smtp, address: "127.0.0.1:0", tls: starttls}]
policies: {both: {protocols: [imap, smtp]}}
users:
  - {login: copier-3, mailbox: scans@contoso.example, provider: contoso, grant: application, policy: both}
  - {login: alice@contoso.example, provider: contoso, grant: delegated, policy: both}
`, sim.ClientID, s.Authority(), s.Exchange.IMAPAddress(), s.Exchange.SMTPAddress()))
	return c
}

func (c *checked) write(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checked) load() *config.Config {
	c.t.Helper()
	loaded, err := config.Load(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	return loaded
}

// run checks, and gives the lines by "subject: check".
func (c *checked) run(o CheckOptions) map[string]preflight.Line {
	c.t.Helper()
	o.Log = quiet
	lines := make(map[string]preflight.Line)
	err := Check(c.t.Context(), c.load(), o, func(some []preflight.Line) {
		for _, l := range some {
			lines[l.Subject+": "+l.Check] = l
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return lines
}

// enroll has alice sign in.
func (c *checked) enroll() {
	c.t.Helper()
	admin, err := NewAdmin(c.t.Context(), c.load(), "test")
	if err != nil {
		c.t.Fatal(err)
	}
	defer admin.Close()
	_, err = admin.Enroll(c.t.Context(), "alice@contoso.example", quiet, func(code token.DeviceCode) {
		if err := c.sim.Entra.ApproveDevice(code.UserCode, "alice@contoso.example"); err != nil {
			c.t.Error(err)
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// want holds a line against what is expected of it. Words are looked for in all that it says.
func (c *checked) want(lines map[string]preflight.Line, name string, verdict preflight.Verdict, words ...string) {
	c.t.Helper()
	l, there := lines[name]
	if !there || l.Verdict != verdict {
		c.t.Errorf("%s: got %q (%s), want %s", name, l.Verdict, l.Seen, verdict)
	}
	if verdict == preflight.Failed && l.Fix == "" {
		c.t.Errorf("%s: nothing mends it: %s", name, l.Seen)
	}
	for _, word := range words {
		if all := l.Seen + "\n" + l.Fix + "\n" + l.Command; !strings.Contains(all, word) {
			c.t.Errorf("%s: got\n%s\nwant %q in it", name, all, word)
		}
	}
}

func TestCheckBeforeTheFirstStartMakesNothing(t *testing.T) {
	c := newChecked(t)
	before, _ := os.ReadDir(c.folder)
	lines := c.run(CheckOptions{})
	after, _ := os.ReadDir(c.folder)
	if len(before) != len(after) {
		t.Errorf("got %d files where %d were", len(after), len(before))
	}
	for _, name := range []string{"machine: keys", "machine: store", "machine: audit log", "machine: certificate", "provider contoso: clock",
		"provider contoso: sign-in", "provider contoso: imap server", "provider contoso: smtp server", "login copier-3: imap", "login copier-3: smtp",
		"login copier-3: smtp auth switch", "login copier-3: service principal", "login copier-3: mailbox permission"} {
		c.want(lines, name, preflight.OK)
	}
	c.want(lines, "login alice@contoso.example: token", preflight.Warning, "postern user enroll alice@contoso.example")
	c.want(lines, "login alice@contoso.example: imap", preflight.Skipped)
}

// TestI22CheckSparesTheRefreshToken: a check beside a gateway spends no refresh token that the gateway holds.
func TestI22CheckSparesTheRefreshToken(t *testing.T) {
	c := newChecked(t)
	c.enroll()
	asked := c.sim.Entra.TokenRequests()
	for range 2 {
		lines := c.run(CheckOptions{Logins: []string{"alice@contoso.example"}})
		c.want(lines, "login alice@contoso.example: imap", preflight.OK)
		c.want(lines, "login alice@contoso.example: smtp", preflight.OK)
		c.want(lines, "machine: store", preflight.OK)
	}
	// The application asks for itself each time; alice's token is the one that is kept.
	if got := c.sim.Entra.TokenRequests() - asked; got != 2 {
		t.Errorf("got %d token requests, want 2", got)
	}
}

// TestCheckNamesEachFault orders the simulator's faults one by one, and wants the line that names each and what mends it.
func TestCheckNamesEachFault(t *testing.T) {
	const copier = "login copier-3: "
	refuse := func(point tenant.Point, reply string) func(*checked) {
		return func(c *checked) { c.sim.Tenant.Faults.Add(tenant.Fault{Point: point, Reply: reply}) }
	}
	drop := func(point tenant.Point) func(*checked) {
		return func(c *checked) { c.sim.Tenant.Faults.Add(tenant.Fault{Point: point, Drop: true}) }
	}
	application := func(change func(*tenant.Application)) func(*checked) {
		return func(c *checked) { c.sim.Tenant.UpdateApplication(sim.ClientID, change) }
	}
	mailbox := func(change func(*tenant.Mailbox)) func(*checked) {
		return func(c *checked) { c.sim.Tenant.UpdateMailbox("scans@contoso.example", change) }
	}
	yes := true
	for _, test := range []struct {
		name    string
		fault   func(*checked)
		line    string
		verdict preflight.Verdict
		words   []string
	}{
		{"imap drops", drop(tenant.IMAPConnect), "provider contoso: imap server", preflight.Failed, []string{"TLS with 127.0.0.1"}},
		{"imap's token", refuse(tenant.IMAPAuth, "NO AUTHENTICATE failed."), copier + "imap", preflight.Failed, []string{"az ad app permission list --id " + sim.ClientID}},
		{"imap throttles", refuse(tenant.IMAPCommand, "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"), copier + "imap", preflight.Warning, []string{"pause"}},
		{"imap in trouble", refuse(tenant.IMAPCommand, "NO Server Unavailable. 15"), copier + "imap", preflight.Warning, []string{"trouble"}},
		{"imap off", mailbox(func(m *tenant.Mailbox) { m.IMAPDisabled = true }), copier + "mailbox permission", preflight.Failed,
			[]string{"Set-CASMailbox scans@contoso.example -ImapEnabled $true"}},
		{"smtp drops", drop(tenant.SMTPConnect), "provider contoso: smtp server", preflight.Failed, []string{"endpoints.smtp"}},
		{"smtp busy", refuse(tenant.SMTPConnect, "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"),
			"provider contoso: smtp server", preflight.Failed, []string{"three connections"}},
		{"smtp auth drops", drop(tenant.SMTPAuth), copier + "smtp", preflight.Failed, []string{"try again"}},
		{"smtp's token", refuse(tenant.SMTPAuth, "535 5.7.3 Authentication unsuccessful [X]"), copier + "smtp", preflight.Failed,
			[]string{"Add-MailboxPermission -Identity scans@contoso.example -User 9057e49a-1f2e-4d3c-8b5a-7e6f9d8c0b03"}},
		{"conditional access at smtp", refuse(tenant.SMTPAuth, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully."),
			copier + "smtp", preflight.Failed, []string{"Conditional Access", "az rest"}},
		{"something new", refuse(tenant.SMTPAuth, "535 5.7.999 Authentication unsuccessful, for the fun of it"), copier + "smtp", preflight.Failed, []string{"for the fun of it"}},
		{"smtp auth off in the tenant", func(c *checked) { c.sim.Tenant.DisableSMTPAuth(true) }, copier + "smtp auth switch", preflight.Failed,
			[]string{"True for the tenant, and empty for scans@contoso.example", "Set-CASMailbox scans@contoso.example -SmtpClientAuthenticationDisabled $false"}},
		{"smtp auth off for the mailbox", mailbox(func(m *tenant.Mailbox) { m.SMTPAuthDisabled = &yes }), copier + "smtp auth switch", preflight.Failed,
			[]string{"True for scans@contoso.example"}},
		{"no right", mailbox(func(m *tenant.Mailbox) { m.FullAccess = nil }), copier + "mailbox permission", preflight.Failed,
			[]string{"Add-MailboxPermission -Identity scans@contoso.example -User 9057e49a-1f2e-4d3c-8b5a-7e6f9d8c0b03 -AccessRights FullAccess"}},
		{"the registration's object id", mailbox(func(m *tenant.Mailbox) { m.FullAccess = []string{"the app registration's"} }), copier + "service principal",
			preflight.Warning, []string{"New-ServicePrincipal -AppId " + sim.ClientID + " -ObjectId 9057e49a-1f2e-4d3c-8b5a-7e6f9d8c0b03"}},
		{"no consent for imap", application(func(a *tenant.Application) { a.Roles = []string{"SMTP.SendAsApp"} }), copier + "permissions", preflight.Failed,
			[]string{"IMAP.AccessAsApp", "az ad app permission admin-consent"}},
		{"only a group may send", func(c *checked) {
			application(func(a *tenant.Application) { a.Roles = nil })(c)
			mailbox(func(m *tenant.Mailbox) { m.FullAccess, m.SMTPApps = nil, []string{sim.ClientID} })(c)
		}, copier + "smtp", preflight.OK, nil},
		{"the secret has expired", application(func(a *tenant.Application) { a.Secrets[0].Expires = time.Now().Add(-time.Hour) }),
			"provider contoso: sign-in", preflight.Failed, []string{"AADSTS7000222", "az ad app credential reset --id " + sim.ClientID}},
		{"a wrong secret", func(c *checked) { c.write("client.secret", []byte("wrong")) }, "provider contoso: sign-in", preflight.Failed, []string{"AADSTS7000215"}},
		{"the application is disabled", application(func(a *tenant.Application) { a.Disabled = true }), "provider contoso: sign-in", preflight.Failed,
			[]string{"az ad sp update --id " + sim.ClientID + " --set accountEnabled=true"}},
		{"entra is busy", func(c *checked) {
			c.sim.Tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Status: 429, RetryAfter: 30})
		}, "provider contoso: sign-in", preflight.Failed, []string{"429"}},
		{"no such tenant", func(c *checked) { c.replace("contoso.example\"", "fabrikam.example\"") }, "provider contoso: tenant", preflight.Failed, []string{"AADSTS90002"}},
		{"another's certificate", func(c *checked) { c.write("ca.pem", otherRoot(c.t)) }, "provider contoso: imap server", preflight.Failed, []string{"does not trust", "ca_file"}},
		{"the login waits for nothing", func(c *checked) { c.write("ca.pem", otherRoot(c.t)) }, copier + "token", preflight.Skipped, nil},
		{"no such host", func(c *checked) { c.replace(c.sim.Exchange.SMTPAddress(), "postern.invalid:587") }, "provider contoso: smtp server", preflight.Failed, []string{"not resolved"}},
		{"nobody there", func(c *checked) { c.replace(c.sim.Exchange.IMAPAddress(), "127.0.0.1:1") }, "provider contoso: imap server", preflight.Failed, []string{"refused", "nc -vz"}},
		{"readable by everybody", func(c *checked) {
			c.write("postern.audit", nil)
			_ = os.Chmod(filepath.Join(c.folder, "postern.audit"), 0o644)
		}, "machine: file modes", preflight.Failed, []string{"chmod o="}},
		{"keys of another", func(c *checked) { c.write("postern.keys", []byte("{}")) }, "machine: keys", preflight.Failed, nil},
		{"a certificate for another", func(c *checked) { c.replace("domain: localhost", "domain: mail.contoso.example") }, "machine: config", preflight.Warning,
			[]string{"mail.contoso.example"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newChecked(t)
			test.fault(c)
			c.want(c.run(CheckOptions{Logins: []string{"copier-3"}}), test.line, test.verdict, test.words...)
		})
	}
}

// replace changes the configuration.
func (c *checked) replace(old, now string) {
	c.t.Helper()
	content, err := os.ReadFile(c.path)
	if err != nil || !strings.Contains(string(content), old) {
		c.t.Fatalf("%v, or there is no %q", err, old)
	}
	c.write("postern.yaml", []byte(strings.ReplaceAll(string(content), old, now)))
}

func otherRoot(t *testing.T) []byte {
	t.Helper()
	other, err := certs.NewAuthority("another")
	if err != nil {
		t.Fatal(err)
	}
	return other.RootPEM()
}

func TestCheckExplainsRefusalsOfAPerson(t *testing.T) {
	for number, words := range map[int]string{
		50173: "postern user enroll alice@contoso.example", 50076: "postern user enroll", 53003: "Conditional Access", 65001: "admin-consent", 50105: "appRoleAssignmentRequired",
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			c := newChecked(t)
			c.enroll()
			c.sim.Entra.ExpireTokens() // of which the check does not know: upstream refuses the kept one, and a new one is asked for
			c.sim.Tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Match: "alice@contoso.example", AADSTS: number})
			lines := c.run(CheckOptions{Logins: []string{"alice@contoso.example"}})
			c.want(lines, "login alice@contoso.example: imap", preflight.Failed, fmt.Sprintf("AADSTS%d", number), words)
		})
	}
}

func TestCheckSendsOnlyWhenTold(t *testing.T) {
	c := newChecked(t)
	lines := c.run(CheckOptions{Logins: []string{"copier-3"}, SendTo: "bob@contoso.example"})
	c.want(lines, "login copier-3: test message", preflight.OK, "sent to bob@contoso.example", "250 2.0.0 OK")
	for _, point := range []tenant.Point{tenant.SMTPMail, tenant.SMTPRcpt, tenant.SMTPData, tenant.SMTPEnd} {
		c.sim.Tenant.Faults.Clear()
		c.sim.Tenant.Faults.Add(tenant.Fault{Point: point, Reply: "554 5.2.252 SendAsDenied; a not allowed to send as b"})
		lines = c.run(CheckOptions{Logins: []string{"copier-3"}, SendTo: "bob@contoso.example"})
		c.want(lines, "login copier-3: smtp", preflight.OK)
		c.want(lines, "login copier-3: test message", preflight.Failed, "Add-RecipientPermission")
	}
}

func TestCheckOffline(t *testing.T) {
	c := newChecked(t)
	asked := c.sim.Entra.TokenRequests()
	lines := c.run(CheckOptions{Offline: true})
	c.want(lines, "provider contoso: authority", preflight.Skipped)
	c.want(lines, "login copier-3: token", preflight.Skipped)
	c.want(lines, "provider contoso: credential", preflight.OK)
	if got := c.sim.Entra.TokenRequests(); got != asked {
		t.Errorf("got %d token requests, want none", got-asked)
	}
}

func TestCheckRefusesUnknownNames(t *testing.T) {
	c := newChecked(t)
	for _, o := range []CheckOptions{{Logins: []string{"nobody"}}, {Providers: []string{"fabrikam"}}} {
		o.Log = quiet
		if err := Check(t.Context(), c.load(), o, func([]preflight.Line) {}); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
