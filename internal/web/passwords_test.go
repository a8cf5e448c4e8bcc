package web

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/session"
)

// proved gives a person who has just given a second factor.
func proved(who Person) Person {
	who.Evidence = []Evidence{{Method: "totp", At: start}}
	return who
}

// form gives the form of a new app password as the page has it, with what is filled in.
func (c *client) form(fill url.Values) url.Values {
	c.t.Helper()
	page := c.get("/passwords/new").want(200).Body
	form := url.Values{"where": {"anywhere"}, "use": {"everything"}, "life": {"365"}}
	for _, field := range []string{"login", "ticket"} {
		found := regexp.MustCompile(`name="` + field + `" value="([^"]*)"`).FindStringSubmatch(page)
		if found == nil {
			c.t.Fatalf("the form has no field %s:\n%s", field, page)
		}
		form.Set(field, found[1])
	}
	for name, values := range fill {
		form[name] = values
	}
	return form
}

// password puts an app password into the desk.
func (h *harness) password(change func(*apppassword.Record)) apppassword.Record {
	r := apppassword.Record{
		ID: "idtest", Login: alice.Username, Label: "Thunderbird", Protocols: []string{"imap", "smtp"}, Created: start,
		Evidence: apppassword.Evidence{Method: "totp", By: alice.Username, At: start},
	}
	if change != nil {
		change(&r)
	}
	h.desk.records = append(h.desk.records, r)
	return r
}

// TestI40AppPasswordIsShownOnce: the page after the form shows the secret; no page, no reload, no other method and no
// other browser shows it again, and none is in the audit log or the URL.
func TestI40AppPasswordIsShownOnce(t *testing.T) {
	h := newHarness(t)
	c, elsewhere := h.signedIn(proved(alice)), h.signedIn(proved(alice))
	a := c.post("/passwords/new", c.form(url.Values{"label": {"Scanner <2nd> floor"}, "use": {"sending"}})).wantRedirect("/passwords/issued")
	const password = "abcd-efgh-jkmn-0001"
	if strings.Contains(a.Location+a.Body, password) {
		t.Error("the secret is in the redirect")
	}
	elsewhere.get("/passwords/issued").want(200, "shown only once").lacks(password)
	if head := c.send(c.request("HEAD", "/passwords/issued", nil)); strings.Contains(head.Body, password) {
		t.Error("HEAD shows the secret")
	}
	c.get("/passwords/issued").want(200, password, "Scanner <2nd> floor", "mail.contoso.example", "465", "587", "Sender address").lacks("993", "10.0.8.2")
	for _, path := range []string{"/passwords/issued", "/passwords", "/passwords/id1", "/passwords/id1/revoke", "/", "/activity"} {
		a := c.get(path).want(200).lacks(password)
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", path, got)
		}
	}
	for _, e := range h.wantEvents("password-issued") {
		issued := e.(audit.PasswordIssued)
		if !strings.HasPrefix(issued.By, "alice@contoso.example (oid-alice, user) at 192.0.2.7") {
			t.Errorf("by %q, want the person, the role and the address", issued.By)
		}
	}
	if strings.Contains(h.log.String(), password) {
		t.Error("the secret is in the log")
	}
}

// TestFormSentTwiceIssuesOnce: a second click and a reloaded form show the password that the first one made.
func TestFormSentTwiceIssuesOnce(t *testing.T) {
	c := signedIn(t, proved(alice))
	form := c.form(url.Values{"label": {"Thunderbird"}})
	c.post("/passwords/new", form).wantRedirect("/passwords/issued")
	c.post("/passwords/new", form).wantRedirect("/passwords/issued")
	c.get("/passwords/issued").want(200, "abcd-efgh-jkmn-0001")
	c.wantEvents("password-issued")
	form.Set("ticket", "")
	c.post("/passwords/new", form).wantRedirect("/passwords/issued")
	c.get("/passwords/issued").want(200).lacks("abcd-efgh")
	c.wantEvents()
}

// TestIssueNeedsFreshProof: without a second factor of the last ten minutes that the policy accepts, nothing is issued or
// renewed, and what was filled in is not lost.
func TestIssueNeedsFreshProof(t *testing.T) {
	h := newHarness(t)
	h.password(func(r *apppassword.Record) { r.Evidence.At = start.AddDate(-1, 0, 0) })
	h.desk.policy(alice).MFA = config.MFA{Evidence: []string{"totp", "acrs:c1"}, MaxAge: config.Duration(90 * 24 * time.Hour)}
	c := h.signedIn(proved(alice))
	form := c.form(url.Values{"label": {"Thunder & bird"}})
	h.clock.advance(11 * time.Minute)
	passkey := alice
	passkey.Evidence = []Evidence{{Method: "passkey", At: h.clock.Now()}}
	for name, c := range map[string]*client{"no proof": h.signedIn(alice), "old proof": c, "another proof": h.signedIn(passkey)} {
		t.Run(name, func(t *testing.T) {
			c.get("/passwords/new").want(303)
			location, err := url.Parse(c.post("/passwords/new", form).want(303).Location)
			if err != nil || location.Path != "/factors/prove" || location.Query().Get("for") != "totp,acrs:c1" {
				t.Fatalf("sent to %v (%v), want the page that asks for a proof", location, err)
			}
			back := location.Query().Get("return")
			if want := "/passwords/new?label=Thunder+%26+bird&"; !strings.HasPrefix(back, want) || returnPath(back) != back {
				t.Errorf("back to %q, want %q…", back, want)
			}
			h.signedIn(Person{ObjectID: alice.ObjectID, Evidence: []Evidence{{Method: "totp", At: h.clock.Now()}}}).get(back).want(200, "Thunder & bird")
			c.post("/passwords/renew", nil).want(303)
		})
	}
	h.wantEvents()
}

// TestForm holds what is filled in against what is asked of the desk.
func TestForm(t *testing.T) {
	prefixes := func(all ...string) (list []netip.Prefix) {
		for _, text := range all {
			list = append(list, netip.MustParsePrefix(text))
		}
		return list
	}
	year := start.AddDate(0, 0, 365)
	for name, test := range map[string]struct {
		fill   url.Values
		policy func(*config.Policy)
		want   apppassword.Record
		wrong  string
	}{
		"the usual": {url.Values{}, nil, apppassword.Record{Protocols: []string{"imap", "smtp"}, Expires: year}, ""},
		"only looks, here": {url.Values{"use": {"looking"}, "where": {"here"}}, nil,
			apppassword.Record{Protocols: []string{"imap"}, ReadOnly: true, Networks: prefixes("192.0.2.0/24"), Expires: year}, ""},
		"networks, for ever": {url.Values{"where": {"listed"}, "networks": {"10.0.8.7/24, 2001:db8::1\n192.0.2.9"}, "life": {"never"}}, nil,
			apppassword.Record{Protocols: []string{"imap", "smtp"}, Networks: prefixes("10.0.8.0/24", "2001:db8::1/128", "192.0.2.9/32")}, ""},
		"networks that are not chosen": {url.Values{"networks": {"nonsense"}}, nil,
			apppassword.Record{Protocols: []string{"imap", "smtp"}, Expires: year}, ""},
		"a use that is not offered": {url.Values{"use": {"everything"}, "life": {"30"}}, func(p *config.Policy) { p.Protocols = []string{"smtp"} },
			apppassword.Record{Protocols: []string{"smtp"}, Expires: start.AddDate(0, 0, 30)}, ""},
		"a life that is not offered": {url.Values{"life": {"never"}}, func(p *config.Policy) { p.Passwords.MaxLife = config.Duration(60 * 24 * time.Hour) },
			apppassword.Record{Protocols: []string{"imap", "smtp"}}, ""}, // which the desk makes the longest that the policy allows
		"no label":          {url.Values{"label": {"  "}}, nil, apppassword.Record{}, "Say what it is for."},
		"a long label":      {url.Values{"label": {strings.Repeat("ä", 101)}}, nil, apppassword.Record{}, "at most 100 characters"},
		"a label of lines":  {url.Values{"label": {"a\nb"}}, nil, apppassword.Record{}, "in one line"},
		"no network":        {url.Values{"where": {"listed"}}, nil, apppassword.Record{}, "Name a network"},
		"a bad network":     {url.Values{"where": {"listed"}, "networks": {"10.0.8.0/24 <b>"}}, nil, apppassword.Record{}, "“<b>” is not a network"},
		"too many networks": {url.Values{"where": {"listed"}, "networks": {strings.Repeat("10.0.8.0/24 ", 21)}}, nil, apppassword.Record{}, "one too many"},
		"a long list":       {url.Values{"where": {"listed"}, "networks": {strings.Repeat("10.0.8.0/24 ", 210)}}, nil, apppassword.Record{}, "one too many"},
		"a network that the policy does not allow": {url.Values{"where": {"listed"}, "networks": {"10.9.0.0/16"}},
			func(p *config.Policy) { p.Networks = prefixes("10.0.8.0/24") }, apppassword.Record{}, "10.9.0.0/16 is outside"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			if test.policy != nil {
				test.policy(h.desk.policy(alice))
			}
			c := h.signedIn(proved(alice))
			form := c.form(url.Values{"label": {"Thunderbird"}})
			for field, values := range test.fill {
				form[field] = values
			}
			if test.wrong != "" {
				c.post("/passwords/new", form).want(422, test.wrong, "Nothing has been made yet").lacks("<b>,")
				h.wantEvents()
				return
			}
			c.post("/passwords/new", form).wantRedirect("/passwords/issued")
			test.want.ID, test.want.Login, test.want.Label, test.want.Created = "id1", alice.Username, "Thunderbird", start
			test.want.Evidence = apppassword.Evidence{Method: "totp", By: alice.Username, At: start}
			if diff := cmp.Diff(test.want, h.desk.records[0], cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

// TestI37AnothersThingsAreNotThere: whatever is another person's is answered as if it were not there, and nothing
// happens to it; the same for an administrator, who has other pages for that.
func TestI37AnothersThingsAreNotThere(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	h.desk.sessions = []session.Info{{ID: "s1", Protocol: "imap", Login: alice.Username, Password: "idtest"}}
	for _, who := range []Person{bob, root, carol} {
		c := h.signedIn(proved(who))
		for _, path := range []string{"/passwords/idtest", "/passwords/idtest/revoke", "/passwords/nothing", "/passwords/new?login=" + alice.Username} {
			if who.ObjectID != bob.ObjectID && strings.Contains(path, "login=") {
				continue // without any login there is no form
			}
			c.get(path).want(404).lacks("Thunderbird")
		}
		c.get("/passwords").want(200).lacks("Thunderbird")
		c.get("/sessions").want(200).lacks("s1", "Thunderbird")
		c.post("/passwords/idtest/revoke", nil).want(404)
		c.post("/sessions/s1/cut", nil).want(404)
		c.post("/passwords/new", url.Values{"login": {alice.Username}, "label": {"x"}, "ticket": {strings.Repeat("x", 26)}}).want(404)
		c.post("/passwords/renew", nil).want(303)
	}
	h.wantEvents()
	if len(h.desk.sessions) != 1 || !h.desk.records[0].Revoked.IsZero() || len(h.desk.records) != 1 {
		t.Error("something happened to what is alice's")
	}
}

// TestI37ForeignFormsChangeNothing sends every form of these pages as another site would.
func TestI37ForeignFormsChangeNothing(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	h.desk.sessions = []session.Info{{ID: "s1", Protocol: "imap", Login: alice.Username, Password: "idtest"}}
	c := h.signedIn(proved(alice))
	form := c.form(url.Values{"label": {"x"}})
	for _, path := range []string{"/passwords/new", "/passwords/renew", "/passwords/idtest/revoke", "/sessions/s1/cut"} {
		r := c.request("POST", path, form)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		c.send(r).want(403)
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			r := c.request(method, path, form)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if a := c.send(r); a.Status < 400 {
				t.Errorf("%s %s: got status %d, want a refusal", method, path, a.Status)
			}
		}
	}
	h.wantEvents()
}

func TestRevoke(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	c := h.signedIn(alice)
	c.get("/passwords").want(200, "Thunderbird", "works", `href="/passwords/idtest/revoke"`)
	c.get("/passwords/idtest/revoke").want(200, "Whatever uses “Thunderbird” can no longer sign in")
	h.wantEvents()
	h.desk.sessions = []session.Info{{}, {}}
	c.post("/passwords/idtest/revoke", nil).wantRedirect("/passwords?told=")
	h.wantEvents("password-revoked")
	c.get("/passwords?told=").want(200, "“Thunderbird” is revoked", "cut off: 2.", "No longer valid (1)")
	c.get("/passwords?told=").want(200).lacks("is revoked:")
	c.get("/passwords/idtest").want(200, "revoked").lacks("Settings for")
}

func TestRenewBringsBackWhatWasPaused(t *testing.T) {
	h := newHarness(t)
	policy := h.desk.policy(alice)
	policy.MFA = config.MFA{MaxAge: config.Duration(90 * 24 * time.Hour)}
	old := func(id string, age int) {
		h.password(func(r *apppassword.Record) { r.ID, r.Label, r.Evidence.At = id, id, start.AddDate(0, 0, -age) })
	}
	old("paused", 91)
	old("soon", 80)
	old("young", 10)
	h.password(func(r *apppassword.Record) { r.ID, r.Revoked = "revoked", start })
	c := h.signedIn(proved(alice))
	c.get("/").want(200, "want your confirmation: 2", "refused at the moment: 1")
	c.get("/passwords").want(200, "paused", "ends soon", "Confirm with your second factor, and it works again")
	c.get("/passwords/renew").want(200, "paused", "soon").lacks("young")
	c.post("/passwords/renew", nil).wantRedirect("/passwords?told=")
	h.wantEvents("password-renewed", "password-renewed")
	c.get("/passwords?told=").want(200, "go on working unchanged: 2").lacks("want your confirmation")
	c.get("/passwords/renew").wantRedirect("/passwords")
	if got, want := h.desk.records[0].Evidence, (apppassword.Evidence{Method: "totp", By: alice.Username, At: start}); got != want {
		t.Errorf("evidence %+v, want %+v", got, want)
	}
}

// TestConditions holds every state of an app password against what the pages say of it.
func TestConditions(t *testing.T) {
	year := config.Duration(365 * 24 * time.Hour)
	for want, change := range map[condition]func(*apppassword.Record, *Login){
		valid:        func(*apppassword.Record, *Login) {},
		endsSoon:     func(r *apppassword.Record, _ *Login) { r.Expires = start.AddDate(0, 0, 13) },
		evidenceOld:  func(r *apppassword.Record, _ *Login) { r.Evidence.At = start.AddDate(-2, 0, 0) },
		evidenceNone: func(_ *apppassword.Record, l *Login) { l.Policy.MFA.Evidence = []string{"passkey"} },
		loginLocked:  func(_ *apppassword.Record, l *Login) { l.Locked = true },
		signInNeeded: func(_ *apppassword.Record, l *Login) { l.NeedsSignIn = true },
		blocked:      func(_ *apppassword.Record, l *Login) { l.Refused = true },
		expired:      func(r *apppassword.Record, _ *Login) { r.Expires = start },
		revoked:      func(r *apppassword.Record, l *Login) { r.Revoked, l.Locked = start, true },
	} {
		t.Run(string(want), func(t *testing.T) {
			h := newHarness(t)
			login := &h.desk.logins[alice.ObjectID][0]
			login.Policy.MFA.MaxAge = year
			h.password(func(r *apppassword.Record) { change(r, login) })
			for _, language := range languages {
				c := h.signedIn(alice)
				c.language = language
				state, err := words(language, "condition."+string(want))
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range []string{"/passwords", "/passwords/idtest"} {
					c.get(path).want(200, state)
				}
				c.get("/").want(200)
			}
		})
	}
}

// TestNoLogins: who has none, and whose policy leaves issuing to administrators, is told so.
func TestNoLogins(t *testing.T) {
	h := newHarness(t)
	c := h.signedIn(proved(root))
	c.get("/passwords").want(200, "No login of this gateway belongs to your account").lacks("New app password")
	c.get("/passwords/new").wantRedirect("/passwords")
	h.desk.policy(alice).MFA.Evidence = []string{config.CommandLine}
	c = h.signedIn(proved(alice))
	c.get("/passwords").want(200, "by its administrators only").lacks("New app password")
	c.get("/passwords/new").wantRedirect("/passwords")
}

func TestSeveralLogins(t *testing.T) {
	h := newHarness(t)
	shared := h.desk.logins[alice.ObjectID][0]
	shared.Login, shared.Mailbox = "helpdesk", "helpdesk@contoso.example"
	h.desk.logins[alice.ObjectID] = append(h.desk.logins[alice.ObjectID], shared)
	c := h.signedIn(proved(alice))
	c.get("/passwords/new").want(200, "For which login?", "helpdesk@contoso.example")
	page := c.get("/passwords/new?login=helpdesk").want(200, "helpdesk").Body
	ticket := regexp.MustCompile(`name="ticket" value="([^"]*)"`).FindStringSubmatch(page)[1]
	c.post("/passwords/new", url.Values{"login": {"helpdesk"}, "label": {"Desk"}, "ticket": {ticket}}).wantRedirect("/passwords/issued")
	c.get("/passwords/issued").want(200, "helpdesk@contoso.example")
	c.get("/passwords").want(200, "helpdesk")
}

// TestDeskOutOfOrder: where something of the gateway does not work, pages say so, and nothing is claimed to be done.
func TestDeskOutOfOrder(t *testing.T) {
	h := newHarness(t)
	h.password(nil)
	c := h.signedIn(proved(alice))
	form := c.form(url.Values{"label": {"x"}})
	h.audit.fault = errors.New("disk full")
	c.post("/passwords/idtest/revoke", nil).want(http.StatusServiceUnavailable)
	c.post("/passwords/new", form).want(http.StatusServiceUnavailable)
	h.audit.fault = nil
	h.desk.fault = errors.New("the store does not answer")
	for _, path := range []string{"/", "/passwords", "/passwords/new", "/passwords/idtest", "/sessions", "/activity"} {
		c.get(path).want(http.StatusServiceUnavailable, "Nothing was changed")
	}
	h.desk.fault = nil
	c.get("/passwords/issued").want(200, "shown only once")
}
