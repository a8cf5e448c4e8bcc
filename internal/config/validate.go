package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

var (
	protocols  = []string{"imap", "smtp"}
	tlsModes   = []string{string(Implicit), string(StartTLS), string(Optional), string(NoTLS)}
	senders    = []string{PassSender, RewriteSender, RefuseSender}
	profiles   = []string{"strict", "device", "ancient"}
	deliveries = []string{"auto", "direct", "queue"}
)

// validator holds a decoded file against its rules, and fills in its defaults.
type validator struct {
	*decoder
	config   *Config
	folder   string
	unread   []string // settings that the decoder has reported
	warnings []Problem
}

// wrong reports a problem with the value at path, or where that is not set, with what it is missing from. What could not
// even be read is not reported once more.
func (v *validator) wrong(path, format string, arguments ...any) {
	for _, earlier := range v.unread {
		if earlier == path || strings.HasPrefix(path, earlier+".") || strings.HasPrefix(path, earlier+"[") || strings.HasPrefix(earlier, path+".") {
			return
		}
	}
	v.problems = append(v.problems, v.locate(path, fmt.Sprintf(format, arguments...)))
}

func (v *validator) warn(path, format string, arguments ...any) {
	v.warnings = append(v.warnings, v.locate(path, fmt.Sprintf(format, arguments...)))
}

func (v *validator) locate(path, message string) Problem {
	p := Problem{File: v.file, Path: path, Message: message}
	for at := path; ; {
		if position, set := v.positions[at]; set {
			p.Line, p.Column = position.line, position.column
			return p
		}
		cut := strings.LastIndexAny(at, ".[")
		if cut < 0 {
			return p
		}
		at = at[:cut]
	}
}

// oneOf reports a value that is not among the known ones.
func (v *validator) oneOf(path, value string, known []string) bool {
	if value == "" {
		v.wrong(path, "missing; want %s", strings.Join(known, ", "))
		return false
	}
	if !slices.Contains(known, value) {
		v.wrong(path, "%s", unknownValue(value, known))
		return false
	}
	return true
}

// absolute gives a path of the file's as an absolute one.
func (v *validator) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(v.folder, path)
}

func (v *validator) validate() {
	c := v.config
	for _, p := range v.problems {
		v.unread = append(v.unread, p.Path)
	}
	if !isHostName(c.Domain) {
		v.wrong("domain", "want the gateway's host name, such as mail.example.com")
	}
	v.state()
	v.audit()
	v.connections()
	v.certificates()
	v.providers()
	v.listeners()
	v.portal()
	v.metrics()
	v.policies()
	v.users()
	slices.SortStableFunc(v.problems, byPlace)
}

// byPlace sorts problems as they stand in the file.
func byPlace(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// state looks at the files that the gateway writes.
func (v *validator) state() {
	c := v.config
	folder := v.store()
	c.KeysFile = v.absolute(cmp.Or(c.KeysFile, "postern.keys"))
	c.AuditFile = v.absolute(cmp.Or(c.AuditFile, "postern.audit"))
	c.AdminSocket = cmp.Or(v.absolute(c.AdminSocket), filepath.Join(folder, "postern.sock"))
	c.Spool = cmp.Or(v.absolute(c.Spool), filepath.Join(folder, "postern.spool"))
	if len(c.AdminSocket) > maxSocket {
		v.wrong("admin_socket", "its path has %d bytes, and a socket's may have %d: name a place with a shorter one, such as /run/postern.sock",
			len(c.AdminSocket), maxSocket)
	}
}

// maxSocket is the longest path in bytes that a unix socket may have (unix(7): sun_path, without its NUL).
const maxSocket = 107

// connections looks at the limits on connections, and fills them in.
func (v *validator) connections() {
	l := &v.config.Limits
	l.Connections = cmp.Or(l.Connections, defaultConnections)
	for _, part := range []struct {
		key   string
		value *int
	}{{"connections_per_source", &l.PerSource}, {"connections_before_sign_in", &l.BeforeSignIn}} {
		*part.value = cmp.Or(*part.value, (l.Connections+1)/2)
		if *part.value > l.Connections {
			v.wrong("limits."+part.key, "more than limits.connections, which is %d", l.Connections)
		}
	}
}

// defaultConnections is room for 12,000 devices and twice as many while they all reconnect at once. Twelve thousand that
// have not signed in cost less than 1 GB (threat model I-28).
const defaultConnections = 24000

// shown gives a path as people wrote it.
func (v *validator) shown(path string) string {
	if relative, err := filepath.Rel(v.folder, path); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return path
}

// fileError makes an error about a file short: which file, and what the operating system said.
func (v *validator) fileError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", v.shown(path.Path), path.Err)
	}
	return err
}

func (v *validator) listeners() {
	if len(v.config.Listeners) == 0 {
		v.wrong("listeners", "there is none; a gateway needs one at least, such as {protocol: imap, address: \":993\", tls: implicit}")
	}
	ordinary := func(c Certificate) bool { return !c.LegacyTLS }
	if len(v.config.Listeners) > 0 && !slices.ContainsFunc(v.config.Certificates, ordinary) {
		v.wrong("certificates", "there is none; listeners need one at least: - files: {cert: mail.pem, key: mail.key}, or - private_ca: {}")
	}
	addresses := make(map[string]int) // address → index of the listener that has it
	names := make(map[string]int)     // likewise
	for i := range v.config.Listeners {
		l, path := &v.config.Listeners[i], fmt.Sprintf("listeners[%d]", i)
		if err := checkAddress(l.Address, true); err != nil {
			v.wrong(path+".address", "%v", err)
		} else if first, taken := addresses[l.Address]; taken && !strings.HasSuffix(l.Address, ":0") {
			v.wrong(path+".address", "%s is the address of listeners[%d] already", l.Address, first)
		} else {
			addresses[l.Address] = i
		}
		if first, taken := names[l.Name]; taken && l.Name != "" {
			v.wrong(path+".name", "%s is the name of listeners[%d] already", l.Name, first)
		}
		names[l.Name] = i
		v.listener(path, l)
	}
}

// checkAddress looks at a host and port. A listener may leave the host out and have port 0.
func checkAddress(address string, listen bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address; want host:port", address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen {
		return fmt.Errorf("%q is not a port; want a number from 1 to 65535", port)
	}
	if host == "" && listen {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
		return fmt.Errorf("%q is not a host", host)
	}
	return nil
}

// isHostName reports whether s is a host name (RFC 1123 section 2.1).
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notHostByte) {
			return false
		}
	}
	return true
}

func notHostByte(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
}

func (v *validator) policies() {
	if len(v.config.Policies) == 0 {
		v.wrong("policies", "there is none; a gateway needs one at least, such as device: {protocols: [smtp]}")
	}
	for _, name := range slices.Sorted(maps.Keys(v.config.Policies)) {
		path, p := "policies."+name, v.config.Policies[name]
		p.Name = name
		p.Origins = v.origins(path, p, false)
		if len(p.Protocols) == 0 {
			v.wrong(path+".protocols", "missing; want a list of %s", strings.Join(protocols, ", "))
		}
		v.rules(path, p)
		v.imapInUse(path, p)
	}
}

// rules looks at the settings of a policy, or at those that a user overrides.
func (v *validator) rules(path string, p *Policy) {
	for i, protocol := range p.Protocols {
		v.oneOf(fmt.Sprintf("%s.protocols[%d]", path, i), protocol, protocols)
	}
	v.mfa(path+".mfa", p.MFA)
	v.passwords(path+".passwords", p.Passwords)
	v.imap(path+".imap", p.IMAP)
	v.send(path+".send", p.Send)
}

func (v *validator) passwords(path string, p Passwords) {
	if p.Length != 0 && p.Length != 16 && p.Length != 24 {
		v.wrong(path+".length", "want 24, or 16 for devices that take no more")
	}
}

// imap looks at the patterns of folders: a slip in one of them must not open more, or less, than was meant.
func (v *validator) imap(path string, rules IMAP) {
	for i, folder := range rules.Folders {
		name := strings.TrimSuffix(folder, "/*")
		parts := strings.Split(name, "/")
		switch at := fmt.Sprintf("%s.folders[%d]", path, i); {
		case folder == "*":
			v.wrong(at, "\"*\" is every folder; leave folders out for that")
		case strings.ContainsAny(name, "*%"):
			v.wrong(at, "%q: a * stands at the end only, behind a /, as in Scans/*", folder)
		case slices.Contains(parts, ""), slices.Contains(parts, "."), slices.Contains(parts, ".."), strings.ContainsFunc(name, unicode.IsControl):
			v.wrong(at, "%q is not a folder; want a name such as INBOX or Scans/2026, or Scans/* for all that is below Scans", folder)
		}
	}
}

// imapInUse warns of rules for IMAP where IMAP is not to be had.
func (v *validator) imapInUse(path string, p *Policy) {
	if (p.IMAP.ReadOnly || len(p.IMAP.Folders) > 0) && !slices.Contains(p.Protocols, "imap") {
		v.warn(path+".imap", "of no effect: the protocols of this policy do not have imap")
	}
}

func (v *validator) send(path string, s Send) {
	if s.From != "" {
		v.oneOf(path+".from", s.From, senders)
	}
	if s.Delivery != "" {
		v.oneOf(path+".delivery", s.Delivery, deliveries)
	}
	for i := range s.Recipients {
		v.pattern(fmt.Sprintf("%s.recipients[%d]", path, i), &s.Recipients[i])
	}
}

// pattern looks at an address or *@domain, and makes it lower case.
func (v *validator) pattern(path string, pattern *string) {
	if !IsAddress(strings.Replace(*pattern, "*@", "any@", 1)) {
		v.wrong(path, "want an address or *@domain")
	}
	*pattern = strings.ToLower(*pattern)
}
