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

// fitting gives the doors of a protocol through which a password can be used, the safest first. Those for old devices are
// for passwords that are marked for them, unless there are no others.
func fitting(protocol string, r apppassword.Record, doors []Door) []Door {
	var fit []Door
	for _, d := range doors {
		if d.Protocol == protocol && overlap(d.Networks, r.Networks) {
			fit = append(fit, d)
		}
	}
	old := func(d Door) bool { return d.LegacyTLS }
	modern := slices.ContainsFunc(fit, func(d Door) bool { return !d.LegacyTLS })
	if !r.LegacyTLS && modern {
		fit = slices.DeleteFunc(fit, old)
	}
	slices.SortStableFunc(fit, func(a, b Door) int { return a.risk() - b.risk() })
	return fit
}

// risk orders doors by how little they protect (RFC 8314 section 3).
func (d Door) risk() int {
	order := slices.Index([]config.TLSMode{config.Implicit, config.StartTLS, config.Optional, config.NoTLS}, d.TLS)
	if d.LegacyTLS {
		order += 10
	}
	return order
}

// overlap reports whether there is an address in both of two lists of networks; an empty list has them all.
func overlap(a, b []netip.Prefix) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(n netip.Prefix) bool { return slices.ContainsFunc(b, n.Overlaps) })
}
