package e2e

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
)

// TestAdministration: an administrator without scripts issues an app password for a copier behind a second factor of their
// own, and locks, unlocks and revokes; each counts at once, and each is in the audit log with who did it and from where. A
// person who is no administrator sees nothing of it (threat model I-24, I-37, I-40, I-43).
func TestAdministration(t *testing.T) {
	t.Parallel()
	g := startDemo(t)
	admin := openReader(t, g)
	admin.signIn(t, g, "bob@contoso.example")
	admin.visit(t, g.Portal+"/admin").sees(t, "copier-3", "alice@contoso.example", "1 to ")

	// No app password without a second factor; the way leads back to the form.
	admin.visit(t, g.Portal+"/admin/issue?login=copier-3")
	admin.visit(t, g.Portal+admin.finds(t, `href="(/factors\?return=[^"]*)"`)).enrolTOTP(t)
	if !strings.HasPrefix(admin.at.RequestURI(), "/admin/issue?login=copier-3") {
		t.Fatalf("the second factor leads to %s, want the form", admin.at)
	}
	admin.send(t, "/admin/issue", "label", "Kyocera, 2nd floor", "use", "sending", "where", "anywhere", "life", "365")
	admin.sees(t, "Kyocera, 2nd floor", port(t, g.Submission), "Sender address")
	copier := login{Login: "copier-3", Mailbox: "scans@contoso.example", Password: admin.finds(t, `id="secret">([a-z0-9-]+)<`)}
	if strings.Contains(admin.visit(t, admin.at.String()).page, copier.Password) {
		t.Error("a reload shows the password again")
	}
	if admin.visit(t, g.Portal+"/admin/issue?login=alice@contoso.example"); admin.status != http.StatusForbidden {
		t.Errorf("the form for a person: got status %d, want 403", admin.status)
	}

	// It works; a lock ends what it opened, and what is revoked stays out.
	page := g.Portal + "/admin/login?name=copier-3"
	live := g.signIn(t, copier, "smtp")
	admin.visit(t, g.Portal+"/admin/sessions?q=copier-3").sees(t, "1 to 1 of 1")
	admin.visit(t, page).send(t, "/admin/lock", "reason", "moved").sees(t, "It is locked. Live sessions that end: 1.")
	_, _ = live[0].ended(t, endTime)
	admin.send(t, "/admin/unlock").sees(t, "It may sign in again.")
	live = g.signIn(t, copier, "smtp")
	id := admin.finds(t, `<strong>Kyocera, 2nd floor</strong>(?s:.*?)action="/admin/passwords/([a-z0-9]+)/revoke"`)
	admin.send(t, "/admin/passwords/"+id+"/revoke").sees(t, "“Kyocera, 2nd floor” is revoked. Live sessions that end: 1.")
	_, _ = live[0].ended(t, endTime)

	admin.visit(t, g.Portal+"/admin/forecast").sees(t, "What will stop")
	admin.visit(t, g.Portal+"/admin/events?login=copier-3").sees(t, "login-locked", "moved", "password-revoked", "by bob@contoso.example (", "administrator) at 127.0.0.1:")
	admin.visit(t, g.Portal+"/admin/events.csv?kind=login-locked")
	rows, err := csv.NewReader(strings.NewReader(admin.page)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][5] != "copier-3" {
		t.Errorf("the export is %v, %v", rows, err)
	}
	admin.visit(t, g.Portal+"/admin/events?kind=events-exported").sees(t, "count=1")

	person := openReader(t, g)
	person.signIn(t, g, "alice@contoso.example")
	if strings.Contains(person.page, "Administration") {
		t.Error("a user is shown the way to the administration")
	}
	for _, path := range []string{"/admin", "/admin/login?name=copier-3", "/admin/events", "/admin/events.csv", "/admin/issue?login=copier-3"} {
		if person.visit(t, g.Portal+path); person.status != http.StatusForbidden {
			t.Errorf("%s for a user: got status %d, want 403", path, person.status)
		}
	}
}
