package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// enrolTOTP enrols an authenticator, and leaves the reader where it leads back to.
func (r *reader) enrolTOTP(t *testing.T) {
	t.Helper()
	r.proveTOTP(t, r.send(t, "/factors/totp").finds(t, `<p class="secret">([A-Z2-7 ]+)</p>`))
}

// proveTOTP ends the enrolment of an authenticator with the key that the page has shown.
func (r *reader) proveTOTP(t *testing.T, key string) {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.send(t, "/factors/totp/finish", "name", "my phone", "code", code)
}

// TestAppPasswordFromThePortal: a person without scripts signs in with Microsoft, enrols a second factor, makes an app
// password, and reads and sends with it; then revokes it, and neither the open sessions nor new ones go on (threat model
// I-24, I-40).
func TestAppPasswordFromThePortal(t *testing.T) {
	t.Parallel()
	curl, swaks := need(t, "curl"), needSwaks(t)
	g := startDemo(t)
	r := openReader(t, g)
	r.signIn(t, g, "alice@contoso.example").sees(t, "Hello, Alice Archer", "helpdesk@contoso.example", "ready")

	// Without a second factor there is no form; with the first one the way leads back to it.
	r.visit(t, g.Portal+"/passwords/new?login=alice@contoso.example")
	r.visit(t, g.Portal+r.finds(t, `href="(/factors\?return=[^"]*)"`)).enrolTOTP(t)
	if !strings.HasPrefix(r.at.RequestURI(), "/passwords/new?login=alice") {
		t.Fatalf("the second factor leads to %s, want the form", r.at)
	}
	r.send(t, "/passwords/new", "label", "Thunderbird on my laptop", "use", "everything", "where", "here", "life", "90")
	r.sees(t, "Your new app password", "Thunderbird on my laptop", port(t, g.IMAPS), port(t, g.SMTPS), port(t, g.Submission), "Sender address")
	user := login{Login: "alice@contoso.example", Mailbox: "alice@contoso.example", Password: r.finds(t, `id="secret">([a-z0-9-]+)<`)}
	if strings.Contains(r.visit(t, r.at.String()).page, user.Password) {
		t.Error("a reload shows the password again")
	}

	// It works.
	read := command{path: curl, args: []string{"--silent", "--show-error", "--max-time", "60", "--cacert", g.CAFile,
		"--user", user.Login + ":" + user.Password, "imaps://" + byName(t, g.IMAPS) + "/", "--request", "STATUS INBOX (MESSAGES)"}}
	if out := read.must(t); !strings.Contains(out, "STATUS") {
		t.Errorf("curl read %q", out)
	}
	send := command{path: swaks, args: append(swaksArgs(t, g, true, "LOGIN", user), "--from", user.Mailbox, "--to", user.Mailbox)}
	sessions := g.signIn(t, user, "imap", "smtp")
	r.visit(t, g.Portal+"/sessions").sees(t, "Thunderbird on my laptop", "IMAP (reading)", "SMTP (sending)")
	send.must(t)
	eventually(t, endTime, "the last use is on the page", func() error {
		if !strings.Contains(r.visit(t, g.Portal+"/passwords").page, "calls itself “swaks.example”") {
			return errors.New(r.page)
		}
		return nil
	})

	// It is revoked, and nothing goes on.
	id := r.finds(t, `<strong>Thunderbird on my laptop</strong>.*?\n(?s:.*?)href="/passwords/([a-z0-9]+)/revoke"`)
	r.visit(t, g.Portal+"/passwords/"+id+"/revoke").sees(t, "Revoke this app password?")
	r.send(t, "/passwords/"+id+"/revoke").sees(t, "is revoked", "cut off: 2")
	for _, s := range sessions {
		_, _ = s.ended(t, endTime)
	}
	if _, code := read.try(t); code != curlLoginDenied {
		t.Errorf("curl ends with %d after the revocation, want %d", code, curlLoginDenied)
	}
	if out, code := send.try(t); code != swaksRefused {
		t.Errorf("swaks ends with %d after the revocation, want %d:\n%s", code, swaksRefused, out)
	}
	r.visit(t, g.Portal+"/activity").sees(t, "Refused: the app password was revoked", "App password revoked, by alice@contoso.example",
		"New app password “Thunderbird on my laptop”", "New second factor “my phone”", "Signed in")

	bob := openReader(t, g)
	bob.signIn(t, g, "bob@contoso.example")
	if bob.visit(t, g.Portal+"/passwords/"+id); bob.status != http.StatusNotFound {
		t.Errorf("bob gets status %d for alice's password, want 404", bob.status)
	}
}

// curlLoginDenied is curl's exit code for a refused sign-in.
const curlLoginDenied = 67
