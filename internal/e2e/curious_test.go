package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestI40NoAdministratorReadsASecret has a curious administrator look at all that the portal shows of a person who has an
// authenticator and an app password, and try to get a password for the person's mailbox. Neither secret is there in any
// form, and nothing that the administrator does becomes the person's.
func TestI40NoAdministratorReadsASecret(t *testing.T) {
	t.Parallel()
	g := startDemo(t)
	const owner, curious = "alice@contoso.example", "bob@contoso.example"
	alice := openReader(t, g)
	alice.signIn(t, g, owner).visit(t, g.Portal+"/factors")
	alice.send(t, "/factors/totp")
	key := alice.finds(t, `<p class="secret">([A-Z2-7 ]+)</p>`)
	alice.proveTOTP(t, key)
	factor := alice.finds(t, `href="/factors/([a-z0-9]+)/remove"`)
	alice.visit(t, g.Portal+"/passwords/new?login="+owner)
	alice.send(t, "/passwords/new", "label", "Thunderbird", "use", "everything", "where", "anywhere", "life", "90")
	password := alice.finds(t, `id="secret">([a-z0-9-]+)<`)
	id := alice.visit(t, g.Portal+"/passwords").finds(t, `<strong>Thunderbird</strong>.*?\n(?s:.*?)href="/passwords/([a-z0-9]+)/revoke"`)

	l := &leaks{}
	l.add("app password", password)
	l.add("app password without its dashes", strings.ReplaceAll(password, "-", ""))
	l.add("key of the authenticator", key)
	l.add("key of the authenticator without its spaces", strings.ReplaceAll(key, " ", ""))
	bob := openReader(t, g)
	bob.signIn(t, g, curious).sees(t, "administrator")
	for _, page := range []string{"/admin", "/admin/login?login=" + owner, "/admin/sessions", "/admin/forecast", "/admin/events", "/admin/events.csv",
		"/passwords", "/passwords/issued", "/admin/issued?login=" + owner, "/factors", "/factors/totp", "/activity"} {
		bob.visit(t, g.Portal+page)
		if bob.status >= http.StatusInternalServerError {
			t.Errorf("%s: got status %d", page, bob.status)
		}
		l.in(t, page, []byte(bob.page))
	}
	for _, page := range []string{"/passwords/" + id, "/passwords/" + id + "/revoke", "/factors/" + factor + "/remove", "/passwords/new?login=" + owner} {
		if bob.visit(t, g.Portal+page); bob.status != http.StatusNotFound && !strings.Contains(bob.at.Path, "/passwords") {
			t.Errorf("%s: got status %d at %s, want that there is no such thing", page, bob.status, bob.at)
		}
		l.in(t, page, []byte(bob.page))
	}

	// With a second factor of his own proved, he still gets none for her login, nor one that he chooses.
	bob.visit(t, g.Portal+"/factors").enrolTOTP(t)
	if bob.visit(t, g.Portal+"/admin/issue?login="+owner); bob.status != http.StatusForbidden {
		t.Errorf("the form for her login: got status %d at %s, want a refusal", bob.status, bob.at)
	}
	bob.visit(t, g.Portal+"/admin/issue?login=copier-3")
	bob.send(t, "/admin/issue", "login", owner, "label", "mine", "use", "everything", "where", "anywhere", "life", "90", "password", "chosen-by-bob")
	if bob.status != http.StatusForbidden {
		t.Errorf("a form for the copier, turned to her login: got status %d at %s, want a refusal", bob.status, bob.at)
	}
	if alice.visit(t, g.Portal+"/passwords"); strings.Contains(alice.page, "mine") {
		t.Error("she has an app password that he made")
	}
}
