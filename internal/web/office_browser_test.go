package web

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/config"
	"postern/internal/session"
)

// TestBrowserOffice looks after forty copiers in a real browser: finds one, issues an app password for it, locks it, and
// brings the suspended ones back.
func TestBrowserOffice(t *testing.T) {
	who := root
	who.Evidence = []Evidence{{Method: "passkey", At: start}}
	h, b, at := browse(t, who)
	fortyCopiers(h)
	b.Visit(at + "/admin")
	b.WaitFor("40 app passwords of devices are suspended")
	b.Shot("office-logins")
	b.PressText("Renew them all")
	b.WaitFor("Renewed app passwords: 40.")

	b.Fill("#q", "floor-07")
	b.PressText("Find")
	b.WaitFor("1 to 4 of 4")
	b.PressText("copier-floor-07-2")
	b.WaitFor("What you can do")
	b.Shot("office-login")
	b.PressText("New app password for this device")
	b.Fill("#label", "Kyocera, 7th floor")
	b.Shot("office-issue")
	b.PressText("Make the app password")
	b.WaitFor("wxyz-efgh-jkmn-0001")
	b.Shot("office-issued")
	b.Reload()
	b.WaitFor("shown only once")
	b.Visit(at + "/admin/login?name=copier-floor-07-2")
	b.Fill("#reason", "moved to the cellar")
	b.PressText("Lock out now")
	b.WaitFor("It is locked.")
	b.Shot("office-locked")

	b.Visit(at + "/admin/login?name=" + alice.Username)
	b.WaitFor("they make their app passwords themselves")
	b.Shot("office-person")
	for path, text := range map[string]string{"sessions": "copier-3", "forecast": "Does not work now", "events": "wrong-password"} {
		b.Visit(at + "/admin/" + path)
		b.WaitFor(text)
		b.Shot("office-" + path)
	}
	b.Language("de")
	b.Visit(at + "/admin?show=attention")
	b.WaitFor("Anmeldename")
	b.Shot("office-logins-de")
}

// fortyCopiers fills an office with what an administrator has on a bad morning.
func fortyCopiers(h *harness) {
	o := h.office
	o.password(alice.Username, "pwalice", func(r *apppassword.Record) { r.Label, r.Protocols = "Thunderbird", []string{"imap", "smtp"} })
	o.factors[alice.Username] = []factor.Factor{{ID: "f1", Method: "totp", Name: "telephone"}}
	old := *o.logins[0].Policy
	old.Name, old.MFA = "device", config.MFA{Evidence: []string{"totp", "passkey"}, MaxAge: config.Duration(90 * 24 * time.Hour)}
	old.Origins = map[string]config.Origin{"protocols": {Line: 17}, "mfa.evidence": {Line: 18}, "mfa.max_age": {Line: 18}, "networks": {Override: true, Line: 44}}
	for i := range 40 {
		l := o.logins[0]
		l.Policy = &old
		l.Login.Mapping.Login = fmt.Sprintf("copier-floor-%02d-%d", i/4, i%4)
		l.LastUse = apppassword.Use{At: start.Add(-time.Duration(i) * time.Hour), From: netip.AddrFrom4([4]byte{10, 0, 8, byte(10 + i)}), Client: "KM7F21"}
		o.logins = append(o.logins, l)
		o.password(l.Login.Login, fmt.Sprint("k3v9x2m4", i), func(r *apppassword.Record) {
			r.Label, r.LastUse = "Kyocera TASKalfa", l.LastUse
			r.Evidence.At = start.Add(-91 * 24 * time.Hour)
			r.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}
		})
		if i%7 == 0 {
			o.sessions = append(o.sessions, session.Info{ID: fmt.Sprint("s", i), Login: l.Login.Login, Mailbox: l.Mailbox, Protocol: "smtp",
				Remote: netip.AddrPortFrom(l.LastUse.From, 49152), Started: start.Add(-time.Minute)})
		}
		o.entries = append(o.entries, entry(int64(100-i), fmt.Sprintf(`"kind":"sign-in","outcome":"refused","reason":"wrong-password","session":"3f9c0d51a7e8b264","protocol":"smtp","login":%q,"mailbox":"scans@contoso.example","remote":"10.0.8.31:49152","mechanism":"LOGIN","tls":"TLS 1.2","client":"KM7F21"`, l.Login.Login)))
	}
	o.sessions = append(o.sessions, session.Info{ID: "s3", Login: "copier-3", Mailbox: "scans@contoso.example", Protocol: "smtp", Started: start})
	o.entries = append(o.entries, entry(1, `"kind":"password-issued","password_id":"k3v9x2m4","login":"copier-3","label":"Kyocera","protocols":["smtp"],"networks":["10.0.8.0/24"],"evidence":"passkey","by":"root@contoso.example (oid-root, administrator) at 192.0.2.7:50000"`))
	o.stops = []Stop{
		{"sign-in-needed", "account dora@contoso.example at contoso", start.AddDate(0, 0, -1), "the password was changed (AADSTS50173)", "postern user enroll dora@contoso.example"},
		{"evidence-age", "app password k3v9x2m40 of copier-floor-00-0 (Kyocera TASKalfa)", start.AddDate(0, 0, -1), "the policy device lets evidence count for 90d", "the owner proves MFA again, by one of: totp, passkey"},
		{"gateway-certificate", "certificate /etc/postern/mail.pem", start.AddDate(0, 0, 12), "the certificate ends, and clients refuse it", "put a new one into the file; the running gateway takes it up"},
		{"client-secret", "client secret of provider contoso", time.Time{}, "a secret does not carry the date on which it ends; Entra knows it", "az ad app credential list --id 11111111-2222-3333-4444-555555555555 shows it; put it into client_secret_expires"},
	}
}
