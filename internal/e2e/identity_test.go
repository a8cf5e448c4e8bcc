package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// TestI25IdentityStaysForTheSession: who has signed in stays who they are. Another sign-in in the same session, by whatever
// command, is refused, with a right password of somebody else's, too; and what follows is still the first one's.
func TestI25IdentityStaysForTheSession(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	user, other := alice(t, g), g.named(t, "scans-reader")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + other.Login + "\x00" + other.Password))
	put(t, g.open(t, user), "INBOX", letter("bob@contoso.example", user.Mailbox, "for alice alone", trickyBody))

	before := len(d.audit(t))
	for _, command := range []string{fmt.Sprintf("LOGIN %q %q", other.Login, other.Password), "AUTHENTICATE PLAIN " + plain, "UNAUTHENTICATE", "STARTTLS"} {
		imap := g.signIn(t, user, "imap")[0]
		imap.say(t, "c OK", "DONE")
		if got := imap.say(t, "r ", "r "+command); strings.HasPrefix(got, "r OK") {
			t.Errorf("IMAP takes %s: %s", strings.Fields(command)[0], got)
		}
		imap.say(t, "s OK", "s SELECT INBOX")
		if got := imap.say(t, "* SEARCH", "u UID SEARCH SUBJECT alone"); strings.TrimSpace(got) == "* SEARCH" {
			t.Errorf("after %s the session does not see alice's mailbox any more: %q", strings.Fields(command)[0], got)
		}
	}

	smtp := g.signIn(t, user, "smtp")[0]
	for _, command := range []string{"AUTH PLAIN " + plain, "AUTH LOGIN", "STARTTLS"} {
		smtp.say(t, "503", command)
	}
	smtp.say(t, "250 ", "MAIL FROM:<"+user.Mailbox+">")
	for _, line := range d.audit(t)[before:] {
		if line.Login == other.Login {
			t.Errorf("the audit log has %+v", line)
		}
	}
}
