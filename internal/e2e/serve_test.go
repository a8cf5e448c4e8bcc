package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/certs"
	"postern/internal/config"
)

// Files of a deployment that hold a secret because that is their purpose.
const (
	keyFile    = "server.key"
	secretFile = "client-secret"
)

// simulator is a running `postern sim`: Exchange Online and Entra ID, as a configuration file would name them.
type simulator struct {
	*process
	Authority string `json:"authority"`
	IMAP      string `json:"imap"`
	SMTP      string `json:"smtp"`
	CAFile    string `json:"ca_file"`
	Config    string `json:"config"` // a configuration for a gateway, which it wrote
	People    []struct {
		Account  string `json:"account"`
		Password string `json:"password"` // at Microsoft
	} `json:"people"`

	provider *config.Provider // of Config
	secret   string           // the application's, without its line end
}

// startSim starts the simulator, with further arguments, and waits until it is ready.
func startSim(t *testing.T, program string, more ...string) *simulator {
	t.Helper()
	s := &simulator{process: start(t, program, append([]string{"sim", "--dir", t.TempDir(), "--json"}, more...)...)}
	if err := json.Unmarshal([]byte(s.line(t)), s); err != nil {
		t.Fatalf("the simulator's line is not JSON: %v\n%s", err, s.stdout)
	}
	written, err := config.Load(s.Config)
	if err != nil {
		t.Fatalf("the configuration that the simulator wrote: %v", err)
	}
	s.provider = written.Providers["contoso"]
	if s.provider == nil {
		t.Fatalf("the configuration that the simulator wrote has no provider contoso")
	}
	secret, err := os.ReadFile(s.provider.ClientSecretFile)
	if err != nil {
		t.Fatal(err)
	}
	s.secret = strings.TrimSpace(string(secret))
	return s
}

// deployment is a folder with a configuration file, as an administrator has it, and what the gateway keeps there.
// All logins but one have the application's grant, so that nobody has to sign in to Entra first.
type deployment struct {
	folder    string
	config    string
	authority *certs.Authority
	replies   strings.Builder // all that clients were told, for the search for secrets
}

// upstreams are where a deployment's provider is; a test replaces what it wants to be elsewhere.
type upstreams struct {
	authority, imap, smtp string
	caFile                string
}

// upstreams gives the simulator as a provider.
func (s *simulator) upstreams() upstreams {
	return upstreams{authority: s.Authority, imap: s.IMAP, smtp: s.SMTP, caFile: s.CAFile}
}

// deploy writes a configuration in which alice may use both protocols and the copier SMTP alone; scans-reader opens the
// copier's mailbox. The shared mailbox helpdesk is opened by alice's own token, for which she has to enrol.
func deploy(t *testing.T, s *simulator, up upstreams) (*deployment, *gateway) {
	t.Helper()
	d := &deployment{folder: t.TempDir(), authority: authority(t)}
	g := &gateway{ready: ready{
		IMAP: freeAddress(t), IMAPS: freeAddress(t), Submission: freeAddress(t), SMTPS: freeAddress(t),
		CAFile: write(t, t.TempDir(), "ca.pem", string(d.authority.RootPEM())),
	}}
	cert, key := issue(t, d.authority, d.folder)
	d.config = write(t, d.folder, "postern.yaml", fmt.Sprintf(`domain: localhost
store: sqlite:postern.db
keys_file: postern.keys
audit_file: postern.audit
certificates:
  - files: {cert: %q, key: %q}
providers:
  contoso:
    kind: microsoft
    tenant: %q
    client_id: %q
    client_secret_file: %q
    endpoints: {authority: %q, imap: %q, smtp: %q, ca_file: %q}
listeners:
  - {protocol: imap, address: %q, tls: starttls}
  - {protocol: imap, address: %q, tls: implicit}
  - {protocol: smtp, address: %q, tls: starttls}
  - {protocol: smtp, address: %q, tls: implicit}
policies:
  person: {protocols: [imap, smtp], send: {delivery: direct}}
  device: {protocols: [smtp]}
users:
  - {login: alice@contoso.example, provider: contoso, grant: application, policy: person}
  - {login: copier-3, mailbox: scans@contoso.example, provider: contoso, grant: application, policy: device}
  - {login: helpdesk@contoso.example, account: alice@contoso.example, provider: contoso, grant: delegated, policy: person}
  - {login: scans-reader, mailbox: scans@contoso.example, provider: contoso, grant: application, policy: person}
`, cert, key, s.provider.Tenant, s.provider.ClientID, write(t, d.folder, secretFile, s.secret+"\n"),
		up.authority, up.imap, up.smtp, up.caFile, g.IMAP, g.IMAPS, g.Submission, g.SMTPS))
	return d, g
}

// serve runs the gateway of a deployment, with further arguments, and issues an app password to each login.
func (d *deployment) serve(t *testing.T, g *gateway, program string, more ...string) {
	t.Helper()
	g.process = start(t, program, append([]string{"serve", "-c", d.config}, more...)...)
	g.listening(t, g.IMAP, g.IMAPS, g.Submission, g.SMTPS)
	for _, user := range []login{
		{Login: "alice@contoso.example", Mailbox: "alice@contoso.example", Protocols: []string{"imap", "smtp"}},
		{Login: "copier-3", Mailbox: "scans@contoso.example", Protocols: []string{"smtp"}},
		{Login: "helpdesk@contoso.example", Mailbox: "helpdesk@contoso.example", Protocols: []string{"imap", "smtp"}},
		{Login: "scans-reader", Mailbox: "scans@contoso.example", Protocols: []string{"imap", "smtp"}},
	} {
		d.issue(t, g, program, user)
	}
}

// issue issues an app password to a login.
func (d *deployment) issue(t *testing.T, g *gateway, program string, user login) {
	t.Helper()
	issued := start(t, program, "password", "issue", user.Login, "--label", "e2e", "--json", "-c", d.config)
	var answer struct{ Login, Password string }
	if err := json.Unmarshal([]byte(issued.line(t)), &answer); err != nil {
		t.Fatalf("what `password issue` prints is not JSON: %v", err)
	}
	<-issued.ended
	issued.stop(t)
	d.replies.WriteString(issued.stderr.String())
	if answer.Login != user.Login || answer.Password == "" {
		t.Fatalf("`password issue %s` gave login %q", user.Login, answer.Login)
	}
	user.Password = answer.Password
	g.Users = append(g.Users, user)
}

// named gives a login of a deployment.
func (g *gateway) named(t *testing.T, name string) login {
	t.Helper()
	for _, user := range g.Users {
		if user.Login == name {
			return user
		}
	}
	t.Fatalf("no login %q", name)
	return login{}
}

// bundle writes certificates of several authorities into one file, as ca_file takes them.
func bundle(t *testing.T, caFile string, others ...*certs.Authority) string {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range others {
		pem = append(append(pem, '\n'), a.RootPEM()...)
	}
	return write(t, t.TempDir(), "bundle.pem", string(pem))
}

// auditFile gives the path of the audit log.
func (d *deployment) auditFile() string { return filepath.Join(d.folder, "postern.audit") }
