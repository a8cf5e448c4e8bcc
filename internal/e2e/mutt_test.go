package e2e

import (
	"fmt"
	"net/url"
	"testing"
)

// TestMuttSendsAndRecords sends with mutt from a script. mutt sends by SMTP and then stores its own copy by IMAP, in a
// folder that it creates.
func TestMuttSendsAndRecords(t *testing.T) {
	mutt := need(t, "mutt")
	g := startDemo(t)
	alice := g.person(t)
	client := g.open(t, alice)
	for name, way := range map[string]struct{ smtp, smtpAt, imap, imapAt string }{
		"implicit": {"smtps", g.SMTPS, "imaps", g.IMAPS},
		"starttls": {"smtp", g.Submission, "imap", g.IMAP},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			record := "Kept by mutt " + name
			config := write(t, home, "muttrc", fmt.Sprintf("set from=%q realname=\"Alice\" use_from use_envelope_from\n"+
				"set ssl_ca_certificates_file=%q certificate_file=\"\" ssl_force_tls=yes ssl_starttls=yes\n"+
				"set smtp_url=\"%s://%s@%s\" imap_user=%q imap_pass=%q\n"+
				"set smtp_authenticators=\"plain\" imap_authenticators=\"login\"\n"+
				"my_hdr X-Test: mutt\nset folder=\"%s://%s/\" record=\"=%s\" copy=yes confirmcreate=no confirmappend=no\n",
				alice.Mailbox, g.CAFile, way.smtp, url.QueryEscape(alice.Login), byName(t, way.smtpAt), alice.Login, alice.Password,
				way.imap, byName(t, way.imapAt), record)+
				fmt.Sprintf("set smtp_pass=%q\n", alice.Password))
			subject := "mutt " + name
			command{path: mutt, args: []string{"-n", "-F", config, "-s", subject, "--", alice.Mailbox}, home: home,
				stdin: "A line from mutt\n.\n"}.must(t)
			const body = "A line from mutt\r\n.\r\n"
			receivedWhole(t, client, subject, body)
			if got := arrived(t, client, record, subject).body(); got != body {
				t.Errorf("%s: got body %q, want %q", record, got, body)
			}
		})
	}
}
