package config

import (
	"strings"
)

// Provider is where tokens come from and where mail goes: a Microsoft tenant.
type Provider struct {
	Name     string `yaml:"-"`
	Kind     string `yaml:"kind" jsonschema:"enum=microsoft" jsonschema_description:"What it is: microsoft."`
	Tenant   string `yaml:"tenant" jsonschema_description:"The tenant's id or one of its domains."`
	ClientID string `yaml:"client_id" jsonschema_description:"The application (client) id of the app registration."`

	ClientSecretFile            string `yaml:"client_secret_file,omitempty" jsonschema_description:"A file with the application's secret. Others may not be able to read it."`
	ClientSecretEnv             string `yaml:"client_secret_env,omitempty" jsonschema_description:"Instead: an environment variable with the secret."`
	ClientSecretCredential      string `yaml:"client_secret_credential,omitempty" jsonschema_description:"Instead: the name of a systemd credential with the secret."`
	ClientSecretExpires         Date   `yaml:"client_secret_expires,omitempty" jsonschema_description:"The day on which the secret ends, such as 2027-03-01, for postern forecast. Entra shows it when the secret is made; the secret itself does not tell."`
	ClientCertificateFile       string `yaml:"client_certificate_file,omitempty" jsonschema_description:"Instead of a secret: a PEM file with the application's certificate and its RSA key."`
	ClientCertificateCredential string `yaml:"client_certificate_credential,omitempty" jsonschema_description:"Instead: the name of a systemd credential with certificate and key."`

	ClientAssertionFile string `yaml:"client_assertion_file,omitempty" jsonschema_description:"Instead of a secret: a file in which the platform keeps a token that Entra trusts (workload identity federation). It is read for each request, so that the platform may renew it."`
	ManagedIdentity     string `yaml:"managed_identity,omitempty" jsonschema_description:"Instead of a secret, on a machine in Azure: system for the machine's own identity, or the client id of one that is assigned to it. Entra has to trust it as a federated credential of the application."`

	Cloud        string `yaml:"cloud,omitempty" jsonschema:"enum=worldwide,enum=gcc-high,enum=dod,enum=china" jsonschema_description:"The Microsoft cloud: worldwide (also GCC; the default), gcc-high, dod or china."`
	IMAPSessions int    `yaml:"imap_sessions,omitempty" jsonschema_description:"How many IMAP sessions one mailbox may have at once; further ones are refused before upstream is asked. Default 20, Exchange Online's own limit; none where endpoints.imap names another server."`

	AuthenticationContexts map[string]string `yaml:"authentication_contexts,omitempty" jsonschema_description:"Authentication contexts of Entra that prove MFA, such as {c1: asserted}: you assert that a Conditional Access policy guards the context and demands MFA. Entra calls a context satisfied also where no policy guards it, so evidence acrs:c1 counts for the contexts that are here, and for no others."`
	// What Exchange Online allows a mailbox to send (reference C). It holds wherever endpoints.smtp leads.
	SMTPConnections int `yaml:"smtp_connections,omitempty" jsonschema_description:"How many messages of one mailbox may be on their way to upstream at once. Default 3, Exchange Online's own limit."`
	SMTPMessages    int `yaml:"smtp_messages_per_minute,omitempty" jsonschema_description:"How many messages of one mailbox go to upstream in any 60 seconds. Default 30, Exchange Online's own limit."`
	SMTPRecipients  int `yaml:"smtp_recipients_per_day,omitempty" jsonschema_description:"How many recipients the messages of one mailbox have in 24 hours. Default 10000, Exchange Online's own limit."`

	Endpoints Endpoints `yaml:"endpoints,omitempty" jsonschema_description:"Other places than the cloud's own, for tests and special networks. What is left out stays the cloud's."`
}

// Endpoints are where a provider's services are.
type Endpoints struct {
	Authority string `yaml:"authority,omitempty" jsonschema_description:"The https URL that signs people in; the tenant is added where it has no path."`
	IMAP      string `yaml:"imap,omitempty" jsonschema_description:"host:port of IMAP with implicit TLS."`
	SMTP      string `yaml:"smtp,omitempty" jsonschema_description:"host:port of SMTP submission with STARTTLS."`
	Resource  string `yaml:"resource,omitempty" jsonschema_description:"The https URL that the scopes begin with."`
	CAFile    string `yaml:"ca_file,omitempty" jsonschema_description:"Root certificates in PEM to trust there instead of the system's."`
}

// Resolved are a provider's endpoints with nothing left out.
type Resolved struct {
	Authority           string // https URL with the tenant
	IMAP, SMTP          string // host:port
	DelegatedResource   string // what delegated scopes begin with
	ApplicationResource string // what the application's scope begins with
	TokenExchange       string // what a managed identity's token is for
	CAFile              string // empty for the system's roots
}

// clouds are the places of reference A.1. What a managed identity of another cloud than the first is asked for is unverified.
// Where two hosts are in use for the mail resource, delegated scopes have the
// one that Microsoft's documentation shows and the application's scope the one that is demanded (reference A.3).
var clouds = map[string]Resolved{
	"worldwide": {
		Authority: "https://login.microsoftonline.com", IMAP: "outlook.office365.com:993", SMTP: "smtp.office365.com:587",
		DelegatedResource: "https://outlook.office.com", ApplicationResource: "https://outlook.office365.com",
		TokenExchange: "api://AzureADTokenExchange",
	},
	"gcc-high": {
		Authority: "https://login.microsoftonline.us", IMAP: "outlook.office365.us:993", SMTP: "outlook.office365.us:587",
		DelegatedResource: "https://outlook.office365.us", ApplicationResource: "https://outlook.office365.us",
		TokenExchange: "api://AzureADTokenExchangeUSGov",
	},
	"dod": { // which resource host DoD takes is unverified: the sources disagree (reference A.1)
		Authority: "https://login.microsoftonline.us", IMAP: "outlook-dod.office365.us:993", SMTP: "outlook-dod.office365.us:587",
		DelegatedResource: "https://outlook-dod.office365.us", ApplicationResource: "https://outlook-dod.office365.us",
		TokenExchange: "api://AzureADTokenExchangeUSGov",
	},
	"china": {
		Authority: "https://login.partner.microsoftonline.cn", IMAP: "partner.outlook.cn:993", SMTP: "smtp.partner.outlook.cn:587",
		DelegatedResource: "https://partner.outlook.cn", ApplicationResource: "https://partner.outlook.cn",
		TokenExchange: "api://AzureADTokenExchangeChina",
	},
}

// Resolve gives the provider's endpoints: its own where the file has them, its cloud's elsewhere.
func (p *Provider) Resolve() Resolved {
	cloud := p.Cloud
	if cloud == "" {
		cloud = "worldwide"
	}
	r := clouds[cloud]
	r.CAFile = p.Endpoints.CAFile
	for _, own := range []struct {
		value string
		into  *string
	}{
		{p.Endpoints.Authority, &r.Authority}, {p.Endpoints.IMAP, &r.IMAP}, {p.Endpoints.SMTP, &r.SMTP},
		{p.Endpoints.Resource, &r.DelegatedResource}, {p.Endpoints.Resource, &r.ApplicationResource},
	} {
		if own.value != "" {
			*own.into = own.value
		}
	}
	r.Authority = strings.TrimSuffix(r.Authority, "/")
	if strings.Count(r.Authority, "/") == 2 { // https://host
		r.Authority += "/" + p.Tenant
	}
	return r
}

// Asserted is what the administrator says of an authentication context: that a policy of Entra's guards it and demands
// MFA. Nothing else is known yet: Postern does not read the tenant's policies.
const Asserted = "asserted"

// Asserts reports whether an authentication context, such as c1, proves MFA at this provider.
func (p *Provider) Asserts(context string) bool { return p.AuthenticationContexts[context] == Asserted }
