package config

import (
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"os"
)

// certificates looks at the files of the certificates.
func (v *validator) certificates() {
	owners := make(map[string]int) // public key → index of the first certificate that has it
	for i, certificate := range v.config.Certificates {
		path := fmt.Sprintf("certificates[%d].files", i)
		files := certificate.Files
		if files == nil || files.Cert == "" || files.Key == "" {
			v.wrong(path, "want {cert: FILE, key: FILE}")
			continue
		}
		files.Cert, files.Key = v.absolute(files.Cert), v.absolute(files.Key)
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			v.wrong(path, "%s and %s: %v", v.shown(files.Cert), v.shown(files.Key), v.fileError(err))
			continue
		}
		if info, err := os.Stat(files.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
			v.wrong(path+".key", "everybody can read %s: run chmod 0600 on it", v.shown(files.Key))
		}
		v.legacyCertificate(i, pair)
		key := string(pair.Leaf.RawSubjectPublicKeyInfo)
		first, shared := owners[key]
		if !shared {
			owners[key] = i
		} else if certificate.LegacyTLS != v.config.Certificates[first].LegacyTLS {
			v.wrong(path+".key", "it is the key of certificates[%d] as well; TLS below 1.2 can give a key away, so make one that serves nothing else", first)
		}
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
