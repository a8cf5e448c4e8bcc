package web

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/session"
)

func TestOfficeLogins(t *testing.T) {
	h := busyOffice(t)
	c := h.signedIn(olga)
	a := c.get("/admin").want(200, "copier-3", "copier-4", "scans@contoso.example", alice.Username, "needs sign-in", "locked", "1 to 4 of 4")
	for _, want := range []string{`href="/admin?show=attention"`, `href="/admin?show=locked"`, `href="/admin/login?name=copier-3"`, `href="/admin/sessions"`} {
		if !strings.Contains(a.Body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	a.lacks("/admin/events", "Renew them all") // an operator sees no events and issues nothing
	c.get("/admin?show=attention").want(200, "copier-4", "dora@contoso.example").lacks(`name=copier-3"`)
	c.get("/admin?show=devices&q=SCANS").want(200, "copier-3", "copier-4").lacks("dora@")
	c.get("/admin?q=nothing-like-it").want(200, "No login fits.")
	c.get("/admin?show=nonsense&page=-7").want(200, "1 to 4 of 4")
	c.get("/admin?q=" + strings.Repeat("x", 5000)).want(200)
	german := h.signedIn(olga)
	german.language = "de"
	german.get("/admin").want(200, "Anmeldename", "gesperrt", "muss sich anmelden")
}

// TestOfficeOfTenThousand: a list of that many is searched and paged, and no page is long.
func TestOfficeOfTenThousand(t *testing.T) {
	h := newHarness(t)
	template := h.office.logins[0]
	for i := range 10_000 {
		l := template
		l.Login.Mapping.Login = fmt.Sprintf("copier-x%05d", i)
		h.office.logins = append(h.office.logins, l)
	}
	c := h.signedIn(root)
	a := c.get("/admin").want(200, "1 to 100 of 10004", `href="/admin?page=2"`)
	if len(a.Body) > 150_000 {
		t.Errorf("the page has %d bytes", len(a.Body))
	}
	c.get("/admin?page=101").want(200, "10001 to 10004 of 10004", "copier-x09999").lacks("page=102")
	c.get("/admin?page=99999999999999999999").want(200)
	c.get("/admin?q=x0999&show=devices&page=1").want(200, "1 to 10 of 10")
}

func TestOfficeLogin(t *testing.T) {
	h := busyOffice(t)
	h.office.records[0].LastUse = apppassword.Use{At: start.Add(-time.Hour), From: netip.MustParseAddr("10.0.8.31"), Protocol: "smtp", Client: "copier"}
	policy := h.office.logins[0].Policy
	policy.Origins = map[string]config.Origin{"protocols": {Line: 17}, "networks": {Override: true, Line: 30}}
	h.office.entries = []audit.Entry{entry(1, `"kind":"sign-in","outcome":"refused","reason":"wrong-password","session":"s9","login":"copier-3","remote":"10.0.8.31:4000"`)}
	for role, test := range map[Role]struct {
		who         Person
		want, lacks []string
	}{
		Auditor: {carol, []string{"wrong-password", "policy device, line 17", "override of the entry, line 30"},
			[]string{`action="/admin/lock"`, "/revoke", "/admin/issue", `action="/admin/cut"`}},
		Operator: {olga, []string{`action="/admin/lock"`, `action="/admin/passwords/pw1/revoke"`, `action="/admin/cut"`},
			[]string{"wrong-password", "line 17", "/admin/issue", "/renew", "reset"}},
		Administrator: {root, []string{"wrong-password", "line 17", "/admin/issue?login=copier-3", `action="/admin/lock"`},
			[]string{"they make their app passwords themselves"}},
	} {
		a := h.signedIn(test.who).get("/admin/login?name=COPIER-3").want(200, append(test.want,
			"scans@contoso.example", "its own entry, line 31", "Copier, 2nd floor", "pw1", "10.0.8.31 · SMTP (sending)", "by root@contoso.example")...)
		a.lacks(test.lacks...)
		if t.Failed() {
			t.Fatal(role)
		}
	}
	c := h.signedIn(root)
	c.get("/admin/login?name="+alice.Username).want(200, "Reset second factors (1)", "pw2").lacks("New app password")
	c.get("/admin/login?name=copier-4").want(200, "stolen", `action="/admin/unlock"`)
	c.get("/admin/login?name=dora@contoso.example").want(200, "the password was changed", "postern user enroll")

	dora := &h.office.logins[3]
	dora.NeedsSignIn, dora.Refused, dora.Reason = false, true, "a policy of the tenant blocks it"
	c.get("/admin/login?name=dora@contoso.example").want(200, "refused by the provider", "a policy of the tenant", "postern user recheck dora@contoso.example")
	c.get("/admin?show=attention").want(200, "dora@contoso.example", "refused by the provider")
}

func TestOfficeActions(t *testing.T) {
	h := busyOffice(t)
	h.office.logins[0].NeedsSignIn = false
	c := h.signedIn(proved(root))
	const by = "root@contoso.example (oid-root, administrator) at 192.0.2.7:50000"
	follow := func(a *answer, texts ...string) {
		t.Helper()
		if a.Status != http.StatusSeeOther {
			t.Fatalf("got status %d:\n%s", a.Status, a.Body)
		}
		c.get(a.Location).want(200, texts...)
	}
	want := func(e audit.Event) {
		t.Helper()
		if diff := cmp.Diff([]audit.Event{e}, h.wantEvents(e.Kind())); diff != "" {
			t.Errorf("events differ (-want +got):\n%s", diff)
		}
	}
	follow(c.post("/admin/lock", url.Values{"login": {"copier-3"}, "reason": {" stolen from the van "}}), "It is locked. Live sessions that end: 2.", "stolen from the van")
	want(audit.LoginLocked{Login: "copier-3", Reason: "stolen from the van", By: by})
	follow(c.post("/admin/unlock", url.Values{"login": {"copier-3"}}), "It may sign in again.")
	want(audit.LoginUnlocked{Login: "copier-3", By: by})
	follow(c.post("/admin/cut", url.Values{"session": {"s1"}, "return": {"/admin/login?name=copier-3"}}), "Sessions ended: 1.")
	want(audit.SessionsCut{What: "session s1", By: by})
	follow(c.post("/admin/passwords/pw1/revoke", nil), "“Copier, 2nd floor” is revoked. Live sessions that end: 1.", "revoked")
	want(audit.PasswordRevoked{ID: "pw1", Login: "copier-3", By: by})
	follow(c.post("/admin/factors/reset", url.Values{"login": {alice.Username}}), "Removed second factors: 1.")
	want(audit.FactorsReset{Account: alice.Username, Count: 1, By: by})
	for _, reason := range []string{strings.Repeat("x", 201), "two\nlines", "a\x1b[2Jb", "‮turned"} {
		c.post("/admin/lock", url.Values{"login": {"copier-3"}, "reason": {reason}}).want(422, "Nothing was locked")
	}
	c.wantEvents()
}

// TestI43OfficeRecordsFirst: where the audit log cannot be written, nothing is done.
func TestI43OfficeRecordsFirst(t *testing.T) {
	h := busyOffice(t)
	c := h.signedIn(proved(root))
	h.audit.fault = errors.New("disk full")
	for path, form := range map[string]url.Values{
		"/admin/lock": {"login": {"copier-3"}}, "/admin/unlock": {"login": {"copier-4"}}, "/admin/cut": {"session": {"s1"}},
		"/admin/passwords/pw1/revoke": {}, "/admin/passwords/pw1/renew": {"login": {"copier-3"}}, "/admin/factors/reset": {"login": {alice.Username}},
		"/admin/issue": {"login": {"copier-3"}, "label": {"x"}, "use": {"sending"}, "ticket": {strings.Repeat("t", 26)}},
	} {
		c.post(path, form).want(503, "Nothing was changed")
	}
	c.get("/admin/events.csv").want(503)
	if h.office.logins[0].Locked || !h.office.logins[1].Locked || len(h.office.sessions) != 1 || len(h.office.records) != 2 || !h.office.records[0].Revoked.IsZero() {
		t.Error("something was done that is not in the audit log")
	}
}

// TestOfficeNeedsAProof: what gives access waits for the administrator's own second factor, and what takes it away does not.
func TestOfficeNeedsAProof(t *testing.T) {
	h := busyOffice(t)
	c := h.signedIn(root) // signed in, and nothing more
	for path, form := range map[string]url.Values{
		"/admin/unlock":              {"login": {"copier-4"}},
		"/admin/passwords/pw1/renew": {"login": {"copier-3"}}, "/admin/factors/reset": {"login": {alice.Username}},
		"/admin/issue": {"login": {"copier-3"}, "label": {"x"}, "use": {"sending"}, "ticket": {strings.Repeat("t", 26)}},
	} {
		if a := c.post(path, form); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, "/factors/prove?") {
			t.Errorf("%s: got status %d, to %q, want the page that asks for a second factor", path, a.Status, a.Location)
		}
	}
	if a := c.get("/admin/issue?login=copier-3&label=x"); !strings.Contains(a.Location, url.QueryEscape("/admin/issue?label=x&login=copier-3")) {
		t.Errorf("got to %q, want the way back in it", a.Location)
	}
	if c.wantEvents(); !h.office.logins[1].Locked {
		t.Error("a login was unlocked without a proof")
	}
	c.post("/admin/lock", url.Values{"login": {"copier-3"}}).want(303)
	old := root
	old.Evidence = []Evidence{{Method: "totp", At: start.Add(-11 * time.Minute)}}
	if a := h.signedIn(old).post("/admin/factors/reset", url.Values{"login": {alice.Username}}); !strings.HasPrefix(a.Location, "/factors/prove?") {
		t.Errorf("a proof of eleven minutes ago: got to %q", a.Location)
	}
}

// TestI40DevicePasswordIsShownOnce: to the administrator who issued it, and to nobody afterwards. The record names them.
func TestI40DevicePasswordIsShownOnce(t *testing.T) {
	h := newHarness(t)
	c := h.signedIn(proved(root))
	page := c.get("/admin/issue?login=copier-3").want(200, "copier-3", "Also below TLS 1.2").Body
	ticket := regexp.MustCompile(`name="ticket" value="([^"]*)"`).FindStringSubmatch(page)[1]
	form := url.Values{"login": {"copier-3"}, "label": {"Copier, 3rd floor"}, "use": {"sending"}, "where": {"listed"}, "networks": {"10.0.8.31"},
		"life": {"365"}, "legacy": {"1"}, "ticket": {ticket}}
	first := c.post("/admin/issue", form).wantRedirect("/admin/issued?login=copier-3")
	event := h.wantEvents("password-issued")[0].(audit.PasswordIssued)
	if event.Login != "copier-3" || event.Evidence != "totp" || !strings.Contains(event.By, "root@contoso.example (oid-root, administrator)") {
		t.Errorf("got %+v", event)
	}
	c.post("/admin/issue", form).wantRedirect("/admin/issued?login=copier-3") // sent twice, issued once
	h.wantEvents()
	other := h.signedIn(proved(root))
	other.get(first.Location).want(200).lacks("wxyz")
	c.get("/admin/issued?login=copier-4").want(200).lacks("wxyz")
	shown := c.get(first.Location).want(200, "wxyz-efgh-jkmn-0001", "Copier, 3rd floor", `href="/admin/login?name=copier-3"`)
	if shown.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page may be kept: %q", shown.Header.Get("Cache-Control"))
	}
	c.get(first.Location).want(200).lacks("wxyz")
	for _, path := range []string{"/admin", "/admin/login?name=copier-3", "/passwords"} {
		c.get(path).want(200).lacks("wxyz")
	}
	r := h.office.records[0]
	if !r.LegacyTLS || len(r.Networks) != 1 || r.Networks[0].String() != "10.0.8.31/32" || r.Evidence.By != root.Username {
		t.Errorf("got %+v", r)
	}
	if strings.Contains(h.log.String(), "wxyz") {
		t.Error("the log has the password")
	}
}

// TestRenewAll: forty copiers whose evidence is too old come back with one proof of the administrator's.
func TestRenewAll(t *testing.T) {
	h := newHarness(t)
	h.office.logins[0].Policy.MFA = config.MFA{Evidence: []string{"totp", "command-line"}, MaxAge: config.Duration(24 * time.Hour)}
	for i := range 40 {
		h.office.password("copier-3", fmt.Sprint("pw", i), func(r *apppassword.Record) { r.Evidence.At = start.Add(-48 * time.Hour) })
	}
	h.office.password("copier-3", "fresh", nil)
	h.office.password("copier-3", "over", func(r *apppassword.Record) { r.Revoked = start })
	c := h.signedIn(root)
	c.get("/admin").want(200, "40 app passwords of devices are suspended", "Renew them all")
	if a := c.post("/admin/renew", nil); !strings.HasPrefix(a.Location, "/factors/prove?") {
		t.Errorf("got to %q, want the proof first", a.Location)
	}
	c = h.signedIn(proved(root))
	c.get(c.post("/admin/renew", nil).wantRedirect("/admin?told=").Location).want(200, "Renewed app passwords: 40.").lacks("are suspended")
	if n := len(h.audit.events); n != 40 {
		t.Errorf("got %d events, want 40", n)
	}
}

func TestOfficeSessionsAndForecast(t *testing.T) {
	h := busyOffice(t)
	h.office.sessions = append(h.office.sessions, session.Info{ID: "s2", Login: alice.Username, Mailbox: alice.Username, Protocol: "imap", Started: start})
	h.office.stops = []Stop{
		{"password-expiry", "app password pw1 of copier-3", start.AddDate(0, 0, 3), "the password expires", "postern password issue copier-3"},
		{"sign-in-needed", "account dora@contoso.example at contoso", start, "the password was changed", "postern user enroll dora@contoso.example"},
		{"client-secret", "client secret of provider contoso", time.Time{}, "Entra knows it", "az ad app credential list"},
	}
	c := h.signedIn(carol)
	c.get("/admin/sessions").want(200, "copier-3", alice.Username, "1 to 2 of 2").lacks("/admin/cut")
	c.get("/admin/sessions?q=imap").want(200, alice.Username).lacks("copier-3")
	h.signedIn(olga).get("/admin/sessions").want(200, `action="/admin/cut"`)
	c.get("/admin/forecast").want(200, "Does not work now", "person has to sign in", "Within 60 days", "app password expires", "At a time that is not known here", "az ad app")
	h.office.stops = nil
	c.get("/admin/forecast").want(200, "Nothing stops within 60 days.")
}

// entry makes an entry of the audit log of fields in JSON.
func entry(seq int64, fields string) audit.Entry {
	line := fmt.Sprintf(`{"time":"2026-11-24T08:00:00.000001Z","seq":%d,%s,"prev":""}`, seq, fields)
	kind := regexp.MustCompile(`"kind":"([^"]*)"`).FindStringSubmatch(fields)
	return audit.Entry{Time: start, Seq: seq, Kind: kind[1], Line: []byte(line)}
}

func TestOfficeEvents(t *testing.T) {
	h := newHarness(t)
	h.office.entries = []audit.Entry{
		entry(9, `"kind":"account-enrolled","account":"alice@contoso.example","method":"device-code","by":"root"`),
		entry(8, `"kind":"message","outcome":"allowed","login":"copier-3","recipients":["a@x.example","b@x.example"],"size":5`),
	}
	c := h.signedIn(carol)
	c.get("/admin/events?login=%20COPIER-3%20&kind=message&outcome=allowed&since=2026-11-01&until=2026-11-24&session=s1&before=2026-11-24T08:00:00Z").
		want(200, "account-enrolled", "by root", "recipients=a@x.example, b@x.example", "method=device-code")
	want := audit.Query{Who: audit.Who{Logins: []string{"copier-3"}, Accounts: []string{"copier-3"}}, Kinds: []string{"message"}, Session: "s1", Outcome: "allowed",
		Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), Limit: eventsPerPage + 1, MaxBytes: eventBytes}
	if diff := cmp.Diff(want, h.office.asked); diff != "" {
		t.Errorf("the search differs (-want +got):\n%s", diff)
	}
	c.get("/admin/events?kind=nonsense&outcome=maybe").want(200)
	if len(h.office.asked.Kinds) != 0 || h.office.asked.Outcome != "" {
		t.Errorf("searched for %+v", h.office.asked)
	}
	c.get("/admin/events?since=yesterday").want(422, "This is no day")
	h.office.found = audit.Found{Oldest: start}
	c.get("/admin/events").want(200, "Only the end of the audit log was looked through")
	for i := range eventsPerPage + 1 {
		h.office.entries = append(h.office.entries, entry(int64(i), `"kind":"sign-in","login":"copier-3"`))
	}
	c.get("/admin/events?login=copier-3").want(200, "before=2026-11-24T09%3A00%3A00Z")
}

// TestI38ExportIsInert: what strangers wrote is no formula in any spreadsheet, however it parts its cells, and breaks out of
// no cell; each line comes back as it was but for the marks.
func TestI38ExportIsInert(t *testing.T) {
	h := newHarness(t)
	evil := []string{`=cmd|'/c calc'!A1`, `+1+1`, `-2+3`, `@SUM(1)`, "\t=1", `x;=1+1`, `x","=1`, `,=1`, ` =1`, `＝1`, "a\r\n=1", `"=1`, `|=1`, "‮=1"}
	for i, login := range evil {
		h.office.entries = append(h.office.entries, entry(int64(i), fmt.Sprintf(`"kind":"sign-in","login":%s,"client":%s`, jsonOf(t, login), jsonOf(t, login))))
	}
	c := h.signedIn(carol)
	a := c.get("/admin/events.csv?login=x").want(200)
	if got := a.Header.Get("Content-Disposition"); got != `attachment; filename="postern-events-20261124-0900.csv"` {
		t.Errorf("got the name %s", got)
	}
	rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	if err != nil || len(rows) != len(evil)+1 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	// A program that parts cells by another character, or does not know about quotes, must not see a formula either.
	for _, cell := range regexp.MustCompile(`[,;|\t\r\n"]`).Split(a.Body, -1) {
		if cell = strings.TrimLeft(cell, " "); strings.IndexAny(cell, "=+-@＝＋－＠") == 0 {
			t.Errorf("a cell begins a formula: %q", cell)
		}
	}
	if event := h.wantEvents("events-exported")[0].(audit.EventsExported); event.Count != len(evil) || event.Filter != "login=x" || !strings.Contains(event.By, "oid-carol") {
		t.Errorf("got %+v", event)
	}
}

// TestI38StrangersWordsOnOfficePages: names, labels and clients that strangers chose are text, wherever they stand.
func TestI38StrangersWordsOnOfficePages(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=y>{{.Person}}`
	h := busyOffice(t)
	h.office.records[0].Label, h.office.records[0].LastUse = evil, apppassword.Use{At: start, From: netip.MustParseAddr("10.0.8.31"), Client: evil}
	h.office.factors["copier-3"] = []factor.Factor{{Name: evil}}
	h.office.logins[0].Lock, h.office.logins[0].Locked = Lock{Since: start, By: evil, Reason: evil}, true
	h.office.logins[3].Reason = evil
	h.office.sessions[0].Mailbox = evil
	h.office.stops = []Stop{{"password-expiry", evil, start, evil, evil}}
	h.office.entries = []audit.Entry{entry(1, fmt.Sprintf(`"kind":"sign-in","login":%s,"client":%s,"reason":%s,"remote":%s,"by":%s,"session":%s`,
		jsonOf(t, evil), jsonOf(t, evil), jsonOf(t, evil), jsonOf(t, evil), jsonOf(t, evil), jsonOf(t, evil+"\x1b[2J‮")))}
	c := h.signedIn(root)
	for _, path := range []string{"/admin", "/admin?q=" + url.QueryEscape(evil), "/admin/login?name=copier-3", "/admin/login?name=dora@contoso.example",
		"/admin/sessions?q=" + url.QueryEscape(`"><script>alert(1)`), "/admin/sessions", "/admin/forecast", "/admin/events", "/admin/events?login=" + url.QueryEscape(evil)} {
		a := c.get(path).want(200)
		if strings.Contains(a.Body, "<script>alert") || strings.Contains(a.Body, "<img src=x") || strings.ContainsAny(a.Body, "\x1b‮") {
			t.Errorf("%s: a stranger's words are not text:\n%s", path, a.Body)
		}
	}
}

func jsonOf(t *testing.T, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestLockdownShowsToAdministration: on every page of those who look after others, and to nobody else.
func TestLockdownShowsToAdministration(t *testing.T) {
	h := busyOffice(t)
	h.office.down = []Lockdown{{Scope: "policy device", Lift: "postern lockdown lift --policy device", Since: start, By: "root"}}
	for _, page := range []string{"/", "/admin", "/admin/forecast"} {
		h.signedIn(olga).get(page).want(200, "A lockdown is on (policy device)", "postern lockdown lift --policy device", "begun by root")
	}
	h.signedIn(bob).get("/").want(200).lacks("lockdown")
	h.office.down = nil
	h.signedIn(olga).get("/admin").want(200).lacks("lockdown")
}
