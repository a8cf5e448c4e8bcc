package entra

import (
	"strings"
	"testing"

	"postern/internal/sim/tenant"
)

// FuzzParseScope holds every scope that is understood to an echo that is understood the same way.
func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{
		"", "openid profile offline_access", mailScope, appScope, "SMTP.Send", "https://OUTLOOK.office365.com/smtp.send email",
		"https://graph.microsoft.com/User.Read", "https://outlook.office.com//SMTP.Send", "/", "https://mail.example/x", "\x00 /.default",
	} {
		f.Add(seed)
	}
	application := tenant.Application{Delegated: append(mailPermissions, graphPermissions...)}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, p := parseScope(text)
		if p != nil {
			return
		}
		if _, p := parsed.audience(); p != nil {
			return
		}
		granted, p := parsed.consented(application)
		if p != nil {
			t.Fatalf("scope %q: everything is consented to, but: %s", text, p.text)
		}
		for _, otherHost := range []bool{false, true} {
			again, p := parseScope(echo(granted, otherHost))
			if p != nil || len(again.permissions) != len(granted) {
				t.Fatalf("scope %q: the echo %q is not understood", text, echo(granted, otherHost))
			}
			if got, want := strings.Join(names(again.permissions), " "), strings.Join(names(granted), " "); got != want {
				t.Fatalf("scope %q: the echo means %q, want %q", text, got, want)
			}
		}
	})
}

// FuzzParseClaims holds the reader of claims parameters to an answer of one kind or the other.
func FuzzParseClaims(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"id_token":{"acrs":{"essential":true,"value":"c1"},"auth_time":null}}`, `{"id_token":{"acrs":{"values":["c1","c2"]}}}`,
		`{"access_token":{"xms_cc":{"values":["cp1"]}}}`, `{"id_token":7}`, "{",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked, p := parseClaims(text)
		if p != nil && (asked.authTime || asked.contexts != nil) {
			t.Fatalf("claims %q: refused and understood", text)
		}
	})
}
