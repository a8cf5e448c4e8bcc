package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"postern/certs"
	"postern/internal/sim"
)

// contoso is the simulator with a folder beside it that holds what a gateway needs to work with it: certificates, the
// application's secret, and a configuration.
type contoso struct {
	*sim.Sim
	Folder string
}

// places are the addresses to listen on, as flags give them; empty means a free port of the loopback address.
type places struct {
	imap, smtp, entra string // of the simulator
	tokenLife         time.Duration
}

// startContoso starts the simulator and fills the folder. The gateway is to listen as listeners and portal say.
func startContoso(folder string, at places, listeners []gatewayListener, portal string, log *slog.Logger) (*contoso, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	authority, err := certs.NewAuthority("Postern demo")
	if err != nil {
		return nil, err
	}
	certificate, certPEM, keyPEM, err := authority.Issue("localhost", "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	simulator, err := sim.Start(sim.Options{
		Certificate: certificate, IMAPAddress: at.imap, SMTPAddress: at.smtp, EntraAddress: at.entra, TokenLife: at.tokenLife, Log: log,
	})
	if err != nil {
		return nil, err
	}
	c := &contoso{Sim: simulator, Folder: folder}
	for name, content := range map[string][]byte{
		"ca.pem": authority.RootPEM(), "mail.pem": certPEM, "mail.key": keyPEM, "client.secret": []byte(simulator.ClientSecret().Reveal() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return nil, c.closeAfter(err)
		}
	}
	if err := c.writeConfig(listeners, portal); err != nil {
		return nil, c.closeAfter(err)
	}
	return c, nil
}

func (c *contoso) closeAfter(err error) error {
	_ = c.Close()
	return err
}

// configPath is the configuration's place, and caPath that of the certificate authority that everything here is
// certified by.
func (c *contoso) configPath() string { return filepath.Join(c.Folder, "postern.yaml") }
func (c *contoso) caPath() string     { return filepath.Join(c.Folder, "ca.pem") }

// gatewayListener is a listener of the configuration.
type gatewayListener struct{ Protocol, TLS, Address string }

// demoListeners are those of the demo: every way in that mail clients use.
func demoListeners(imap, imaps, submission, smtps string) []gatewayListener {
	return []gatewayListener{
		{"imap", "starttls", imap}, {"imap", "implicit", imaps}, {"smtp", "starttls", submission}, {"smtp", "implicit", smtps},
	}
}

var configTemplate = template.Must(template.New("").Parse(`# Postern with its simulator of Exchange Online and Entra ID. docs/configuration.md explains every setting.
domain: localhost

certificates:
  - files: {cert: mail.pem, key: mail.key}

providers:
  contoso:
    kind: microsoft
    tenant: {{.Tenant}}
    client_id: {{.ClientID}}
    client_secret_file: client.secret
    endpoints: # the simulator's; without this, the real Exchange Online
      authority: {{.Authority}}
      imap: {{.IMAP}}
      smtp: {{.SMTP}}
      ca_file: ca.pem

listeners:
{{- range .Listeners}}
  - {protocol: {{.Protocol}}, address: "{{.Address}}", tls: {{.TLS}}}
{{- end}}

portal:
  address: "{{.Portal}}"
  administration:
    administrators: [bob@{{.Tenant}}]

policies:
  person:
    protocols: [imap, smtp]
    limits: {connections: 10}
  device:
    protocols: [smtp]
    limits: {connections: 3}

users:
  - {login: alice@{{.Tenant}}, provider: contoso, grant: delegated, policy: person}
  - {login: helpdesk@{{.Tenant}}, account: alice@{{.Tenant}}, provider: contoso, grant: delegated, policy: person} # a shared mailbox
  - {login: copier-3, mailbox: scans@{{.Tenant}}, provider: contoso, grant: application, policy: device}
`))

// writeConfig writes the configuration of a gateway that works with the simulator.
func (c *contoso) writeConfig(listeners []gatewayListener, portal string) error {
	file, err := os.OpenFile(c.configPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = configTemplate.Execute(file, map[string]any{
		"Tenant": c.domain(), "ClientID": sim.ClientID, "Authority": c.Authority(),
		"IMAP": c.Exchange.IMAPAddress(), "SMTP": c.Exchange.SMTPAddress(), "Listeners": listeners, "Portal": portal,
	})
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", c.configPath(), err)
	}
	return nil
}

// auditPath is the place of the gateway's audit log.
func (c *contoso) auditPath() string { return filepath.Join(c.Folder, "postern.audit") }

// domain is the tenant's domain.
func (c *contoso) domain() string { return c.Tenant.Domains[0] }
