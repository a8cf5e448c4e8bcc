package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Certificate is where a certificate comes from: one of files, private_ca and acme.
type Certificate struct {
	Files     *CertificateFiles `yaml:"files,omitempty" jsonschema_description:"A certificate in files. They are read again when they change."`
	PrivateCA *PrivateCA        `yaml:"private_ca,omitempty" jsonschema_description:"Certificates of a certification authority that Postern keeps in its store, for networks that have none; {} will do. Devices that verify certificates get its root: postern certificate root."`
	ACME      *ACME             `yaml:"acme,omitempty" jsonschema_description:"Certificates of an authority that speaks ACME (RFC 8555), such as Let's Encrypt; renewed by themselves."`
	LegacyTLS bool              `yaml:"legacy_tls,omitempty" jsonschema_description:"For listeners with legacy_tls, and for them alone. Its key must be its own; RSA is what old devices know. Without any, one comes from the private CA."`
}

// CertificateFiles are a certificate chain and its key in PEM.
type CertificateFiles struct {
	Cert string `yaml:"cert" jsonschema_description:"The certificate in PEM, the chain behind it."`
	Key  string `yaml:"key" jsonschema_description:"The private key in PEM. Others may not be able to use the file."`
}

// PrivateCA says what the private CA issues.
type PrivateCA struct {
	Names []string `yaml:"names,omitempty" jsonschema_description:"What clients connect to: host names, *.domain, or addresses. Default the domain, the host of portal.url, and the hosts and addresses that listeners are reached by."`
}

// CertificateNames gives what clients connect to, the domain first: where nothing else is said, certificates are for that.
func (c *Config) CertificateNames() []string {
	names := []string{c.Domain}
	add := func(host string) {
		address, err := netip.ParseAddr(host)
		if err == nil && (address.IsUnspecified() || address.Zone() != "") {
			return
		}
		if host != "" && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	if c.Portal != nil && c.Portal.URL != "" {
		if u, err := url.Parse(c.Portal.URL); err == nil {
			add(u.Hostname())
		}
	}
	for _, l := range c.Listeners {
		for _, place := range []string{l.Advertise, l.Address} {
			if host, _, err := net.SplitHostPort(place); err == nil {
				add(strings.ToLower(host))
			}
		}
	}
	return names
}

// PrivateNames gives the names for the private CA of a certificate entry; nil stands for the entry that is not written.
func (c *Config) PrivateNames(p *PrivateCA) []string {
	if p == nil || len(p.Names) == 0 {
		return c.CertificateNames()
	}
	return p.Names
}

// PrivateRootNames gives all names that the private CA has to vouch for, the domain first.
func (c *Config) PrivateRootNames() []string {
	all := c.CertificateNames()
	for _, certificate := range c.Certificates {
		if certificate.PrivateCA == nil {
			continue
		}
		for _, name := range certificate.PrivateCA.Names {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
