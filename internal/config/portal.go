package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Portal says where the pages are and who looks after the gateway on them.
type Portal struct {
	Address        string         `yaml:"address" jsonschema_description:"host:port on which the pages are served, or :port for every address of the machine. Always with TLS, and the gateway's certificates."`
	URL            string         `yaml:"url,omitempty" jsonschema_description:"The https URL by which browsers reach the pages, without a path. Default https:// with the domain and the port of address."`
	Networks       []netip.Prefix `yaml:"networks,omitempty" jsonschema_description:"From where the pages can be reached, such as 10.0.0.0/8. Nothing means from everywhere."`
	Administration Administration `yaml:"administration,omitempty" jsonschema_description:"Who is more than a user of the pages."`
}

// Administration says who has which role. People are named by their account, such as alice@contoso.com, or object id.
type Administration struct {
	Networks       []netip.Prefix `yaml:"networks,omitempty" jsonschema_description:"From where roles count; from elsewhere everybody is a user. Nothing means from everywhere."`
	Administrators []string       `yaml:"administrators,omitempty" jsonschema_description:"Who may see everything, lock logins, cut sessions off, and issue and revoke the app passwords of devices: account names such as alice@contoso.com, or object ids of Entra."`
	Operators      []string       `yaml:"operators,omitempty" jsonschema_description:"Who may see logins and sessions, lock logins, cut sessions off and revoke app passwords."`
	Auditors       []string       `yaml:"auditors,omitempty" jsonschema_description:"Who may see everything and change nothing."`
}

// Origin gives the URL by which browsers reach the pages, for the address at which they are served in fact: with port 0
// in the file that is known only once they are. The domain is the gateway's.
func (p *Portal) Origin(domain string, served net.Addr) string {
	if p.URL != "" {
		return p.URL
	}
	_, port, _ := net.SplitHostPort(served.String()) // a listener's address has a port
	if port == "443" {
		return "https://" + domain
	}
	return "https://" + domain + ":" + port
}

func (v *validator) portal() {
	p := v.config.Portal
	if p == nil {
		return
	}
	if err := checkAddress(p.Address, true); err != nil {
		v.wrong("portal.address", "%v", err)
	} else if i := slices.IndexFunc(v.config.Listeners, func(l Listener) bool { return l.Address == p.Address }); i >= 0 && !strings.HasSuffix(p.Address, ":0") {
		v.wrong("portal.address", "%s is the address of listeners[%d] already", p.Address, i)
	}
	if p.URL != "" {
		p.URL = strings.ToLower(strings.TrimSuffix(p.URL, "/"))
		if u, err := url.Parse(p.URL); err != nil || !isHTTPS(p.URL) || u.Path != "" || u.Port() == "0" {
			v.wrong("portal.url", "want https, a host and perhaps a port, such as https://mail.contoso.com:8443")
		}
		p.URL = strings.TrimSuffix(p.URL, ":443") // as browsers write it
	}
	for name := range v.config.Providers {
		if url.PathEscape(name) != name || name == "" {
			v.wrong("providers."+name, "with a portal the name of a provider is part of an address: want letters, digits, - and _")
		}
	}
	v.administration("portal.administration", p.Administration)
}

// administration looks at who has which role: one each.
func (v *validator) administration(path string, a Administration) {
	first := make(map[string]string) // who in lower case → where they are
	for _, list := range []struct {
		key string
		who []string
	}{{"administrators", a.Administrators}, {"operators", a.Operators}, {"auditors", a.Auditors}} {
		for i, who := range list.who {
			at := fmt.Sprintf("%s.%s[%d]", path, list.key, i)
			earlier, twice := first[strings.ToLower(who)]
			switch {
			case IsAddress(who) && len(v.config.Providers) > 1:
				v.wrong(at, "there are several providers, and %q could be somebody at each of them; give the person's object id: az ad user show --id %s --query id", who, who)
			case !IsAddress(who) && !guid.MatchString(who):
				v.wrong(at, "%q is nobody; want an account such as alice@contoso.com, or the object id of a person", who)
			case twice:
				v.wrong(at, "%s is in %s already; keep one of them", who, earlier)
			default:
				first[strings.ToLower(who)] = at
			}
		}
	}
}
