package web

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/session"
)

// TestBrowserDesk makes an app password in a real browser, which shows it once: not after the way back, and not after a
// reload. Every page of one's own things is looked at, in which the browser may find nothing to complain about.
func TestBrowserDesk(t *testing.T) {
	h, b, at := browse(t, proved(alice))
	h.desk.policy(alice).MFA.MaxAge = config.Duration(90 * 24 * time.Hour)
	h.password(func(r *apppassword.Record) {
		r.ID, r.Label, r.Protocols, r.Evidence.At = "scanner", "Scanner, 2nd floor", []string{"smtp"}, start.AddDate(0, 0, -100)
		r.LastUse = apppassword.Use{At: start.Add(-26 * time.Hour), From: netip.MustParseAddr("10.0.8.31"), Client: "copier"}
	})
	for i := range 47 {
		h.happened(audit.SignIn{Outcome: audit.Refused, Reason: "evidence-expired", Login: alice.Username, Remote: "10.0.8.31:49152",
			Password: "scanner", Client: "copier"}, start.Add(time.Duration(i-60)*time.Minute))
	}
	b.Visit(at + "/")
	b.WaitFor("App passwords that want your confirmation: 1", "47 times")
	b.Shot("home")

	b.PressText("New app password")
	b.WaitFor("What is it for?")
	b.Shot("create")
	b.Fill("#label", "Thunderbird on my laptop")
	b.PressText("Make the app password")
	b.WaitFor("Your new app password", "Settings for a mail program")
	b.Shot("issued")
	password := b.Value("#secret")
	if !strings.HasPrefix(password, "abcd-efgh-") {
		t.Fatalf("the page shows %q", password)
	}
	b.PressText("Copy")
	b.Back()
	b.WaitFor("What is it for?")
	b.Visit(at + "/passwords/issued")
	if page := b.WaitFor("shown only once"); strings.Contains(page, password) {
		t.Error("the password is shown again")
	}
	b.Shot("gone")

	h.desk.sessions = []session.Info{{ID: "s1", Protocol: "imap", Login: alice.Username, Password: "id1", Started: start, Remote: netip.MustParseAddrPort("192.0.2.7:1")}}
	b.Visit(at + "/sessions")
	b.WaitFor("Thunderbird on my laptop")
	b.Shot("sessions")
	b.Visit(at + "/activity")
	b.WaitFor("Refused: your last confirmation is too long ago")
	b.Shot("activity")
	b.Language("de")
	b.Visit(at + "/passwords")
	b.WaitFor("App-Kennwörter", "ausgesetzt")
	b.Shot("passwords-de")
	b.PressText("Mit zweitem Faktor bestätigen")
	b.WaitFor("Sie müssen zu keinem Gerät gehen.")
	b.Shot("renew-de")
	b.PressText("Mit zweitem Faktor bestätigen")
	b.WaitFor("unverändert weiter gelten: 1")
}
