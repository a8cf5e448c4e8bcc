package gateway

import (
	"net"
	"net/netip"

	"postern/internal/config"
	"postern/internal/web"
)

// doors gives the ways in for mail clients as people have to set them up: as the listener advertises itself, or by the
// gateway's name and the port that is listened on. An address of its own is told as well: a device that does not look up
// names may need it.
func doors(c *config.Config, listeners []*listener) []web.Door {
	var all []web.Door
	for _, l := range listeners {
		s := l.service.Load().config
		d := web.Door{
			Protocol: s.Protocol, TLS: s.TLS, Host: c.Domain, LegacyTLS: s.LegacyTLS, Networks: s.Networks,
		}
		if advertised := s.Advertise; advertised != "" {
			d.Host, d.Port, _ = net.SplitHostPort(advertised) // the configuration is validated
			all = append(all, d)
			continue
		}
		at, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil {
			continue // not TCP: nobody connects to it by host and port
		}
		_, d.Port, _ = net.SplitHostPort(at.String())
		if ip := at.Addr().Unmap(); !ip.IsUnspecified() && !ip.IsLoopback() {
			d.Address = ip.String()
		}
		all = append(all, d)
	}
	return all
}
