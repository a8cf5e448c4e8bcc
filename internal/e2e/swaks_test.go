package e2e

import (
	"strings"
	"testing"
)

// swaksRefused is swaks's exit code for a refused AUTH.
const swaksRefused = 28

// needSwaks gives the path of a swaks that can do TLS, which Debian's needs another package for.
func needSwaks(t *testing.T) string {
	t.Helper()
	swaks := need(t, "swaks")
	if out, _ := (command{path: swaks, args: []string{"--support"}}).try(t); strings.Contains(out, "TLS not available") {
		missing(t, "Perl's Net::SSLeay, which swaks needs for TLS, is not installed (Debian package libnet-ssleay-perl)")
	}
	return swaks
}

// swaksArgs signs in with swaks at the gateway and checks its certificate.
func swaksArgs(t *testing.T, g *gateway, implicit bool, mechanism string, user login) []string {
	t.Helper()
	address, protect := g.Submission, "--tls"
	if implicit {
		address, protect = g.SMTPS, "--tls-on-connect"
	}
	return []string{"--server", "localhost", "--port", port(t, address), protect, "--tls-verify", "--tls-ca-path", g.CAFile,
		"--helo", "swaks.example", "--auth", mechanism, "--auth-user", user.Login, "--auth-password", user.Password,
		"--timeout", "60", "--auth-hide-password"}
}

// TestSwaksSends sends as the copier to the person, with every mechanism and protection.
func TestSwaksSends(t *testing.T) {
	t.Parallel()
	swaks := needSwaks(t)
	g := startDemo(t)
	alice, copier := g.person(t), g.copier(t)
	for _, implicit := range []bool{true, false} {
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			way := "STARTTLS"
			if implicit {
				way = "implicit TLS"
			}
			t.Run(way+" "+mechanism, func(t *testing.T) {
				subject := "swaks " + way + " " + mechanism
				message := letter(copier.Mailbox, alice.Mailbox, subject, trickyBody)
				args := append(swaksArgs(t, g, implicit, mechanism, copier), "--from", copier.Mailbox, "--to", alice.Mailbox,
					"--data", "@"+write(t, t.TempDir(), "message.eml", strings.ReplaceAll(message, "\r\n", "\n")))
				out := command{path: swaks, args: args}.must(t)
				if !strings.Contains(out, "235 2.7.0 ") || !strings.Contains(out, "250 2.0.0 ") {
					t.Errorf("swaks saw no 235 2.7.0 and 250 2.0.0:\n%s", out)
				}
				got := arrived(t, g.open(t, alice), "INBOX", subject)
				// swaks ends its data with an empty line of its own.
				if body := strings.TrimRight(got.body(), "\r\n"); body != strings.TrimRight(trickyBody, "\r\n") {
					t.Errorf("got body\n%q\nwant\n%q", body, trickyBody)
				}
			})
		}
	}
}

// TestSwaksIsRefusedWithAWrongPassword holds the refusal to RFC 4954's code for it.
func TestSwaksIsRefusedWithAWrongPassword(t *testing.T) {
	t.Parallel()
	swaks := needSwaks(t)
	g := startDemo(t)
	copier := g.copier(t)
	copier.Password = "wrong-wrong-wrong-wrong"
	out, code := command{path: swaks, args: append(swaksArgs(t, g, false, "LOGIN", copier),
		"--from", copier.Mailbox, "--to", copier.Mailbox)}.try(t)
	if code != swaksRefused || !strings.Contains(out, "535 5.7.8 ") {
		t.Errorf("got exit code %d, want %d with 535 5.7.8:\n%s", code, swaksRefused, out)
	}
}
