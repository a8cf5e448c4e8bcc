package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestMsmtpSends sends with msmtp, as sendmail is called by programs, over STARTTLS and implicit TLS.
func TestMsmtpSends(t *testing.T) {
	t.Parallel()
	msmtp := need(t, "msmtp")
	g := startDemo(t)
	alice := g.person(t)
	home := t.TempDir()
	account := func(name, address, starttls, mechanism string) string {
		return fmt.Sprintf("account %s\nhost localhost\nport %s\ntls on\ntls_starttls %s\ntls_trust_file %s\n"+
			"auth %s\nuser %s\npassword %q\nfrom %s\nlogfile -\n\n",
			name, port(t, address), starttls, g.CAFile, mechanism, alice.Login, alice.Password, alice.Mailbox)
	}
	config := write(t, home, "msmtprc", account("submission", g.Submission, "on", "login")+account("smtps", g.SMTPS, "off", "plain"))
	reader := g.open(t, alice)
	for _, name := range []string{"submission", "smtps"} {
		t.Run(name, func(t *testing.T) {
			subject := "msmtp " + name
			message := letter(alice.Mailbox, alice.Mailbox, subject, trickyBody)
			command{path: msmtp, args: []string{"--file=" + config, "--account=" + name, "--read-recipients"}, home: home,
				stdin: strings.ReplaceAll(message, "\r\n", "\n")}.must(t)
			receivedWhole(t, reader, subject, trickyBody)
		})
	}
}
