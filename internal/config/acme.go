package config

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"postern/internal/secret"
)

// ACME says from which authority certificates come, and how it is shown whose names they are for.
type ACME struct {
	Names           []string         `yaml:"names,omitempty" jsonschema_description:"What the certificates are for: host names, or *.domain with challenge dns-01. Default the domain."`
	Directory       string           `yaml:"directory,omitempty" jsonschema_description:"The authority's ACME URL. Default Let's Encrypt's, https://acme-v02.api.letsencrypt.org/directory."`
	CAFile          string           `yaml:"ca_file,omitempty" jsonschema_description:"Root certificates in PEM to trust for the connection to the authority, instead of the system's."`
	Email           string           `yaml:"email,omitempty" jsonschema_description:"Where the authority may write to about the certificates."`
	AgreeToTerms    bool             `yaml:"agree_to_terms" jsonschema_description:"true: you have read the authority's terms and agree to them."`
	ExternalAccount *ExternalAccount `yaml:"external_account,omitempty" jsonschema_description:"An account that the authority has given you by other means."`
	Key             string           `yaml:"key,omitempty" jsonschema:"enum=ecdsa,enum=rsa" jsonschema_description:"ecdsa, the default, or rsa; one entry for each where old devices connect."`
	Challenge       string           `yaml:"challenge,omitempty" jsonschema:"enum=http-01,enum=tls-alpn-01,enum=dns-01" jsonschema_description:"How the authority sees that a name is yours. http-01, the default: it looks at port 80 of the name; tls-alpn-01: at port 443; dns-01: into the DNS."`
	Listen          string           `yaml:"listen,omitempty" jsonschema_description:"host:port at which the authority's look arrives, with http-01 and tls-alpn-01; opened for that time. Default :80, and for tls-alpn-01 the portal's address or :443."`
	DNS             *ACMEDNS         `yaml:"dns,omitempty" jsonschema_description:"With dns-01: how a record gets into the DNS."`
}

// ExternalAccount is an account at the authority (RFC 8555 section 7.3.4).
type ExternalAccount struct {
	KeyID   string `yaml:"key_id" jsonschema_description:"The account's key identifier."`
	KeyFile string `yaml:"key_file" jsonschema_description:"A file with the account's MAC key in base64url, as the authority gives it. Others may not be able to read it."`
}

// ACMEDNS says how a TXT record gets into the DNS: by a hook, or by dynamic updates.
type ACMEDNS struct {
	Hook        []string `yaml:"hook,omitempty" jsonschema_description:"A program with its arguments, run with present or cleanup, the record's name and its value behind them."`
	Server      string   `yaml:"server,omitempty" jsonschema_description:"Instead: host:port of a server that takes dynamic updates (RFC 2136) of the zone."`
	Zone        string   `yaml:"zone,omitempty" jsonschema_description:"The zone that the server is asked to change, such as contoso.com."`
	KeyName     string   `yaml:"key_name,omitempty" jsonschema_description:"The name of the TSIG key (HMAC-SHA256) that signs updates."`
	KeyFile     string   `yaml:"key_file,omitempty" jsonschema_description:"A file with the TSIG key in base64. Others may not be able to read it."`
	Propagation Duration `yaml:"propagation,omitempty" jsonschema:"type=string" jsonschema_description:"How long to wait until all servers of the zone have the record, such as 30s."`
}

// LetsEncrypt is the directory of who names none.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

var challenges = []string{"http-01", "tls-alpn-01", "dns-01"}

// MACKey reads the account's key.
func (e *ExternalAccount) MACKey() (secret.Text, error) {
	content, err := readSecretFile(e.KeyFile)
	return secret.New(content), err
}

// TSIGKey reads the key that signs updates; empty where there is none.
func (d *ACMEDNS) TSIGKey() (secret.Text, error) {
	if d.KeyFile == "" {
		return secret.Text{}, nil
	}
	content, err := readSecretFile(d.KeyFile)
	return secret.New(content), err
}

// acme looks at an entry with acme, and fills in its defaults.
func (v *validator) acme(path string, a *ACME, legacy bool) {
	if legacy {
		v.wrong(path, "legacy_tls does not go with it: leave the entry out, and the private CA has a certificate for such listeners, with a key that serves nothing else")
	}
	if !a.AgreeToTerms {
		v.wrong(path+".agree_to_terms", "the authority gives certificates to who agrees to its terms: read them, and write agree_to_terms: true")
	}
	a.Directory = cmp.Or(a.Directory, LetsEncrypt)
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		v.wrong(path+".directory", "want the https URL of an ACME directory, such as %s", LetsEncrypt)
	}
	v.caFile(path+".ca_file", &a.CAFile)
	if a.Email != "" && !IsAddress(a.Email) {
		v.wrong(path+".email", "%q is not an address", a.Email)
	}
	if a.Key = cmp.Or(a.Key, "ecdsa"); !slices.Contains([]string{"ecdsa", "rsa"}, a.Key) {
		v.wrong(path+".key", "%s", unknownValue(a.Key, []string{"ecdsa", "rsa"}))
	}
	if a.Challenge = cmp.Or(a.Challenge, "http-01"); !v.oneOf(path+".challenge", a.Challenge, challenges) {
		return
	}
	if len(a.Names) == 0 {
		a.Names = []string{strings.ToLower(v.config.Domain)}
	}
	v.names(path+".names", a.Names)
	for i, name := range a.Names {
		v.acmeName(fmt.Sprintf("%s.names[%d]", path, i), name, a)
	}
	v.acmePlace(path, a)
	v.externalAccount(path+".external_account", a.ExternalAccount)
}

// acmeName refuses what an authority will not give.
func (v *validator) acmeName(path, name string, a *ACME) {
	_, err := netip.ParseAddr(name)
	switch {
	case err == nil:
		v.wrong(path, "%s is an address; for addresses use private_ca", name)
	case strings.HasPrefix(name, "*.") && a.Challenge != "dns-01":
		v.wrong(path, "for %s an authority wants challenge: dns-01 (RFC 8555 section 8.4)", name)
	case a.CAFile == "" && isInternal(name):
		v.wrong(path, "no public authority gives a certificate for %s, which is no name of the internet: use private_ca, or an authority of your own with directory and ca_file", name)
	}
}

// isInternal reports whether a name cannot be one of the public DNS (RFC 6761, RFC 8375, RFC 9476).
func isInternal(name string) bool {
	last := name[strings.LastIndex(name, ".")+1:]
	return last == name || strings.HasSuffix(name, ".home.arpa") ||
		slices.Contains([]string{"local", "localhost", "internal", "lan", "home", "corp", "intranet", "test", "invalid", "example", "onion", "alt"}, last)
}

// acmePlace looks at where the authority looks.
func (v *validator) acmePlace(path string, a *ACME) {
	if a.Challenge == "dns-01" {
		if a.Listen != "" {
			v.wrong(path+".listen", "goes with http-01 and tls-alpn-01; with dns-01 the authority looks into the DNS")
		}
		v.acmeDNS(path+".dns", a.DNS)
		return
	}
	if a.DNS != nil {
		v.wrong(path+".dns", "goes with challenge: dns-01")
	}
	switch {
	case a.Listen != "":
	case a.Challenge == "http-01":
		a.Listen = ":80"
	case v.config.Portal != nil:
		a.Listen = v.config.Portal.Address
	default:
		a.Listen = ":443"
	}
	if err := checkAddress(a.Listen, true); err != nil {
		v.wrong(path+".listen", "%v", err)
	}
	for i, l := range v.config.Listeners {
		if l.Address == a.Listen {
			v.wrong(path+".listen", "%s is the address of listeners[%d], which speaks %s", a.Listen, i, l.Protocol)
		}
	}
	if p := v.config.Portal; p != nil && p.Address == a.Listen {
		switch {
		case a.Challenge == "http-01":
			v.wrong(path+".listen", "%s is the portal's address, which speaks HTTPS; the authority's look comes by HTTP, at port 80", a.Listen)
		case restricted(p.Networks):
			v.wrong(path+".listen", "the authority looks from the internet at %s, and portal.networks keeps it out: use http-01 or dns-01", a.Listen)
		}
	}
}

func (v *validator) acmeDNS(path string, d *ACMEDNS) {
	switch {
	case d == nil || len(d.Hook) == 0 && d.Server == "":
		v.wrong(path, "missing; want dns: {hook: [PROGRAM]}, or dns: {server: HOST:PORT, zone: DOMAIN, key_name: NAME, key_file: FILE}")
		return
	case len(d.Hook) > 0 && d.Server != "":
		v.wrong(path, "hook and server are two ways; keep one of them")
		return
	case len(d.Hook) > 0:
		return
	}
	if err := checkAddress(d.Server, false); err != nil {
		v.wrong(path+".server", "%v", err)
	}
	if !isHostName(d.Zone) {
		v.wrong(path+".zone", "want the zone that the server is asked to change, such as contoso.com")
	}
	if (d.KeyName == "") != (d.KeyFile == "") {
		v.wrong(path, "key_name and key_file go together")
	}
	if d.KeyFile = v.absolute(d.KeyFile); d.KeyFile != "" {
		key, err := d.TSIGKey()
		if err == nil {
			_, err = base64.StdEncoding.DecodeString(key.Reveal())
		}
		if err != nil {
			v.wrong(path+".key_file", "%s: want a key in base64, in a file that others cannot read", v.shown(d.KeyFile))
		}
	}
}

func (v *validator) externalAccount(path string, e *ExternalAccount) {
	if e == nil {
		return
	}
	if e.KeyID == "" || e.KeyFile == "" {
		v.wrong(path, "want {key_id: ID, key_file: FILE}")
		return
	}
	e.KeyFile = v.absolute(e.KeyFile)
	key, err := e.MACKey()
	if err == nil {
		_, err = base64.RawURLEncoding.DecodeString(key.Reveal())
	}
	if err != nil {
		v.wrong(path+".key_file", "%s: want the key in base64url, as the authority gives it, in a file that others cannot read", v.shown(e.KeyFile))
	}
}
