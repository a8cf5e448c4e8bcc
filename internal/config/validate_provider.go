package config

import (
	"cmp"
	"crypto/x509"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

var (
	guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	// sharedTenants are Entra's names for more than one tenant.
	sharedTenants = []string{"common", "organizations", "consumers"}
)

func (v *validator) providers() {
	if len(v.config.Providers) == 0 {
		v.wrong("providers", "there is none; a gateway needs one at least")
	}
	for _, name := range slices.Sorted(maps.Keys(v.config.Providers)) {
		p := v.config.Providers[name]
		p.Name = name
		v.provider("providers."+name, p)
	}
}

func (v *validator) provider(path string, p *Provider) {
	v.oneOf(path+".kind", p.Kind, []string{"microsoft"})
	switch {
	case slices.Contains(sharedTenants, strings.ToLower(p.Tenant)):
		v.wrong(path+".tenant", "%q is not one tenant; accounts of others could sign in. Give the tenant's id or domain", p.Tenant)
	case !guid.MatchString(p.Tenant) && !(isHostName(p.Tenant) && strings.Contains(p.Tenant, ".")):
		v.wrong(path+".tenant", "want the tenant's id or one of its domains, such as contoso.onmicrosoft.com")
	}
	if !guid.MatchString(p.ClientID) {
		v.wrong(path+".client_id", "want the application (client) id, a GUID; az ad app list --display-name Postern --query [].appId shows it")
	}
	if p.Cloud != "" {
		v.oneOf(path+".cloud", p.Cloud, slices.Sorted(maps.Keys(clouds)))
	}
	v.endpoints(path+".endpoints", &p.Endpoints)
	p.SMTPConnections = cmp.Or(p.SMTPConnections, exchangeConnections)
	p.SMTPMessages = cmp.Or(p.SMTPMessages, exchangeMessages)
	p.SMTPRecipients = cmp.Or(p.SMTPRecipients, exchangeRecipients)
	if p.IMAPSessions == 0 && p.Endpoints.IMAP == "" {
		p.IMAPSessions = exchangeSessions
	}
	for _, context := range slices.Sorted(maps.Keys(p.AuthenticationContexts)) {
		at := path + ".authentication_contexts." + context
		if !isEvidence("acrs:" + context) {
			v.wrong(at, "%q is no authentication context; want c1 to c99", context)
		}
		v.oneOf(at, p.AuthenticationContexts[context], []string{Asserted})
	}
	v.credential(path, p)
}

// What Exchange Online lets one mailbox have (reference C).
const (
	exchangeSessions    = 20 // of IMAP
	exchangeConnections = 3  // of SMTP, in the middle of a message
	exchangeMessages    = 30 // in a minute
	exchangeRecipients  = 10000
)

// credential looks at where the application's credential is, whether it is there, and that there is one at most.
func (v *validator) credential(path string, p *Provider) {
	p.ClientSecretFile, p.ClientCertificateFile = v.absolute(p.ClientSecretFile), v.absolute(p.ClientCertificateFile)
	p.ClientAssertionFile = v.absolute(p.ClientAssertionFile)
	if !p.ClientSecretExpires.IsZero() && len(p.secretSources()) == 0 {
		v.wrong(path+".client_secret_expires", "there is no secret here, and other credentials carry their end themselves; leave this out")
	}
	sources := p.credentialSources()
	if len(sources) > 1 {
		v.wrong(path+"."+sources[1].key, "the application's credential is named by %s already; keep one of them", sources[0].key)
		return
	}
	for _, source := range sources {
		if _, err := source.read(); err != nil {
			v.wrong(path+"."+source.key, "%v", err)
		}
	}
}

func (v *validator) endpoints(path string, e *Endpoints) {
	for _, address := range []struct{ key, value string }{{"imap", e.IMAP}, {"smtp", e.SMTP}} {
		if address.value == "" {
			continue
		}
		if err := checkAddress(address.value, false); err != nil {
			v.wrong(path+"."+address.key, "%v", err)
		}
	}
	for _, address := range []struct{ key, value string }{{"authority", e.Authority}, {"resource", e.Resource}} {
		if address.value != "" && !isHTTPS(address.value) {
			v.wrong(path+"."+address.key, "want an https URL")
		}
	}
	v.caFile(path+".ca_file", &e.CAFile)
}

// caFile looks at a file of root certificates, if one is named.
func (v *validator) caFile(path string, file *string) {
	if *file == "" {
		return
	}
	*file = v.absolute(*file)
	pem, err := os.ReadFile(*file)
	switch {
	case err != nil:
		v.wrong(path, "%v", v.fileError(err))
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		v.wrong(path, "%s has no certificate in PEM", v.shown(*file))
	}
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
