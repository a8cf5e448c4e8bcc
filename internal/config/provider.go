package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern/internal/secret"
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

	Cloud        string `yaml:"cloud,omitempty" jsonschema:"enum=worldwide,enum=gcc-high,enum=dod,enum=china" jsonschema_description:"The Microsoft cloud: worldwide (also GCC; the default), gcc-high, dod or china."`
	IMAPSessions int    `yaml:"imap_sessions,omitempty" jsonschema_description:"How many IMAP sessions one mailbox may have at once; further ones are refused before upstream is asked. Default 20, Exchange Online's own limit; none where endpoints.imap names another server."`

	AuthenticationContexts map[string]string `yaml:"authentication_contexts,omitempty" jsonschema_description:"Authentication contexts of Entra that prove MFA, such as {c1: asserted}: you assert that a Conditional Access policy guards the context and demands MFA. Entra calls a context satisfied also where no policy guards it, so evidence acrs:c1 counts for the contexts that are here, and for no others."`

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
	CAFile              string // empty for the system's roots
}

// clouds are the places of reference A.1. Where two hosts are in use for the mail resource, delegated scopes have the
// one that Microsoft's documentation shows and the application's scope the one that is demanded (reference A.3).
var clouds = map[string]Resolved{
	"worldwide": {
		Authority: "https://login.microsoftonline.com", IMAP: "outlook.office365.com:993", SMTP: "smtp.office365.com:587",
		DelegatedResource: "https://outlook.office.com", ApplicationResource: "https://outlook.office365.com",
	},
	"gcc-high": {
		Authority: "https://login.microsoftonline.us", IMAP: "outlook.office365.us:993", SMTP: "outlook.office365.us:587",
		DelegatedResource: "https://outlook.office365.us", ApplicationResource: "https://outlook.office365.us",
	},
	"dod": { // which resource host DoD takes is unverified: the sources disagree (reference A.1)
		Authority: "https://login.microsoftonline.us", IMAP: "outlook-dod.office365.us:993", SMTP: "outlook-dod.office365.us:587",
		DelegatedResource: "https://outlook-dod.office365.us", ApplicationResource: "https://outlook-dod.office365.us",
	},
	"china": {
		Authority: "https://login.partner.microsoftonline.cn", IMAP: "partner.outlook.cn:993", SMTP: "smtp.partner.outlook.cn:587",
		DelegatedResource: "https://partner.outlook.cn", ApplicationResource: "https://partner.outlook.cn",
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

// HasCredential reports whether the application has a secret or a certificate of its own.
func (p *Provider) HasCredential() bool {
	return len(p.secretSources())+len(p.certificateSources()) > 0
}

// secretSource is one place where a secret can be.
type secretSource struct {
	key  string // the setting that names it
	name string // what the setting says
	read func() (string, error)
}

func (p *Provider) secretSources() []secretSource {
	return configured(
		secretSource{"client_secret_file", p.ClientSecretFile, func() (string, error) { return readSecretFile(p.ClientSecretFile) }},
		secretSource{"client_secret_env", p.ClientSecretEnv, func() (string, error) { return readEnvironment(p.ClientSecretEnv) }},
		secretSource{"client_secret_credential", p.ClientSecretCredential, func() (string, error) { return readCredential(p.ClientSecretCredential) }},
	)
}

func (p *Provider) certificateSources() []secretSource {
	return configured(
		secretSource{"client_certificate_file", p.ClientCertificateFile, func() (string, error) { return readSecretFile(p.ClientCertificateFile) }},
		secretSource{"client_certificate_credential", p.ClientCertificateCredential, func() (string, error) { return readCredential(p.ClientCertificateCredential) }},
	)
}

func configured(sources ...secretSource) []secretSource {
	var used []secretSource
	for _, source := range sources {
		if source.name != "" {
			used = append(used, source)
		}
	}
	return used
}

// ClientSecret reads the application's secret from where the file says; empty when it names none.
func (p *Provider) ClientSecret() (secret.Text, error) { return readFirst(p.secretSources()) }

// ClientCertificate reads the application's certificate and key, in PEM; empty when the file names none.
func (p *Provider) ClientCertificate() (secret.Text, error) { return readFirst(p.certificateSources()) }

func readFirst(sources []secretSource) (secret.Text, error) {
	if len(sources) == 0 {
		return secret.Text{}, nil
	}
	content, err := sources[0].read()
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(content), nil
}

// The messages of what follows do not repeat what the setting says: people paste the secret itself there.

// readSecretFile reads a secret from a file that nobody but its owner and group can read. One line end at its end is
// not part of the secret.
func readSecretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", errors.New("everybody can read the file: run chmod 0600 on it")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	}
	return notEmpty(string(content), "the file is empty")
}

func readEnvironment(name string) (string, error) {
	return notEmpty(os.Getenv(name), "there is no environment variable of this name, or it is empty")
}

// readCredential reads a systemd credential (systemd.exec(5), LoadCredential).
func readCredential(name string) (string, error) {
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" {
		return "", errors.New("there are no systemd credentials here: CREDENTIALS_DIRECTORY is not set")
	}
	if name != filepath.Base(name) || name == "." || name == ".." {
		return "", errors.New("want a credential's name, without a path")
	}
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return "", fmt.Errorf("the credential cannot be read: %w", cause(err))
	}
	return notEmpty(string(content), "the credential is empty")
}

func notEmpty(content, otherwise string) (string, error) {
	content = strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	if content == "" {
		return "", errors.New(otherwise)
	}
	return content, nil
}

// cause gives what the operating system said, without the path, which the message has already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
