package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/session"
	"postern/internal/store"
	"postern/internal/web"
)

var ruth = web.Person{Provider: "contoso", TenantID: "tid", ObjectID: "oid-ruth", Username: "ruth@contoso.example"}

// newPortalOffice makes an office over a store of its own: a copier, Alice, and whoever else is of contoso.example.
func newPortalOffice(t testing.TB, users ...config.User) *portalOffice {
	t.Helper()
	c := stateIn(t.TempDir())
	c.Providers = map[string]*config.Provider{"contoso": {Name: "contoso"}}
	c.Policies = map[string]*config.Policy{
		"device": {Name: "device", Protocols: []string{"smtp"}, MFA: config.MFA{Evidence: []string{"totp"}, MaxAge: config.Duration(time.Hour)}},
		"person": {Name: "person", Protocols: []string{"imap", "smtp"}},
	}
	c.Users = append([]config.User{
		{Login: "copier-3", Aliases: []string{`office\copier`}, Mailbox: "scans@contoso.example", Provider: "contoso", Grant: "application", Policy: "device"},
		{Login: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
		{Match: "*@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
	}, users...)
	state, err := OpenState(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	return &portalOffice{c, auth.NewDirectory(c), state, &session.Register{}, time.Now}
}

// stateIn is a configuration whose state is in a folder.
func stateIn(folder string) *config.Config {
	return &config.Config{Store: "sqlite:" + folder + "/postern.db", KeysFile: folder + "/postern.keys", AuditFile: folder + "/postern.audit"}
}

// TestI40OfficeIssuesForDevicesAlone: whatever the page asks for, no app password of a person's login is made or renewed, and
// what an administrator makes for a device stands on their own evidence, under the device's policy.
func TestI40OfficeIssuesForDevicesAlone(t *testing.T) {
	o := newPortalOffice(t)
	fresh := web.Evidence{Method: "totp", At: time.Now()}
	want := func(login string, e web.Evidence) (apppassword.Record, error) {
		r, _, err := o.Issue(t.Context(), ruth, web.NewPassword{Login: login, Label: "x", Protocols: []string{"smtp"}}, e, "ruth")
		return r, err
	}
	for login, wanted := range map[string]error{
		"alice@contoso.example": web.ErrNotDevice, "bob@contoso.example": web.ErrNotDevice, "nobody": web.ErrNotThere, "": web.ErrNotThere,
	} {
		if _, err := want(login, fresh); !errors.Is(err, wanted) {
			t.Errorf("for %q: got %v, want %v", login, err, wanted)
		}
	}
	for name, e := range map[string]web.Evidence{"old": {Method: "totp", At: time.Now().Add(-2 * time.Hour)}, "of another kind": {Method: "passkey", At: time.Now()}} {
		if _, err := want("copier-3", e); err == nil {
			t.Errorf("evidence that is %s was taken", name)
		}
	}
	r, err := want("copier-3", fresh)
	if err != nil {
		t.Fatal(err)
	}
	if e := r.Evidence; e.Method != "totp" || e.By != ruth.Username || e.ObjectID != ruth.ObjectID || e.TenantID != ruth.TenantID {
		t.Errorf("got the evidence %+v, want the administrator's", e)
	}
	if err := o.Renew(t.Context(), ruth, r.ID, fresh, "ruth"); err != nil {
		t.Error(err)
	}
	own := store.Password{ID: "alices", Login: "alice@contoso.example", Label: "x", Protocols: []string{"imap"}, Created: time.Now(), Evidence: store.Evidence{Method: "passkey", At: time.Now()}}
	if err := o.state.Store.AddPassword(t.Context(), own, []byte("hash")); err != nil {
		t.Fatal(err)
	}
	if err := o.Renew(t.Context(), ruth, "alices", fresh, "ruth"); !errors.Is(err, web.ErrNotDevice) {
		t.Errorf("renewing Alice's: got %v, want %v", err, web.ErrNotDevice)
	}
	if err := o.Renew(t.Context(), ruth, "nothing", fresh, "ruth"); !errors.Is(err, web.ErrNotThere) {
		t.Errorf("renewing nothing: got %v", err)
	}
	if _, _, err := o.Revoke(t.Context(), "alices", "ruth"); err != nil { // that anybody's may be
		t.Error(err)
	}
}

// TestOfficeLocksAndCuts: by any name of a login, with how many sessions that ends; each is one event.
func TestOfficeLocksAndCuts(t *testing.T) {
	o := newPortalOffice(t)
	cut := 0
	for i, login := range []string{"copier-3", "copier-3", "alice@contoso.example"} {
		info := session.Info{ID: fmt.Sprint("s", i), Login: login, Remote: netip.MustParseAddrPort("127.0.0.1:1")}
		live, err := o.sessions.Add(session.Limits{}, info, func(string) { cut++ })
		if err != nil {
			t.Fatal(err)
		}
		defer live.Remove()
	}
	if n, err := o.Lock(t.Context(), `OFFICE\Copier`, "stolen", "ruth"); n != 2 || err != nil {
		t.Errorf("lock: got %d, %v, want 2 sessions", n, err)
	}
	l, err := o.Login(t.Context(), `office\copier`)
	if err != nil || l.Login.Login != "copier-3" || !l.Locked || l.Lock.Reason != "stolen" || !l.Device() {
		t.Errorf("got %+v, %v", l, err)
	}
	if err := errors.Join(o.Unlock(t.Context(), "copier-3", "ruth"), o.Unlock(t.Context(), "copier-3", "ruth")); err != nil {
		t.Error(err)
	}
	if err := o.CutSession(t.Context(), "s2", "ruth"); err != nil || cut != 1 {
		t.Errorf("one session: got %v, and %d cut", err, cut)
	}
	if n, err := o.CutLogin(t.Context(), "copier-3", "ruth"); n != 2 || err != nil || cut != 3 {
		t.Errorf("all of a login: got %d, %v, and %d cut", n, err, cut)
	}
	for _, err := range []error{o.CutSession(t.Context(), "s9", "ruth"), o.Unlock(t.Context(), "copier-3", "ruth")} {
		if err != nil && !errors.Is(err, web.ErrNotThere) {
			t.Error(err)
		}
	}
	var kinds []string
	_, err = audit.Search(t.Context(), o.config.AuditFile, audit.Query{}, func(e audit.Entry) bool {
		kinds = append(kinds, e.Kind)
		return true
	})
	if want := "[sessions-cut sessions-cut login-unlocked login-locked]"; err != nil || fmt.Sprint(kinds) != want {
		t.Errorf("got events %v, %v, want %s", kinds, err, want)
	}
}

// TestOfficeOfTenThousand: the list of that many logins with their app passwords is there at once.
func TestOfficeOfTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills a store")
	}
	var users []config.User
	for i := range 10_000 {
		users = append(users, config.User{Login: fmt.Sprint("copier-x", i), Mailbox: "scans@contoso.example", Provider: "contoso", Grant: "application", Policy: "device"})
	}
	o := newPortalOffice(t, users...)
	for i := range 1000 {
		p := store.Password{ID: fmt.Sprint("id", i), Login: fmt.Sprint("copier-x", i), Label: "x", Protocols: []string{"smtp"}, Created: time.Now(),
			Evidence: store.Evidence{Method: "totp", At: time.Now()}}
		if err := o.state.Store.AddPassword(t.Context(), p, fmt.Append(nil, "hash", i)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	all, err := o.Logins(t.Context())
	if err != nil || len(all) != 10_002 || all[2].Passwords != 1 || all[2000].Passwords != 0 {
		t.Fatalf("got %d logins, %v", len(all), err)
	}
	t.Logf("%d logins in %v", len(all), time.Since(began))
}
