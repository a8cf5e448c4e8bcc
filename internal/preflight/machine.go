package preflight

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"postern/certs"
	"postern/internal/config"
)

// The checks of the machine. Those of the state come from package gateway, which opens it.
const (
	checkConfig       = "config"
	checkFiles        = "file modes"
	checkDisk         = "disk"
	checkCertificates = "certificate"
	checkListener     = "listener"
)

// Machine is the subject of what concerns no provider and no login.
const Machine = "machine"

// machine looks at what is needed here: files, room, certificates, addresses.
func (p *Plan) machine(ctx context.Context) []Line {
	s := &sheet{subject: Machine}
	for _, w := range p.Config.Warnings {
		s.add(checkConfig, Warning, "", "", "%s", w)
	}
	if len(p.Config.Warnings) == 0 {
		s.ok(checkConfig, "%s", p.Config.Summary())
	}
	p.files(s)
	p.disk(s)
	for _, c := range p.Config.Certificates {
		p.certificate(s, c)
	}
	for _, l := range p.Config.Listeners {
		p.listener(ctx, s, l.Protocol, l.Address)
	}
	if p.Config.Portal != nil {
		p.listener(ctx, s, "portal", p.Config.Portal.Address)
	}
	if p.Config.Metrics != nil {
		p.listener(ctx, s, "metrics", p.Config.Metrics.Address)
	}
	return s.lines
}

// stateFiles are the files that hold what others may not read.
func (p *Plan) stateFiles() []string {
	files := []string{p.Config.KeysFile, p.Config.AuditFile}
	if path, sqlite := strings.CutPrefix(p.Config.Store, "sqlite:"); sqlite {
		files = append(files, path)
	}
	return files
}

// files looks at who may read and change what the gateway keeps. The modes of secrets and keys are looked at by whoever reads them.
func (p *Plan) files(s *sheet) {
	good := true
	folders := make(map[string]bool)
	for _, path := range p.stateFiles() {
		folders[filepath.Dir(path)] = true
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			good = false
			s.add(checkFiles, Warning, "run this as the user that the gateway runs as", "sudo -u postern postern check", "%s: %s", path, plainError(err))
		case info.Mode().Perm()&0o007 != 0:
			good = false
			s.add(checkFiles, Failed, "take the right from others", "chmod o= "+path, "everybody may use %s (mode %04o)", path, info.Mode().Perm())
		}
	}
	for folder := range folders {
		info, err := os.Stat(folder)
		if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
			good = false
			s.add(checkFiles, Failed, "take the right from others", "chmod o-w "+folder, "everybody may put files into %s, also in the place of keys", folder)
		}
	}
	if good {
		s.ok(checkFiles, "others may neither read nor change what is kept")
	}
}

const (
	// leastRoom and scarceRoom are how much free space fails and warns, in bytes: the queue takes no messages without room.
	leastRoom  = 100 << 20
	scarceRoom = 1 << 30
)

// disk looks at the room where messages, state and the audit log are written.
func (p *Plan) disk(s *sheet) {
	var folders []string
	for _, path := range append(p.stateFiles(), filepath.Join(p.Config.Spool, "x")) {
		if folder := filepath.Dir(path); !slices.Contains(folders, folder) && filepath.IsAbs(folder) {
			folders = append(folders, folder)
		}
	}
	least, where, known := uint64(0), "", false
	for _, folder := range folders {
		if free, ok := freeSpace(existing(folder)); ok && (!known || free < least) {
			least, where, known = free, existing(folder), true
		}
	}
	switch {
	case !known:
		s.skip(checkDisk, "how much room there is cannot be told here")
	case least < leastRoom:
		s.add(checkDisk, Failed, "make room: without it no message is taken", "df -h "+where, "%d MB free at %s", least>>20, where)
	case least < scarceRoom:
		s.add(checkDisk, Warning, "make room: mail that cannot be delivered at once waits there", "df -h "+where, "%d MB free at %s", least>>20, where)
	default:
		s.ok(checkDisk, "%.1f GB free at %s", float64(least)/(1<<30), where)
	}
}

// existing gives the nearest folder above that is there already: the gateway makes what is missing on its first start.
func existing(folder string) string {
	for {
		if _, err := os.Stat(folder); err == nil || filepath.Dir(folder) == folder {
			return folder
		}
		folder = filepath.Dir(folder)
	}
}

// certificate looks at a certificate that listeners show.
func (p *Plan) certificate(s *sheet, c config.Certificate) {
	if c.Files == nil {
		s.skip(checkCertificates, "had and renewed by the gateway itself")
		return
	}
	path := c.Files.Cert
	if _, err := certs.Open(context.Background(), certs.Config{Sources: []certs.Source{certs.Files(certs.Pair{Cert: path, Key: c.Files.Key}, "")}}); err != nil {
		s.add(checkCertificates, Failed, "put a certificate in PEM and the key that belongs to it into the files", "openssl x509 -noout -subject -enddate -in "+path, "%v", err)
		return
	}
	content, err := os.ReadFile(path)
	var leaf *x509.Certificate
	if err == nil {
		leaf, err = firstCertificate(content)
	}
	if err != nil {
		s.add(checkCertificates, Failed, "put the certificate into the file in PEM", "", "%s: %v", path, err)
		return
	}
	// Whether one of them has the domain's name is the configuration's warning.
	what := fmt.Sprintf("%s for %s", path, strings.Join(append(leaf.DNSNames, addressesOf(leaf)...), ", "))
	s.ends(checkCertificates, what, leaf.NotAfter, p.Now(), "put a new one into the file; a running gateway takes it up", "")
}

func addressesOf(c *x509.Certificate) (all []string) {
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// listener tries an address: to be had, or answered by the gateway that runs.
func (p *Plan) listener(ctx context.Context, s *sheet, what, at string) {
	name := what + " " + at
	var setup net.ListenConfig
	if p.Running {
		if answered(ctx, at) {
			s.ok(checkListener, "%s is served by the running gateway", name)
			return
		}
		s.add(checkListener, Failed, "restart the gateway, where the configuration is newer than it", "systemctl restart postern", "%s: a gateway runs, and nobody answers there", name)
		return
	}
	listener, err := setup.Listen(ctx, "tcp", at)
	if err == nil {
		_ = listener.Close()
		s.ok(checkListener, "%s can be had", name)
		return
	}
	_, port, _ := net.SplitHostPort(at)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		s.add(checkListener, Failed, "stop the program that has it, or name another address; where it is systemd, by a socket unit of the gateway's, all is well", fmt.Sprintf("ss -ltnp 'sport = :%s'", port), "%s is taken by another program", name)
	case errors.Is(err, fs.ErrPermission):
		s.add(checkListener, Warning, "ports below 1024 are for root and for who has CAP_NET_BIND_SERVICE, which deploy/postern.service gives", "sudo postern check",
			"%s may not be taken by the user who runs this", name)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		s.add(checkListener, Failed, "name an address of this machine", "ip -brief address", "%s: this machine does not have the address", name)
	default:
		s.add(checkListener, Failed, "correct the address", "", "%s: %s", name, plainError(err))
	}
}

// answered reports whether somebody accepts connections at a listener's address.
func answered(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("localhost", port)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
