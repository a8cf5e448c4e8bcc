package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestI26DenialsAreTheSameBytes: unknown, wrong, revoked, expired, suspended, locked and never enrolled are one answer, to the
// byte, in either protocol; the audit log alone tells them apart. (That they are the same work and take the same time is held
// in package auth.)
func TestI26DenialsAreTheSameBytes(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	content, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	more := "  - {login: brief@contoso.example, provider: contoso, grant: application, policy: brief}\n" +
		"  - {match: \"*@contoso.example\", provider: contoso, grant: delegated, policy: person}\n"
	text := strings.Replace(string(content), "  device: {protocols: [smtp]}\n", "  device: {protocols: [smtp]}\n  brief: {protocols: [imap, smtp], mfa: {max_age: 1ms}}\n", 1) + more
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.serve(t, g, program)
	var issued struct{ ID, Login, Password string } // the last one
	user := func(name string, arguments ...string) login {
		out := d.admin(t, append([]string{"password", "issue", name, "--label", "x", "--json"}, arguments...)...)
		if err := json.Unmarshal([]byte(out), &issued); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return login{Login: issued.Login, Mailbox: "alice@contoso.example", Password: issued.Password}
	}
	wrong := func(name string) login { return login{Login: name, Mailbox: name, Password: wrongPassword} }
	revoked := user("alice@contoso.example")
	d.admin(t, "password", "revoke", issued.ID)
	locked := user("scans-reader")
	d.admin(t, "user", "lock", "scans-reader")
	attempts := []struct {
		name string
		who  login
		want string // the reason, as the audit log has it
	}{
		{"unknown login", wrong("nobody@elsewhere.example"), "unknown-login"},
		{"no name at all, nearly", wrong("x"), "unknown-login"},
		{"wrong password", wrong("copier-3"), "wrong-password"},
		{"never enrolled", wrong("carol@contoso.example"), "wrong-password"},
		{"suspended", user("brief@contoso.example"), "evidence-expired"},
		{"revoked", revoked, "password-revoked"},
		{"locked", locked, "login-locked"},
		{"expired", user("alice@contoso.example", "--expires", "3s"), "password-expired"}, // the seven before it take a second each
	}
	for protocol, ask := range map[string]func(*testing.T, *gateway, login) string{"imap": d.imapSignIn, "smtp": d.smtpSend} {
		first := ""
		for _, a := range attempts {
			before := len(d.audit(t))
			got := ask(t, g, a.who)
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s by %s: got %q, want %q as for the others", a.name, protocol, got, first)
			}
			if lines := refusals(d.audit(t), before); len(lines) != 1 || lines[0].Reason != a.want {
				t.Errorf("%s by %s: the audit log has %+v, want one for %s", a.name, protocol, lines, a.want)
			}
		}
	}
}
