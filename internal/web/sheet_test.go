package web

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/internal/config"
)

// TestSheets holds what is told to people against the doors that a password can use.
func TestSheets(t *testing.T) {
	cellar, office := []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}, []netip.Prefix{netip.MustParsePrefix("10.0.9.0/24")}
	door := func(protocol string, mode config.TLSMode, port string, networks []netip.Prefix, legacy bool) Door {
		return Door{Protocol: protocol, TLS: mode, Host: "mail.contoso.example", Port: port, Networks: networks, LegacyTLS: legacy}
	}
	all := []Door{
		door("smtp", config.NoTLS, "2525", cellar, false), door("smtp", config.Optional, "25", cellar, true), door("smtp", config.StartTLS, "587", nil, false),
		door("imap", config.StartTLS, "143", nil, false), door("smtp", config.Implicit, "465", nil, false), door("imap", config.Implicit, "993", nil, false),
	}
	both := []string{"imap", "smtp"}
	for name, test := range map[string]struct {
		password apppassword.Record
		doors    []Door
		want     []string // kind, then protocol and ports
	}{
		"a mail program": {apppassword.Record{Protocols: both, Networks: office}, all, []string{"program imap 993 143 smtp 465 587", "scanner smtp 465 587"}},
		"a reader":       {apppassword.Record{Protocols: []string{"imap"}}, all, []string{"program imap 993 143"}},
		"a scanner":      {apppassword.Record{Protocols: []string{"smtp"}, Networks: cellar}, all, []string{"scanner smtp 465 587 2525"}},
		"an old scanner": {apppassword.Record{Protocols: []string{"smtp"}, LegacyTLS: true}, all, []string{"scanner smtp 465 587 2525 25"}},
		"old doors only": {apppassword.Record{Protocols: []string{"smtp"}}, all[1:2], []string{"scanner smtp 25"}},
		"no door":        {apppassword.Record{Protocols: []string{"smtp"}, Networks: office}, all[:2], []string{"scanner smtp"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range sheets(test.password, Login{Mapping: auth.Mapping{Mailbox: "scans@contoso.example"}}, test.doors) {
				line := s.Kind
				for _, server := range s.Servers {
					line += " " + server.Protocol
					for _, d := range server.Doors {
						line += " " + d.Port
					}
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("sheets (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryDoorHasWords shows the sheets of a password with a door of every kind, in every language.
func TestEveryDoorHasWords(t *testing.T) {
	h := newHarness(t)
	h.password(func(r *apppassword.Record) { r.LegacyTLS = true })
	h.desk.doors = nil
	for _, mode := range []config.TLSMode{config.Implicit, config.StartTLS, config.Optional, config.NoTLS} {
		for _, protocol := range []string{"imap", "smtp"} {
			h.desk.doors = append(h.desk.doors, Door{Protocol: protocol, TLS: mode, Host: "mail.contoso.example", Port: "1", LegacyTLS: mode == config.Optional})
		}
	}
	for _, language := range languages {
		c := h.signedIn(alice)
		c.language = language
		c.get("/passwords/idtest").want(200, "mail.contoso.example", "STARTTLS")
	}
}
