package config

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"postern/internal/secret"
)

// certificates looks at where certificates come from.
func (v *validator) certificates() {
	owners := make(map[string]int) // public key → index of the first certificate that has it
	private := make(map[bool]int)  // legacy_tls → index of the entry with the private CA
	var named []namer
	for i, certificate := range v.config.Certificates {
		path := fmt.Sprintf("certificates[%d]", i)
		if n := certificate.sources(); n != 1 {
			v.wrong(path, "want one of files: {cert: FILE, key: FILE}, private_ca: {} and acme: {…}")
			continue
		}
		switch {
		case certificate.PrivateCA != nil:
			v.names(path+".private_ca.names", certificate.PrivateCA.Names)
			if first, twice := private[certificate.LegacyTLS]; twice {
				v.wrong(path+".private_ca", "certificates[%d] has the private CA already; put all names there", first)
			}
			private[certificate.LegacyTLS] = i
			if !certificate.LegacyTLS {
				named = append(named, names(v.config.PrivateNames(certificate.PrivateCA)))
			}
		case certificate.ACME != nil:
			v.acme(path+".acme", certificate.ACME, certificate.LegacyTLS)
			named = append(named, names(certificate.ACME.Names))
		default:
			if leaf := v.filesOf(i, owners); leaf != nil && !certificate.LegacyTLS {
				named = append(named, leaf)
			}
		}
	}
	v.domainCertificate(named)
}

// sources counts what an entry names as the place where its certificate comes from.
func (c Certificate) sources() (n int) {
	for _, named := range []bool{c.Files != nil, c.PrivateCA != nil, c.ACME != nil} {
		if named {
			n++
		}
	}
	return n
}

// filesOf looks at an entry with files, and gives its certificate; nil where there is none.
func (v *validator) filesOf(i int, owners map[string]int) *x509.Certificate {
	certificate := v.config.Certificates[i]
	path, files := fmt.Sprintf("certificates[%d].files", i), certificate.Files
	if files.Cert == "" || files.Key == "" {
		v.wrong(path, "want {cert: FILE, key: FILE}")
		return nil
	}
	files.Cert, files.Key = v.absolute(files.Cert), v.absolute(files.Key)
	pair, ok := v.certificateFiles(path, files)
	if !ok {
		return nil
	}
	v.legacyCertificate(i, pair)
	key := string(pair.Leaf.RawSubjectPublicKeyInfo)
	first, shared := owners[key]
	if !shared {
		owners[key] = i
	} else if certificate.LegacyTLS != v.config.Certificates[first].LegacyTLS {
		v.wrong(path+".key", "it is the key of certificates[%d] as well; TLS below 1.2 can give a key away, so make one that serves nothing else", first)
	}
	return pair.Leaf
}

// names looks at what a certificate is to be for.
func (v *validator) names(path string, all []string) {
	for i, name := range all {
		_, err := netip.ParseAddr(name)
		if err != nil && !isHostName(strings.TrimPrefix(name, "*.")) {
			v.wrong(fmt.Sprintf("%s[%d]", path, i), "%q is not a name that clients connect to; want a host name, *.domain, or an address", name)
		}
		all[i] = strings.ToLower(name)
	}
}

// namer is something that has names, or has not.
type namer interface{ VerifyHostname(host string) error }

// names are what a certificate will be for.
type names []string

// VerifyHostname is as of [x509.Certificate].
func (n names) VerifyHostname(host string) error {
	return (&x509.Certificate{DNSNames: n}).VerifyHostname(host)
}

// certificateFiles reads a pair, and reports what is wrong with it.
func (v *validator) certificateFiles(path string, files *CertificateFiles) (tls.Certificate, bool) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		v.wrong(path, "%s and %s: %v", v.shown(files.Cert), v.shown(files.Key), v.fileError(err))
		return pair, false
	}
	if info, err := os.Stat(files.Key); err == nil {
		if err := secret.Exposed(info); err != nil {
			v.wrong(path+".key", "%s: %v", v.shown(files.Key), err)
		}
	}
	const day = time.DateOnly
	switch now := time.Now(); {
	case now.Before(pair.Leaf.NotBefore):
		v.wrong(path+".cert", "%s is not valid before %s: check the clock of this machine", v.shown(files.Cert), pair.Leaf.NotBefore.Format(day))
	case now.After(pair.Leaf.NotAfter):
		v.wrong(path+".cert", "%s expired on %s: renew it", v.shown(files.Cert), pair.Leaf.NotAfter.Format(day))
	}
	return pair, true
}

// domainCertificate warns when no certificate has the name that clients connect to.
func (v *validator) domainCertificate(all []namer) {
	for _, n := range all {
		if n.VerifyHostname(v.config.Domain) == nil {
			return
		}
	}
	if len(all) > 0 {
		v.warn("certificates", "none has the name %s, which is the domain: clients that connect to it and look at the certificate go away", v.config.Domain)
	}
}

// legacyCertificate looks at a certificate for listeners with legacy_tls.
func (v *validator) legacyCertificate(i int, pair tls.Certificate) {
	if !v.config.Certificates[i].LegacyTLS {
		return
	}
	if _, ok := pair.PrivateKey.(*rsa.PrivateKey); !ok {
		v.warn(fmt.Sprintf("certificates[%d].legacy_tls", i), "its key is not RSA; few devices of that time know anything else")
	}
}
