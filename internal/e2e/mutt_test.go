package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestMuttSendsAndRecords sends with mutt from a script. mutt sends by SMTP and then stores its own copy by IMAP, in a
// folder that it creates.
func TestMuttSendsAndRecords(t *testing.T) {
	t.Parallel()
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

// muttReads opens a folder with mutt, as a person at a terminal does, marks what a pattern finds, copies it to a file
// and leaves.
func muttReads(t *testing.T, g *gateway, user login) {
	mutt, script := need(t, "mutt"), need(t, "script")
	client := g.open(t, user)
	if err := client.Create("mutt", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	put(t, client, "mutt", letter("bob@fabrikam.example", user.Mailbox, "not this one", "no\r\n"))
	put(t, client, "mutt", letter("bob@fabrikam.example", user.Mailbox, "mutt-reads", trickyBody))
	home := t.TempDir()
	copied := filepath.Join(home, "copied")
	config := write(t, home, "muttrc", fmt.Sprintf("set ssl_ca_certificates_file=%q certificate_file=\"\" imap_user=%q imap_pass=%q\n"+
		"set imap_authenticators=\"login\" confirmappend=no confirmcreate=no wait_key=no resolve=no mbox_type=mbox folder=%q\n"+
		"push '<limit>~s mutt-reads<enter><flag-message><copy-message><kill-line>%s<enter><sync-mailbox><exit>'\n",
		g.CAFile, user.Login, user.Password, home, copied))
	// script gives mutt a terminal.
	command{path: script, args: []string{"--quiet", "--return", "--command",
		fmt.Sprintf("TERM=xterm %s -n -F %s -f imaps://%s/mutt", mutt, config, byName(t, g.IMAPS)), "/dev/null"}, home: home}.must(t)
	got, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	// A file in mbox format has lines of its own system, and ends in an empty one.
	if want := strings.ReplaceAll(trickyBody, "\r\n", "\n"); !strings.HasSuffix(string(got), "\n\n"+want+"\n") {
		t.Errorf("got\n%q\nwant it to end in\n%q", got, want)
	}
	for _, m := range messages(t, client, "mutt") {
		subject := m.header(t, "Subject")
		if marked := slices.Contains(m.flags, imap.FlagFlagged); marked != (subject == "mutt-reads") {
			t.Errorf("message %q: got it marked: %v", subject, marked)
		}
	}
}
