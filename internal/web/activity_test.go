package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/session"
)

// happened puts an event into the desk, as the newest.
func (h *harness) happened(e audit.Event, at time.Time) {
	h.t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		h.t.Fatal(err)
	}
	h.desk.entries = append([]audit.Entry{{Time: at, Kind: e.Kind(), Line: line}}, h.desk.entries...)
}

func TestActivity(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	refused := audit.SignIn{Outcome: audit.Refused, Reason: "wrong-password", Login: alice.Username, Remote: "10.0.8.31:49152",
		Client: "<script>alert(1)</script>"}
	for i := range 47 {
		refused.Remote = "10.0.8.31:" + string(rune('1'+i%9)) + "000"
		h.happened(refused, start.Add(time.Duration(i)*time.Minute))
	}
	h.happened(audit.SignIn{Outcome: audit.Allowed, Login: alice.Username, Remote: "192.0.2.7:1", Password: "idtest"}, start.Add(time.Hour))
	h.happened(audit.PasswordRevoked{ID: "idtest", Login: alice.Username, By: `bob "<i>" (oid-bob, operator) at 192.0.2.9:4711`}, start.Add(2*time.Hour))
	h.happened(audit.TokenRefused{Account: alice.Username, Class: "temporary"}, start.Add(3*time.Hour))
	h.happened(audit.Message{Login: alice.Username}, start.Add(3*time.Hour))
	a := h.signedIn(alice).get("/activity").want(200,
		"Refused: wrong password", "47 times, since", "from 10.0.8.31", "calls itself “<script>alert(1)</script>”", "Your Microsoft password does not work here",
		"Signed in", "with “Thunderbird”", `App password revoked, by bob "<i>"`, "from 192.0.2.9", "The page looks 30 days back.")
	if strings.Contains(a.Body, "<script>alert") || strings.Contains(a.Body, "<i>") {
		t.Errorf("what strangers wrote is not encoded:\n%s", a.Body)
	}
	if n := strings.Count(a.Body, "<li class="); n != 3 {
		t.Errorf("got %d lines, want 3:\n%s", n, a.Body)
	}
	h.signedIn(alice).get("/").want(200, "What was refused lately", "Refused: wrong password").lacks("App password revoked")

	h.desk.found = audit.Found{Oldest: start.Add(-time.Hour)}
	h.signedIn(alice).get("/activity").want(200, "looks back only to", "24 Nov 2026, 08:00 UTC").lacks("30 days")
}

func TestActivityIsBounded(t *testing.T) {
	h := newHarness(t)
	for i := range 150 {
		h.happened(audit.SignIn{Outcome: audit.Allowed, Login: alice.Username, Client: strings.Repeat("x", i)}, start)
	}
	a := h.signedIn(alice).get("/activity").want(200, "Older lines are left out")
	if n := strings.Count(a.Body, "<li class="); n != maxHappenings {
		t.Errorf("got %d lines, want %d", n, maxHappenings)
	}
}

// TestEveryKindAndReasonHasWords: each kind that the page asks for has a text, which takes what it is given; each reason of
// a refusal has one, or the one for the rest, with what to do.
func TestEveryKindAndReasonHasWords(t *testing.T) {
	h := newHarness(t)
	var events []audit.Event
	for _, e := range audit.Catalogue() {
		events = append(events, e)
	}
	for _, reason := range []auth.Reason{
		auth.UnknownLogin, auth.WrongPassword, auth.PasswordExpired, auth.PasswordRevoked, auth.LoginLocked, auth.HeldOff, auth.EvidenceMissing,
		auth.EvidenceExpired, auth.ProtocolForbidden, auth.NetworkForbidden, auth.LegacyTLS, auth.IdentityForbidden, auth.TooManySessions,
		auth.StoreUnavailable, auth.TokenUnavailable, auth.SignInNeeded, auth.Misconfigured, auth.UpstreamUnavailable, auth.UpstreamRefused,
	} {
		events = append(events, audit.SignIn{Outcome: audit.Refused, Reason: string(reason)})
	}
	events = append(events, audit.TokenRefused{Class: "needs-sign-in"}, audit.PortalSignIn{Outcome: audit.Refused})
	for _, e := range events {
		h.desk.entries = nil
		h.happened(e, start)
		for _, language := range languages {
			c := h.signedIn(alice)
			c.language = language
			c.get("/activity").want(200).lacks("%!")
		}
	}
}

func TestSessions(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	c := h.signedIn(alice)
	c.get("/sessions").want(200, "Nothing is connected")
	h.desk.sessions = []session.Info{{ID: "s1", Protocol: "imap", Login: alice.Username, Password: "idtest", Started: start}}
	c.get("/sessions").want(200, "Thunderbird", "IMAP (reading)", "24 Nov 2026, 09:00 UTC")
	c.get("/").want(200)
	c.post("/sessions/s1/cut", nil).wantRedirect("/sessions?told=")
	h.wantEvents("sessions-cut")
	c.get("/sessions?told=").want(200, "The connection is cut off")
	c.post("/sessions/s1/cut", nil).want(404)
	h.wantEvents()
}
