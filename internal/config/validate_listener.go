package config

import (
	"net/netip"
	"slices"
)

// defaultProfile is the profile of SMTP listeners that name none.
const defaultProfile = "device"

// listener looks at one listener, and fills in its profile.
func (v *validator) listener(path string, l *Listener) {
	v.oneOf(path+".protocol", l.Protocol, protocols)
	v.oneOf(path+".tls", string(l.TLS), tlsModes)
	if l.TLS == Optional && !restricted(l.Networks) {
		v.wrong(path+".tls", "optional lets passwords cross the network in clear; say for which networks with networks: [10.0.8.0/24]")
	}
	if l.LegacyTLS {
		v.wrong(path+".legacy_tls", "TLS below 1.2 arrives with a later version; leave it out")
	}
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

// restricted reports whether networks leave anybody out.
func restricted(networks []netip.Prefix) bool {
	everywhere := func(n netip.Prefix) bool { return n.Bits() == 0 }
	return len(networks) > 0 && !slices.ContainsFunc(networks, everywhere)
}
