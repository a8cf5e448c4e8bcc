package web

import (
	"net/netip"
	"slices"

	"postern/auth/apppassword"
	"postern/internal/config"
)

// sheet is what to type into a device or a mail program, to be printed and taken there.
type sheet struct {
	Kind    string // scanner or program: the last part of the key of a text
	Servers []sheetServer
	User    string
	Sender  string // the address to send as; empty where nothing is sent
}

// sheetServer is the part of a sheet about one protocol.
type sheetServer struct {
	Protocol string
	Doors    []Door // the best first; none where the configuration has none that the password can use
}

// sheets gives the sheets for an app password, the likeliest first.
func sheets(r apppassword.Record, l Login, doors []Door) []sheet {
	scanner := sheet{Kind: "scanner", User: r.Login, Sender: l.Mailbox}
	program := sheet{Kind: "program", User: r.Login}
	for _, protocol := range []string{"imap", "smtp"} {
		if !slices.Contains(r.Protocols, protocol) {
			continue
		}
		server := sheetServer{protocol, fitting(protocol, r, doors)}
		program.Servers = append(program.Servers, server)
		if protocol == "smtp" {
			scanner.Servers, program.Sender = []sheetServer{server}, l.Mailbox
		}
	}
	switch {
	case scanner.Servers == nil:
		return []sheet{program}
	case len(program.Servers) == 1:
		return []sheet{scanner}
	}
	return []sheet{program, scanner}
}

// fitting gives the doors of a protocol through which a password can be used, the safest first (RFC 8314 section 3).
func fitting(protocol string, r apppassword.Record, doors []Door) []Door {
	var fit []Door
	for _, d := range doors {
		if d.Protocol == protocol && (!d.LegacyTLS || r.LegacyTLS) && overlap(d.Networks, r.Networks) {
			fit = append(fit, d)
		}
	}
	safety := map[config.TLSMode]int{config.Implicit: 0, config.StartTLS: 1, config.Optional: 2}
	slices.SortStableFunc(fit, func(a, b Door) int {
		if a.LegacyTLS != b.LegacyTLS {
			if a.LegacyTLS {
				return 1
			}
			return -1
		}
		return safety[a.TLS] - safety[b.TLS]
	})
	return fit
}

// overlap reports whether there is an address in both of two lists of networks; an empty list has them all.
func overlap(a, b []netip.Prefix) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(n netip.Prefix) bool { return slices.ContainsFunc(b, n.Overlaps) })
}
