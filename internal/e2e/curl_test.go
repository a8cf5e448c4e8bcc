package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// ways are how a client may protect its connections.
var ways = []struct {
	name           string
	smtp, imap     string // URL schemes of curl
	smtpAt, imapAt func(*gateway) string
	args           []string
}{
	{name: "implicit", smtp: "smtps", imap: "imaps",
		smtpAt: func(g *gateway) string { return g.SMTPS }, imapAt: func(g *gateway) string { return g.IMAPS }},
	{name: "starttls", smtp: "smtp", imap: "imap", args: []string{"--ssl-reqd"},
		smtpAt: func(g *gateway) string { return g.Submission }, imapAt: func(g *gateway) string { return g.IMAP }},
}

// TestCurlSendsAndReads sends a message with curl and reads it back with curl, in every way of signing in.
func TestCurlSendsAndReads(t *testing.T) {
	curl := need(t, "curl")
	g := startDemo(t)
	alice := g.person(t)
	for _, way := range ways {
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			t.Run(way.name+" "+mechanism, func(t *testing.T) {
				subject := "curl " + way.name + " " + mechanism
				message := letter(alice.Mailbox, alice.Mailbox, subject, trickyBody)
				common := append([]string{"--silent", "--show-error", "--max-time", "60", "--cacert", g.CAFile,
					"--user", alice.Login + ":" + alice.Password, "--login-options", "AUTH=" + mechanism}, way.args...)
				command{path: curl, args: append(common, "--mail-from", alice.Mailbox, "--mail-rcpt", alice.Mailbox,
					"--upload-file", write(t, t.TempDir(), "message.eml", message),
					way.smtp+"://"+byName(t, way.smtpAt(g))+"/curl.example")}.must(t)

				receivedWhole(t, g.open(t, alice), subject, trickyBody)

				inbox := way.imap + "://" + byName(t, way.imapAt(g)) + "/INBOX"
				search := "?" + strings.ReplaceAll(url.QueryEscape(`SUBJECT "`+subject+`"`), "+", "%20")
				hits := command{path: curl, args: append(common, inbox+search)}.must(t)
				index := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(hits), "* SEARCH"))
				if index == "" || strings.Contains(index, " ") {
					t.Fatalf("got search result %q, want one message", hits)
				}
				got := stored{raw: []byte(command{path: curl, args: append(common, inbox+";MAILINDEX="+index)}.must(t))}
				if got.header(t, "Subject") != subject || got.body() != trickyBody {
					t.Errorf("curl read\n%q\nwant\n%q", got.raw, message)
				}
			})
		}
	}
}
