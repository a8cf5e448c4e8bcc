package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// defaultProfile is the profile of SMTP listeners that name none.
const defaultProfile = "device"

// listener looks at one listener, and fills in its profile.
func (v *validator) listener(path string, l *Listener) {
	v.oneOf(path+".protocol", l.Protocol, protocols)
	v.oneOf(path+".tls", string(l.TLS), tlsModes)
	if err := checkSocketName(l.Name); err != nil {
		v.wrong(path+".name", "%v", err)
	}
	if l.Advertise != "" {
		if err := checkAddress(l.Advertise, false); err != nil {
			v.wrong(path+".advertise", "%v", err)
		}
	}
	if (l.TLS == Optional || l.TLS == NoTLS) && !restricted(l.Networks) {
		v.wrong(path+".tls", "%s lets passwords cross the network in clear; say for which networks with networks: [10.0.8.0/24]", l.TLS)
	}
	if len(l.ProxyProtocol) > 0 && !restricted(l.ProxyProtocol) {
		v.wrong(path+".proxy_protocol", "whoever may send the header says where a client comes from; name the load balancers alone, such as 10.0.9.4/32")
	}
	v.legacyTLS(path+".legacy_tls", l)
	v.withoutAuth(path+".without_auth", l)
	switch {
	case l.Profile != "" && l.Protocol == "imap":
		v.wrong(path+".profile", "goes with protocol: smtp")
	case l.Profile != "" && !v.oneOf(path+".profile", l.Profile, profiles):
	case l.Profile == "ancient" && !restricted(l.Networks):
		v.wrong(path+".profile", "ancient forgives what other clients could abuse; say for which networks with networks: [10.0.8.0/24]")
	case l.Profile == "" && l.Protocol == "smtp":
		l.Profile = defaultProfile
	}
}

// maxSocketName is the longest FileDescriptorName= in bytes (systemd.socket(5)).
const maxSocketName = 255

// ownSockets are the names of sockets that are no listener's.
var ownSockets = []string{"portal", "metrics", "admin"}

// checkSocketName looks at a name that a socket may have. In systemd's list of them a colon stands between two.
func checkSocketName(name string) error {
	plain := func(c rune) bool {
		return c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) || strings.ContainsRune("-_.", c)
	}
	switch {
	case slices.Contains(ownSockets, name):
		return fmt.Errorf("%s is what a socket that is no listener's is called; choose another", name)
	case len(name) > maxSocketName, strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }):
		return errors.New("want a name for FileDescriptorName=, of letters, digits, dots, - and _, such as smtps")
	}
	return nil
}

// legacyTLS looks at what TLS below 1.2 needs (threat model I-34).
func (v *validator) legacyTLS(path string, l *Listener) {
	switch {
	case !l.LegacyTLS:
	case l.TLS == NoTLS:
		v.wrong(path, "goes with TLS, and tls is none here; leave one of them out")
	case !restricted(l.Networks):
		v.wrong(path, "TLS below 1.2 can be broken; say for which networks with networks: [10.0.8.0/24]")
	}
}

// withoutAuth looks at a listener that takes an address for an identity.
func (v *validator) withoutAuth(path string, l *Listener) {
	switch {
	case !l.WithoutAuth:
	case l.Protocol != "smtp":
		v.wrong(path, "goes with protocol: smtp")
	case !restricted(l.Networks):
		v.wrong(path, "an address is all that a client shows here; say for which networks with networks: [10.0.8.0/24]")
	}
}

// restricted reports whether networks leave anybody out.
func restricted(networks []netip.Prefix) bool {
	everywhere := func(n netip.Prefix) bool { return n.Bits() == 0 }
	return len(networks) > 0 && !slices.ContainsFunc(networks, everywhere)
}
