package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fetchmailFetches has fetchmail fetch a folder over both protections, keep it, and hand it to a delivery agent.
func fetchmailFetches(t *testing.T, g *gateway, alice login) {
	fetchmail := need(t, "fetchmail")
	client := g.open(t, alice)
	if err := client.Create("fetchmail", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	put(t, client, "fetchmail", letter("bob@fabrikam.example", alice.Mailbox, "fetchmail", trickyBody))
	for name, way := range map[string]struct{ address, protect string }{
		"implicit": {g.IMAPS, "ssl"},
		"starttls": {g.IMAP, `sslproto "TLS1.2+"`},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			delivered := filepath.Join(home, "delivered")
			config := write(t, home, "fetchmailrc", fmt.Sprintf("poll localhost service %s protocol imap\n"+
				"  user %q password %q %s sslcertck sslcertfile %q\n  folder fetchmail keep fetchall no rewrite mda \"/bin/cat >>%s\"\n",
				port(t, way.address), alice.Login, alice.Password, way.protect, g.CAFile, delivered))
			out := command{path: fetchmail, args: []string{"--fetchmailrc", config, "--nosyslog", "--nodetach",
				"--pidfile", filepath.Join(home, "pid"), "--idfile", filepath.Join(home, "ids")}, home: home}.must(t)
			got, err := os.ReadFile(delivered)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// A delivery agent gets lines of its own system.
			if want := strings.ReplaceAll(trickyBody, "\r\n", "\n"); !strings.HasSuffix(string(got), "\n\n"+want) {
				t.Errorf("got\n%q\nwant it to end in\n%q", got, want)
			}
		})
	}
}
