package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"postern/internal/secret"
)

// maxFile bounds a file of certificates or of a key, in bytes; a long chain has 20 KB.
const maxFile = 1 << 20

// Pair is a certificate with its private key, as two files in PEM.
type Pair struct {
	// Cert is the path of the chain: the server's own certificate first, then the intermediates.
	Cert string
	// Key is the path of the private key, not encrypted, in a file that nobody else can read.
	Key string
}

// files is the source of a pair.
type files struct {
	pair   Pair
	domain string
	now    func() time.Time

	certPEM, keyPEM []byte // as they were when the certificate was taken up
	certificate     *tls.Certificate
}

// Files makes a source of a pair, which it reads again whenever it is asked for something newer. domain is the name that a
// new certificate has to go on with if the one before had it; empty where there is no such name.
func Files(pair Pair, domain string) Source { return newFiles(pair, domain, time.Now) }

func newFiles(pair Pair, domain string, now func() time.Time) *files {
	return &files{pair: pair, domain: domain, now: now}
}

// String is of [Source].
func (f *files) String() string { return "file " + f.pair.Cert }

// Certificates is of [Source].
func (f *files) Certificates() []*tls.Certificate {
	if f.certificate == nil {
		return nil
	}
	return []*tls.Certificate{f.certificate}
}

// Refresh is of [Source]. It is the content that is compared and not the time of change: certificates come by rename, by
// symbolic link and by clocks that are wrong.
func (f *files) Refresh(context.Context) error {
	certPEM, keyPEM, err := f.pair.read()
	if err != nil {
		return err
	}
	if f.certificate != nil && bytes.Equal(certPEM, f.certPEM) && bytes.Equal(keyPEM, f.keyPEM) {
		return nil
	}
	fresh, err := f.pair.parse(certPEM, keyPEM)
	if err != nil {
		return err
	}
	if err := inForce(fresh.Leaf, f.now()); err != nil {
		return fmt.Errorf("certificate %q: %w", f.pair.Cert, err)
	}
	if f.certificate != nil {
		if err := replaces(f.certificate.Leaf, fresh.Leaf, f.domain); err != nil {
			return fmt.Errorf("certificate %q: %w", f.pair.Cert, err)
		}
	}
	f.certPEM, f.keyPEM, f.certificate = certPEM, keyPEM, fresh
	return nil
}

// Look is of [Source].
func (f *files) Look(context.Context) ([]Info, error) {
	certPEM, keyPEM, err := f.pair.read()
	if err != nil {
		return nil, err
	}
	c, err := f.pair.parse(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return []Info{Describe(c.Leaf, f)}, nil
}

// read reads the files of a pair.
func (p Pair) read() (certPEM, keyPEM []byte, err error) {
	if certPEM, err = readFile(p.Cert); err != nil {
		return nil, nil, fmt.Errorf("certificate %q: %w", p.Cert, err)
	}
	if keyPEM, err = readKey(p.Key); err != nil {
		return nil, nil, fmt.Errorf("key %q: %w", p.Key, err)
	}
	return certPEM, keyPEM, nil
}

// parse makes the certificate of what was read.
func (p Pair) parse(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	if block, _ := pem.Decode(keyPEM); block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return nil, fmt.Errorf("key %q: it is encrypted with a passphrase: decrypt it, for example with openssl pkey", p.Key)
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %q with key %q: %w", p.Cert, p.Key, err)
	}
	return &c, nil
}

// inForce says what is wrong with the time of a certificate.
func inForce(leaf *x509.Certificate, now time.Time) error {
	const day = "2006-01-02 15:04 MST"
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s: check the clock of this machine", leaf.NotBefore.Format(day))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired on %s: renew it", leaf.NotAfter.Format(day))
	}
	return nil
}

// replaces says why a certificate is not taken for the next one of another: the wrong file was put in its place.
func replaces(old, fresh *x509.Certificate, domain string) error {
	if domain != "" && old.VerifyHostname(domain) == nil && fresh.VerifyHostname(domain) != nil {
		return fmt.Errorf("it is for %s, and not for %s as the one before it: put the right one there",
			nameList(fresh), domain)
	}
	before := names(old)
	if len(before) > 0 && !slices.ContainsFunc(before, func(n string) bool { return slices.Contains(names(fresh), n) }) {
		return fmt.Errorf("it is for %s, and the one before it was for %s: put the right one there, or restart the gateway if this is what is wanted",
			nameList(fresh), nameList(old))
	}
	return nil
}

func nameList(c *x509.Certificate) string {
	all := names(c)
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fileCause(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	return content, fileCause(err)
}

// readKey reads a private key that others cannot.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileCause(err)
	}
	if err := secret.Exposed(info); err != nil {
		return nil, err
	}
	return readFile(path)
}

// fileCause gives what the operating system said, without the path, which the message has already.
func fileCause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
