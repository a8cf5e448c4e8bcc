package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Metrics says where monitoring finds the gateway.
type Metrics struct {
	Address string `yaml:"address" jsonschema_description:"host:port on which /metrics (for Prometheus), /livez and /readyz are served by HTTP, without TLS and without credentials: an address that only monitoring reaches, such as 127.0.0.1:9464."`
}

func (v *validator) metrics() {
	m := v.config.Metrics
	if m == nil {
		return
	}
	taken := func(l Listener) bool { return l.Address == m.Address }
	switch err := checkAddress(m.Address, true); {
	case err != nil:
		v.wrong("metrics.address", "%v", err)
	case strings.HasPrefix(m.Address, ":"):
		v.wrong("metrics.address", "nobody is asked for credentials there: name one address, such as 127.0.0.1%s", m.Address)
	case isUnspecified(m.Address):
		v.wrong("metrics.address", "nobody is asked for credentials there, and %s is every address of the machine: name one, such as 127.0.0.1", m.Address)
	case strings.HasSuffix(m.Address, ":0"): // any free port: nobody's
	case slices.ContainsFunc(v.config.Listeners, taken), v.config.Portal != nil && v.config.Portal.Address == m.Address:
		v.wrong("metrics.address", "%s is taken already in this file", m.Address)
	}
}

// isUnspecified reports whether a host:port is 0.0.0.0 or :: with a port.
func isUnspecified(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().IsUnspecified()
}
