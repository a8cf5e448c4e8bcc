package setup

import (
	"strings"
	"text/template"
)

// providerName is what the one provider is called.
const providerName = "m365"

// portalPort is where the portal is, so that it needs no right to a port below 1024.
const portalPort = "8443"

var configText = template.Must(template.New("").Parse(`# Postern's configuration. Look at it with: postern config check
# Every setting: docs/configuration.md. Try it all, up to the mailboxes: postern check

# The name by which copiers and people reach this machine. Certificates are for this name.
domain: {{.Domain}}
{{- if .StateDir}}

# What the gateway keeps: written by it alone, and backed up.
store: "sqlite:{{.StateDir}}/postern.db"
keys_file: "{{.StateDir}}/postern.keys"
audit_file: "{{.StateDir}}/postern.audit"
{{- end}}

certificates:
{{- if .Cert}}
  - files: {cert: {{.Cert}}, key: {{.Key}}} # read again when they change
{{- else}}
  # From an authority that the gateway keeps itself. What verifies certificates has to be given its root, once:
  # postern certificate root. For a name that the internet knows put this in its place: acme: {agree_to_terms: true}
  - private_ca: {}
{{- end}}

providers:
  {{.Provider}}:
    kind: microsoft
    tenant: {{.Tenant}}
    client_id: {{.ClientID}}{{if .NoClient}} # ← put the appId here that az ad app create prints{{end}}
{{- if .SecretFile}}
    client_secret_file: {{.SecretFile}}
{{- else}}
    client_certificate_file: app.pem # Entra knows its other half, app.crt
{{- end}}
{{- if .Cloud}}
    cloud: {{.Cloud}}
{{- end}}
{{- if .Context}}
    # You say that a Conditional Access policy guards this authentication context and demands MFA: Entra does not check it.
    authentication_contexts: { {{.Context}}: asserted }
{{- end}}
{{- if .Endpoints}}
    endpoints: # other places than Microsoft's
{{- range .Endpoints}}
      {{.}}
{{- end}}
{{- end}}

listeners:
  - {protocol: smtp, address: ":587", tls: starttls}
  - {protocol: smtp, address: ":465", tls: implicit}
{{- if .OldDevices}}
  # For devices that know no TLS 1.2, or none at all. Only from their networks.
  - {protocol: smtp, address: ":25", tls: optional, legacy_tls: true, networks: [{{.NetworkList}}]}
{{- end}}
{{- if .People}}
  - {protocol: imap, address: ":993", tls: implicit}
  - {protocol: imap, address: ":143", tls: starttls}

# Where people make their own app passwords, and administrators look after all of them.
portal:
  address: ":{{.PortalPort}}"
  administration:
    administrators: [{{.Administrator}}]
{{- end}}

policies:
{{- if .Mailbox}}
  device: # copiers, scanners, programs: they send, and only from where they are
    protocols: [smtp]
{{- if .NetworkList}}
    networks: [{{.NetworkList}}]
{{- else}}
    # networks: [10.0.8.0/24] # from where they may sign in
{{- end}}
    limits: {connections: 3}
    send: {from: rewrite} # the mailbox takes the place of whatever sender the device has
{{- end}}
{{- if .People}}
  person:
    protocols: [imap, smtp]
    mfa: {evidence: [totp, passkey{{if .Context}}, "acrs:{{.Context}}"{{end}}], max_age: 90d}
    limits: {connections: 10}
{{- end}}

users:
{{- if .Mailbox}}
  - {login: {{.Login}}, mailbox: {{.Mailbox}}, provider: {{.Provider}}, grant: application, policy: device}
{{- end}}
{{- if .People}}
  - {match: "*@{{.PeopleDomain}}", provider: {{.Provider}}, grant: delegated, policy: person}
{{- end}}
`))

// Configuration gives the text of the configuration. The answers have been completed.
func (a *Answers) Configuration() (string, error) { return fill(configText, a) }

// fill fills in a text.
func fill(text *template.Template, a *Answers) (string, error) {
	var networks, endpoints []string
	for _, n := range a.Networks {
		networks = append(networks, n.String())
	}
	for _, e := range [][2]string{{"authority", a.Authority}, {"imap", a.IMAP}, {"smtp", a.SMTP}, {"ca_file", a.CAFile}} {
		if e[1] != "" {
			endpoints = append(endpoints, e[0]+": "+`"`+e[1]+`"`)
		}
	}
	var b strings.Builder
	err := text.Execute(&b, struct {
		*Answers
		Provider, PortalPort, NetworkList, PeopleDomain string
		Endpoints                                       []string
		NoClient                                        bool
	}{a, providerName, portalPort, strings.Join(networks, ", "), a.peopleDomain(), endpoints, a.ClientID == UnknownClient})
	return b.String(), err
}
