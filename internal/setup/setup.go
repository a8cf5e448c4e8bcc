// Package setup writes what an administrator begins with: a configuration with comments, the files that it names, and the
// commands that make the tenant fit exactly that configuration.
//
// It asks nobody and connects to nothing; the questions are package cmd/postern's, and whether all of it fits together is shown by
// package config and by postern check. It overwrites no file.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"postern/certs"
	"postern/internal/config"
)

// UnknownClient stands for the application's id until Entra has given one.
const UnknownClient = "00000000-0000-0000-0000-000000000000"

// Answers are what a configuration is made of. What is empty takes the value of [Answers.Complete].
type Answers struct {
	Domain   string // by which clients reach the gateway; required
	Tenant   string // id or domain; required
	Cloud    string
	ClientID string

	Login, Mailbox string         // of the first device; no device where Mailbox is empty
	Networks       []netip.Prefix // where devices are
	OldDevices     bool           // a listener for devices below TLS 1.2; needs Networks

	People        bool // whoever is in the tenant may have an app password, in the portal
	Administrator string
	Context       string // an authentication context that proves MFA, such as c1; empty for none

	Cert, Key  string // the gateway's certificate and its key; empty for the private CA
	SecretFile string // the application's secret; empty for a certificate, which is made
	StateDir   string // where keys, store and audit log are kept; empty for the configuration's folder

	Authority, IMAP, SMTP, CAFile string // other endpoints than the cloud's
}

// Complete fills in what may be left out, and names what is missing or wrong.
func (a *Answers) Complete() error {
	defaults := []struct {
		value *string
		to    string
	}{{&a.ClientID, UnknownClient}}
	if a.Mailbox != "" {
		local, _, _ := strings.Cut(a.Mailbox, "@")
		defaults = append(defaults, struct {
			value *string
			to    string
		}{&a.Login, local})
	}
	for _, d := range defaults {
		if *d.value == "" {
			*d.value = d.to
		}
	}
	switch {
	case a.Domain == "":
		return errors.New("the domain is missing: the name by which copiers and people reach the gateway, such as mail.contoso.com (--domain)")
	case a.Tenant == "":
		return errors.New("the tenant is missing: its id or a domain of it, such as contoso.onmicrosoft.com (--tenant)")
	case a.Mailbox == "" && !a.People:
		return errors.New("nobody would use it: name a device's mailbox, such as scans@contoso.com (--mailbox), or let people in (--people)")
	case a.Mailbox != "" && !config.IsAddress(a.Mailbox):
		return fmt.Errorf("the mailbox %q is no address (--mailbox)", a.Mailbox)
	case a.OldDevices && len(a.Networks) == 0:
		return errors.New("a listener for old devices needs the networks that they are in, such as 10.0.8.0/24 (--network)")
	case a.People && a.Administrator == "":
		return errors.New("the portal's administrator is missing, such as admin@contoso.com (--administrator)")
	case a.Context != "" && !a.People:
		return errors.New("an authentication context is for people: add --people")
	case (a.Cert == "") != (a.Key == ""):
		return errors.New("a certificate and its key go together: give both --cert and --key, or neither for one of the gateway's own authority")
	case a.StateDir != "" && !filepath.IsAbs(a.StateDir):
		return fmt.Errorf("the folder %q of the state is no absolute path, such as /var/lib/postern (--state-dir)", a.StateDir)
	}
	for _, text := range []string{a.Domain, a.Tenant, a.Cloud, a.ClientID, a.Login, a.Mailbox, a.Administrator, a.Context, a.Cert, a.Key, a.SecretFile, a.StateDir, a.Authority, a.IMAP, a.SMTP, a.CAFile} {
		if strings.ContainsAny(text, "\"\\'`$\n\r\t ;|&<>(){}[],#") {
			return fmt.Errorf("%q has characters that would need quotes in the configuration or in a command; choose another", text)
		}
	}
	return nil
}

// peopleDomain is the domain of those who may have app passwords: that of their administrator.
func (a *Answers) peopleDomain() string {
	_, domain, _ := strings.Cut(a.Administrator, "@")
	return domain
}

// Written is a file that was made.
type Written struct{ Path, What string }

// Write writes the configuration to path, and beside it the application's certificate with its key, unless it is there or a
// secret takes its place. In a folder that root has given to a group, such as /etc/postern of the package, that group can read them.
// The answers have been completed. It fails where the configuration is there already, and has then made nothing.
func Write(path string, a Answers) ([]Written, error) {
	text, err := a.Configuration()
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there already, and is not overwritten; name another with --out, or move it away", path)
	}
	if err != nil {
		return nil, err
	}
	if _, err = file.WriteString(text); err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	application, err := writeApplicationCertificate(folder, a)
	made := append([]Written{{path, "the configuration"}}, application...)
	return made, errors.Join(err, share(folder, made))
}

// share lets the group of a folder read files in it, where root has given the folder to a group: that of the user whom the gateway
// runs as.
func share(folder string, files []Written) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known || os.Geteuid() != 0 || owner.Uid != 0 || owner.Gid == 0 {
		return nil
	}
	for _, f := range files {
		if err := errors.Join(os.Chown(f.Path, 0, int(owner.Gid)), os.Chmod(f.Path, 0o640)); err != nil {
			return err
		}
	}
	return nil
}

// writeApplicationCertificate makes the certificate by which the application signs in to Entra: app.pem has both halves for the
// gateway, app.crt the public one for Entra.
func writeApplicationCertificate(folder string, a Answers) ([]Written, error) {
	whole, public := filepath.Join(folder, applicationPEM), filepath.Join(folder, applicationCRT)
	if _, err := os.Stat(whole); a.SecretFile != "" || err == nil {
		return nil, nil
	}
	pair := certs.Pair{Cert: public, Key: filepath.Join(folder, "app.key")}
	if err := certs.EnsureSelfSigned(pair, "postern."+a.Domain); err != nil {
		return nil, err
	}
	var both []byte
	for _, path := range []string{pair.Key, pair.Cert} {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		both = append(both, content...)
	}
	if err := os.WriteFile(whole, both, 0o600); err != nil {
		return nil, err
	}
	if err := os.Remove(pair.Key); err != nil { // the key is in app.pem
		return nil, err
	}
	return []Written{{whole, "the application's certificate and key, for the gateway"}, {public, "the certificate alone, for Entra"}}, nil
}

// Names of the application's certificate.
const applicationPEM, applicationCRT = "app.pem", "app.crt"
