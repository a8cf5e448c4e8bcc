package auth

import (
	"net/netip"
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/config"
)

// TestUpholds: which changes of a configuration end a session that was let in before, and which do not.
func TestUpholds(t *testing.T) {
	from := netip.MustParseAddr("10.0.8.17")
	office := []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	evidence := apppassword.Evidence{Method: "totp", At: gateNoon.Add(-24 * time.Hour)}
	day := config.Duration(24 * time.Hour)
	for name, test := range map[string]struct {
		protocol Protocol
		change   func(*config.User, *config.Policy)
		want     bool
	}{
		"nothing":                      {IMAP, func(*config.User, *config.Policy) {}, true},
		"the login is gone":            {IMAP, func(u *config.User, _ *config.Policy) { u.Login = "bob@contoso.example" }, false},
		"a match has taken its place":  {IMAP, func(u *config.User, _ *config.Policy) { u.Login, u.Match = "", "*@contoso.example" }, true},
		"another mailbox":              {IMAP, func(u *config.User, _ *config.Policy) { u.Mailbox = "bob@contoso.example" }, false},
		"another account":              {IMAP, func(u *config.User, _ *config.Policy) { u.Account = "bob@contoso.example" }, false},
		"another provider":             {IMAP, func(u *config.User, _ *config.Policy) { u.Provider = "fabrikam" }, false},
		"another grant":                {IMAP, func(u *config.User, _ *config.Policy) { u.Grant = "application" }, false},
		"the protocol is gone":         {IMAP, func(_ *config.User, p *config.Policy) { p.Protocols = []string{"smtp"} }, false},
		"another protocol is gone":     {SMTP, func(_ *config.User, p *config.Policy) { p.Protocols = []string{"smtp"} }, true},
		"a network that has it":        {IMAP, func(_ *config.User, p *config.Policy) { p.Networks = office }, true},
		"a network that has it not":    {IMAP, func(_ *config.User, p *config.Policy) { p.Networks = elsewhere }, false},
		"read only":                    {IMAP, func(_ *config.User, p *config.Policy) { p.IMAP.ReadOnly = true }, false},
		"read only, of a sender":       {SMTP, func(_ *config.User, p *config.Policy) { p.IMAP.ReadOnly = true }, true},
		"some folders only":            {IMAP, func(_ *config.User, p *config.Policy) { p.IMAP.Folders = []string{"INBOX"} }, false},
		"other evidence":               {IMAP, func(_ *config.User, p *config.Policy) { p.MFA.Evidence = []string{"passkey"} }, false},
		"further evidence":             {IMAP, func(_ *config.User, p *config.Policy) { p.MFA.Evidence = []string{"passkey", "totp"} }, true},
		"evidence too old":             {IMAP, func(_ *config.User, p *config.Policy) { p.MFA.MaxAge = day / 2 }, false},
		"fewer connections":            {IMAP, func(_ *config.User, p *config.Policy) { p.Limits.Connections = 1 }, true},
		"fewer recipients":             {SMTP, func(_ *config.User, p *config.Policy) { p.Send.Recipients = []string{"*@contoso.example"} }, false},
		"smaller messages":             {SMTP, func(_ *config.User, p *config.Policy) { p.Send.MaxSize = 1000 }, false},
		"senders refused":              {SMTP, func(_ *config.User, p *config.Policy) { p.Send.From = config.RefuseSender }, false},
		"senders passed, as before":    {SMTP, func(_ *config.User, p *config.Policy) { p.Send.From = config.PassSender }, true},
		"another delivery":             {SMTP, func(_ *config.User, p *config.Policy) { p.Send.Delivery = "direct" }, false},
		"an address more":              {SMTP, func(u *config.User, _ *config.Policy) { u.Addresses = append(u.Addresses, "z@contoso.example") }, true},
		"an address less":              {SMTP, func(u *config.User, _ *config.Policy) { u.Addresses = nil }, false},
		"an address less, of a reader": {IMAP, func(u *config.User, _ *config.Policy) { u.Addresses = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			make := func(change func(*config.User, *config.Policy)) *Directory {
				user := config.User{Login: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "p", Addresses: []string{"sales@contoso.example"}}
				policy := &config.Policy{Protocols: []string{"imap", "smtp"}}
				change(&user, policy)
				return NewDirectory(&config.Config{Users: []config.User{user}, Policies: map[string]*config.Policy{"p": policy}})
			}
			mapping, _ := make(func(*config.User, *config.Policy) {}).Lookup("alice@contoso.example")
			grant := mapping.grant(test.protocol)
			grant.Password, grant.Evidence = "pw-1", evidence
			if _, got := make(test.change).Upholds(test.protocol, from, &grant, gateNoon); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestUpholdsUntilTheEvidenceIsTooOld: a policy that lets evidence count for less long ends the session when it is time,
// and one that lets it count for longer does not make a password live longer.
func TestUpholdsUntilTheEvidenceIsTooOld(t *testing.T) {
	from := netip.MustParseAddr("10.0.8.17")
	at, expires := gateNoon.Add(-time.Hour), gateNoon.Add(48*time.Hour)
	for maxAge, want := range map[time.Duration]time.Time{
		0: expires, 3 * time.Hour: at.Add(3 * time.Hour), 1000 * time.Hour: expires,
	} {
		d := NewDirectory(&config.Config{
			Users:    []config.User{{Login: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "p"}},
			Policies: map[string]*config.Policy{"p": {Protocols: []string{"imap"}, MFA: config.MFA{MaxAge: config.Duration(maxAge)}}},
		})
		mapping, _ := d.Lookup("alice@contoso.example")
		grant := mapping.grant(IMAP)
		grant.Password, grant.Evidence, grant.Expires = "pw-1", apppassword.Evidence{Method: "totp", At: at}, expires
		if got, ok := d.Upholds(IMAP, from, &grant, gateNoon); !ok || !got.Equal(want) {
			t.Errorf("max_age %s: got %s, %v; want %s", maxAge, got, ok, want)
		}
	}
}

// TestUpholdsADeviceKnownByItsAddress: for as long as the address is the login's.
func TestUpholdsADeviceKnownByItsAddress(t *testing.T) {
	from := netip.MustParseAddr("10.0.8.17")
	for address, want := range map[string]bool{"10.0.8.17/32": true, "10.0.8.18/32": false} {
		d := NewDirectory(&config.Config{
			Users: []config.User{{Login: "copier", Mailbox: "scans@contoso.example", Provider: "contoso", Grant: "application", Policy: "p",
				WithoutAuth: []netip.Prefix{netip.MustParsePrefix(address)}}},
			Policies: map[string]*config.Policy{"p": {Protocols: []string{"smtp"}}},
		})
		mapping, _ := d.Lookup("copier")
		grant := mapping.grant(SMTP)
		if _, got := d.Upholds(SMTP, from, &grant, gateNoon); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}
