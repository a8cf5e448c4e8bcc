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
	t.Parallel()
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

// curlReads stores, lists, finds, flags and reads a message with curl.
func curlReads(t *testing.T, g *gateway, user login) {
	curl := need(t, "curl")
	if err := g.open(t, user).Create("curl", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			run := func(path string, args ...string) string {
				t.Helper()
				args = append(append([]string{"--silent", "--show-error", "--max-time", "60", "--cacert", g.CAFile,
					"--user", user.Login + ":" + user.Password}, way.args...), args...)
				return command{path: curl, args: append(args, way.imap+"://"+byName(t, way.imapAt(g))+path)}.must(t)
			}
			message := letter("bob@fabrikam.example", user.Mailbox, "curl "+way.name, trickyBody)
			run("/curl", "--upload-file", write(t, t.TempDir(), "message.eml", message))
			if list := run("/"); !strings.Contains(list, "curl") {
				t.Errorf("got list\n%swant curl in it", list)
			}
			found := run("/curl", "--request", `UID SEARCH SUBJECT "curl `+way.name+`"`)
			uid := strings.TrimSpace(strings.TrimPrefix(found, "* SEARCH"))
			if uid == "" || strings.Contains(uid, " ") {
				t.Fatalf("got search result %q, want one message", found)
			}
			run("/curl", "--request", "UID STORE "+uid+` +FLAGS (\Flagged)`)
			if got := run("/curl", "--request", "UID FETCH "+uid+" (FLAGS)"); !strings.Contains(got, `\Flagged`) {
				t.Errorf("got %q, want it flagged", got)
			}
			if got := run("/curl;UID=" + uid); got != message {
				t.Errorf("got\n%q\nwant\n%q", got, message)
			}
		})
	}
}
