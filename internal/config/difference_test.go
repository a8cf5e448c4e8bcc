package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDifferences(t *testing.T) {
	before := &Config{
		Domain: "mail.contoso.com", Users: []User{{Login: "a"}},
		Limits:    ConnectionLimits{Connections: 100},
		Listeners: []Listener{{Protocol: "imap", Address: ":993", TLS: Implicit}, {Protocol: "smtp", Address: ":465", TLS: Implicit}},
		Providers: map[string]*Provider{"contoso": {Kind: "microsoft", Tenant: "contoso.com"}},
		Policies: map[string]*Policy{"person": {Protocols: []string{"imap", "smtp"}, MFA: MFA{MaxAge: Duration(90 * 24 * time.Hour)},
			Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		Portal: &Portal{Address: ":443"},
	}
	after := &Config{
		Domain: "mail.contoso.com", Users: []User{{Login: "b"}},
		Limits: ConnectionLimits{Connections: 200},
		Listeners: []Listener{{Protocol: "smtp", Address: ":465", TLS: Implicit, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}},
			{Protocol: "smtp", Address: ":587", TLS: StartTLS}},
		Providers: map[string]*Provider{"contoso": {Kind: "microsoft", Tenant: "fabrikam.com"}},
		Policies: map[string]*Policy{"person": {Protocols: []string{"imap"}, MFA: MFA{MaxAge: Duration(30 * 24 * time.Hour)},
			Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Send: Send{MaxSize: 35 << 20}}},
		Metrics: &Metrics{Address: "127.0.0.1:9464"},
	}
	want := []Difference{
		{"limits.connections", "100", "200"},
		{"providers.contoso.tenant", "contoso.com", "fabrikam.com"},
		{"listeners[:993].protocol", "imap", ""},
		{"listeners[:993].address", ":993", ""},
		{"listeners[:993].tls", "implicit", ""},
		{"listeners[:465].networks", "", "[10.0.8.0/24]"},
		{"listeners[:587].protocol", "", "smtp"},
		{"listeners[:587].address", "", ":587"},
		{"listeners[:587].tls", "", "starttls"},
		{"portal.address", ":443", ""},
		{"metrics.address", "", "127.0.0.1:9464"},
		{"policies.person.protocols", "[imap, smtp]", "[imap]"},
		{"policies.person.mfa.max_age", "90d", "30d"},
		{"policies.person.send.max_size", "", "35MB"},
	}
	if diff := cmp.Diff(want, Differences(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Differences(before, before); got != nil {
		t.Errorf("of one with itself: got %v, want nothing", got)
	}
}
