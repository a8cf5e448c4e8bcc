package gateway

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/handover"
	"postern/internal/session"
	"postern/internal/store"
	"postern/internal/web"
)

// deskWorld is a desk on real state, with its people: alice has a login and a shared mailbox, bob a login of a match rule,
// and copier-3 is nobody's.
type deskWorld struct {
	*portalDesk
	t          *testing.T
	clock      *clock
	alice, bob web.Person
	proof      web.Evidence
}

func newDeskWorld(t *testing.T) *deskWorld {
	t.Helper()
	folder := t.TempDir()
	c := &config.Config{
		Store: "sqlite:" + filepath.Join(folder, "postern.db"), KeysFile: filepath.Join(folder, "postern.keys"), AuditFile: filepath.Join(folder, "postern.audit"),
		Policies: map[string]*config.Policy{
			"person": {Name: "person", Protocols: []string{"imap", "smtp"}, MFA: config.MFA{Evidence: []string{"totp"}, MaxAge: config.Duration(90 * 24 * time.Hour)},
				Passwords: config.Passwords{MaxLife: config.Duration(365 * 24 * time.Hour)}},
			"device": {Name: "device", Protocols: []string{"smtp"}},
		},
		Users: []config.User{
			{Login: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
			{Login: "helpdesk", Mailbox: "helpdesk@contoso.example", Account: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
			{Login: "copier-3", Mailbox: "alice@contoso.example", Provider: "contoso", Grant: "application", Policy: "device"},
			{Match: "*@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
		},
	}
	state, err := OpenState(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	w := &deskWorld{t: t, clock: &clock{now: time.Now()}}
	w.portalDesk = &portalDesk{auth.NewDirectory(c), state, &session.Register{}, c.AuditFile, nil, w.clock.time}
	for name, person := range map[string]*web.Person{"alice": &w.alice, "bob": &w.bob} {
		*person = web.Person{Provider: "contoso", TenantID: "tid", ObjectID: "oid-" + name, Username: name + "@contoso.example"}
		account := store.Account{Provider: "contoso", Name: person.Username, TenantID: "tid", ObjectID: person.ObjectID, Standing: store.Standing{State: store.OK, Since: noon}}
		err := state.Store.SaveEnrolment(t.Context(), account, store.TokenCacheKey{Owner: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	w.proof = web.Evidence{Method: "totp", At: w.clock.time()}
	return w
}

func (w *deskWorld) issue(who web.Person, login string) apppassword.Record {
	w.t.Helper()
	r, _, err := w.Issue(w.t.Context(), who, web.NewPassword{Login: login, Label: "test", Protocols: []string{"imap", "smtp"}}, w.proof, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *deskWorld) logins(who web.Person) []string {
	w.t.Helper()
	logins, err := w.Logins(w.t.Context(), who)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, l := range logins {
		names = append(names, l.Login)
	}
	return names
}

// TestI18OwnerIsByIDs: the logins of a person are those of the accounts that they have enrolled; the same name in another
// tenant, with another object id or at another provider has none of them.
func TestI18OwnerIsByIDs(t *testing.T) {
	w := newDeskWorld(t)
	if diff := cmp.Diff([]string{"alice@contoso.example", "helpdesk"}, w.logins(w.alice)); diff != "" {
		t.Errorf("alice's logins (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bob@contoso.example"}, w.logins(w.bob)); diff != "" {
		t.Errorf("bob's logins (-want +got):\n%s", diff)
	}
	for name, change := range map[string]func(*web.Person){
		"another tenant":    func(p *web.Person) { p.TenantID = "other" },
		"another object":    func(p *web.Person) { p.ObjectID = "other" },
		"another provider":  func(p *web.Person) { p.Provider = "fabrikam" },
		"object and tenant": func(p *web.Person) { p.TenantID, p.ObjectID = p.ObjectID, p.TenantID },
	} {
		person := w.alice
		change(&person)
		if got := w.logins(person); got != nil {
			t.Errorf("%s: got the logins %v", name, got)
		}
	}
	if _, err := w.Logins(t.Context(), web.Person{Provider: "contoso"}); err == nil {
		t.Error("a person without ids was not refused")
	}
}

// TestI37DeskOfOthers: no method of the desk touches what is another person's, or nobody's.
func TestI37DeskOfOthers(t *testing.T) {
	w := newDeskWorld(t)
	ctx, record := t.Context(), w.issue(w.alice, "helpdesk")
	_, err := w.sessions.Add(session.Limits{}, session.Info{ID: "s1", Login: "helpdesk", Password: record.ID}, func(string) { t.Error("a session was cut") })
	if err != nil {
		t.Fatal(err)
	}
	before := w.events(w.alice)
	for name, do := range map[string]func() error{
		"issue for another": func() error {
			_, _, err := w.Issue(ctx, w.bob, web.NewPassword{Login: "helpdesk", Label: "x", Protocols: []string{"imap"}}, w.proof, "test")
			return err
		},
		"issue for a device": func() error {
			_, _, err := w.Issue(ctx, w.alice, web.NewPassword{Login: "copier-3", Label: "x", Protocols: []string{"smtp"}}, w.proof, "test")
			return err
		},
		"issue for nobody": func() error {
			_, _, err := w.Issue(ctx, w.alice, web.NewPassword{Login: "nobody", Label: "x", Protocols: []string{"smtp"}}, w.proof, "test")
			return err
		},
		"renew":           func() error { return w.Renew(ctx, w.bob, record.ID, w.proof, "test") },
		"revoke":          func() error { _, err := w.Revoke(ctx, w.bob, record.ID, "test"); return err },
		"revoke nothing":  func() error { _, err := w.Revoke(ctx, w.bob, "nothing", "test"); return err },
		"cut":             func() error { return w.Cut(ctx, w.bob, "s1", "test") },
		"cut no session":  func() error { return w.Cut(ctx, w.alice, "s2", "test") },
		"without any ids": func() error { return map[bool]error{true: web.ErrNotThere}[len(w.passwords(w.bob)) == 0] },
	} {
		if err := do(); !errors.Is(err, web.ErrNotThere) {
			t.Errorf("%s: got %v, want that there is no such thing", name, err)
		}
	}
	if diff := cmp.Diff(before, w.events(w.alice)); diff != "" {
		t.Errorf("events (-before +after):\n%s", diff)
	}
	if sessions, err := w.Sessions(ctx, w.bob); err != nil || len(sessions) != 0 {
		t.Errorf("bob sees the sessions %v (%v)", sessions, err)
	}
}

func (w *deskWorld) passwords(who web.Person) []apppassword.Record {
	w.t.Helper()
	records, err := w.Passwords(w.t.Context(), who)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// events gives the kinds of what a person sees of the audit log, the newest first.
func (w *deskWorld) events(who web.Person) (kinds []string) {
	w.t.Helper()
	entries, found, err := w.Activity(w.t.Context(), who, nil)
	if err != nil || !found.Whole {
		w.t.Fatalf("activity: whole %v, %v", found.Whole, err)
	}
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestDesk follows an app password through its life: issued with the person's proof and within the policy, renewed,
// revoked; each is in the audit log, where its owner sees it and nobody else.
func TestDesk(t *testing.T) {
	w := newDeskWorld(t)
	record := w.issue(w.alice, "alice@contoso.example")
	want := apppassword.Evidence{Method: "totp", By: w.alice.Username, At: w.proof.At, TenantID: "tid", ObjectID: "oid-alice"}
	if record.Evidence != want {
		t.Errorf("evidence %+v, want %+v", record.Evidence, want)
	}
	if life := record.Expires.Sub(record.Created); life != 365*24*time.Hour {
		t.Errorf("it lasts %v, want the longest that the policy allows", life)
	}
	if err := w.Renew(t.Context(), w.alice, record.ID, web.Evidence{Method: "passkey", At: w.clock.time()}, "test"); err == nil {
		t.Error("evidence was taken that the policy does not accept")
	}
	for _, passes := range []time.Duration{factor.Fresh + time.Second, 100 * 24 * time.Hour} {
		w.clock.pass(passes)
		if err := w.Renew(t.Context(), w.alice, record.ID, w.proof, "test"); err == nil {
			t.Errorf("evidence was taken %v after it was given", w.clock.time().Sub(w.proof.At))
		}
	}
	ahead := web.Evidence{Method: "totp", At: w.clock.time().Add(time.Hour)}
	if err := w.Renew(t.Context(), w.alice, record.ID, ahead, "test"); err == nil {
		t.Error("evidence from the future was taken")
	}
	fresh := web.Evidence{Method: "totp", At: w.clock.time()}
	if err := w.Renew(t.Context(), w.alice, record.ID, fresh, "test"); err != nil {
		t.Error(err)
	}
	for _, password := range []string{record.ID, record.ID, "other"} {
		if _, err := w.sessions.Add(session.Limits{}, session.Info{ID: "s", Login: record.Login, Password: password}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	if cut, err := w.Revoke(t.Context(), w.alice, record.ID, "test"); cut != 2 || err != nil {
		t.Errorf("revoking ends %d sessions (%v), want 2", cut, err)
	}
	if got := w.passwords(w.alice); len(got) != 1 || got[0].Revoked.IsZero() || !got[0].Evidence.At.Equal(fresh.At.Truncate(time.Millisecond)) {
		t.Errorf("got %+v, want it renewed and revoked", got)
	}
	w.clock.pass(-100*24*time.Hour - factor.Fresh - time.Second) // the audit log has the clock of the machine
	if diff := cmp.Diff([]string{"password-revoked", "password-renewed", "password-issued"}, w.events(w.alice)); diff != "" {
		t.Errorf("alice's events (-want +got):\n%s", diff)
	}
	if got := w.events(w.bob); got != nil {
		t.Errorf("bob sees the events %v", got)
	}
}

func TestDeskCut(t *testing.T) {
	w := newDeskWorld(t)
	var cut []string
	for _, id := range []string{"s1", "s2"} {
		_, err := w.sessions.Add(session.Limits{}, session.Info{ID: id, Login: "helpdesk"}, func(cause string) { cut = append(cut, id+" "+cause) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Cut(t.Context(), w.alice, "s2", "alice"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"s2 killed"}; !slices.Equal(cut, want) {
		t.Errorf("cut %v, want %v", cut, want)
	}
	if diff := cmp.Diff([]string{"sessions-cut"}, w.events(w.alice)); diff != "" {
		t.Errorf("alice's events (-want +got):\n%s", diff)
	}
}

func TestDeskIssuesNoMoreThanSoMany(t *testing.T) {
	w := newDeskWorld(t)
	for i := range maxPasswords {
		p := store.Password{ID: "p" + strings.Repeat("x", i), Login: "helpdesk", Created: w.clock.time()}
		if err := w.state.Store.AddPassword(t.Context(), p, []byte(p.ID)); err != nil {
			t.Fatal(err)
		}
	}
	wanted := web.NewPassword{Login: "helpdesk", Label: "x", Protocols: []string{"imap"}}
	if _, _, err := w.Issue(t.Context(), w.alice, wanted, w.proof, "test"); !errors.Is(err, web.ErrTooMany) {
		t.Errorf("got %v, want that there are too many", err)
	}
	if err := w.state.Store.RevokePassword(t.Context(), "p", w.clock.time()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Issue(t.Context(), w.alice, wanted, w.proof, "test"); err != nil {
		t.Errorf("after a revocation: %v", err)
	}
}

func TestDoors(t *testing.T) {
	c := &config.Config{Domain: "mail.contoso.example"}
	open := func(address string, l config.Listener) *listener {
		opened, err := listen(new(handover.Sockets), address, &service{config: l}, nil, quiet, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = opened.Close() })
		return opened
	}
	all := doors(c, []*listener{
		open("127.0.0.1:0", config.Listener{Protocol: "imap", TLS: config.Implicit}),
		open(":0", config.Listener{Protocol: "smtp", TLS: config.Optional, LegacyTLS: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}}),
	})
	advertised := doors(c, []*listener{open("127.0.0.1:0", config.Listener{Protocol: "imap", TLS: config.Implicit, Advertise: "imap.contoso.example:993"})})
	if got := advertised[0]; got.Host != "imap.contoso.example" || got.Port != "993" || got.Address != "" {
		t.Errorf("got %+v, want what is advertised", got)
	}
	for _, door := range all {
		if door.Host != "mail.contoso.example" || door.Port == "0" || door.Port == "" || door.Address != "" {
			t.Errorf("got %+v, want the gateway's name, the port that is listened on, and no address that says nothing", door)
		}
	}
	if len(all) != 2 || !all[1].LegacyTLS || len(all[1].Networks) != 1 || all[0].Protocol != "imap" {
		t.Errorf("got %+v", all)
	}
}

// TestI18FormerNamesShowNothing: somebody who is called as alice was, at her provider or at another, sees nothing of hers.
func TestI18FormerNamesShowNothing(t *testing.T) {
	w := newDeskWorld(t)
	enrolled := audit.AccountEnrolled{Provider: "contoso", Account: w.alice.Username, TenantID: "tid", ObjectID: "oid-alice", Method: "device-code", By: "test"}
	signedIn := audit.SignIn{Outcome: audit.Allowed, Protocol: "imap", Login: "helpdesk", Account: w.alice.Username + " at contoso"}
	for _, event := range []audit.Event{enrolled, signedIn} {
		if err := w.state.Audit.Record(event); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"sign-in", "account-enrolled"}, w.events(w.alice)); diff != "" {
		t.Errorf("alice's events (-want +got):\n%s", diff)
	}
	namesake := w.alice
	namesake.ObjectID = "oid-eve"
	if got := w.events(namesake); len(got) != 0 {
		t.Errorf("a namesake at the same provider sees %v", got)
	}
	namesake.Provider, namesake.TenantID = "fabrikam", "tid-2"
	account := store.Account{Provider: "fabrikam", Name: namesake.Username, TenantID: "tid-2", ObjectID: "oid-eve", Standing: store.Standing{State: store.OK, Since: noon}}
	if err := w.state.Store.SaveEnrolment(t.Context(), account, store.TokenCacheKey{Owner: "eve"}, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.events(namesake); len(got) != 0 {
		t.Errorf("a namesake at another provider sees %v", got)
	}
}

// TestOfficeTellsARefusedAccount from one that is ready.
func TestOfficeTellsARefusedAccount(t *testing.T) {
	for state, want := range map[LoginState][2]bool{Ready: {false, false}, NeedsSignIn: {true, false}, Refused: {false, true}} {
		s := overviewOf(User{State: state})
		if got := [2]bool{s.NeedsSignIn, s.Refused}; got != want {
			t.Errorf("%s: needs sign-in and refused are %v, want %v", state, got, want)
		}
	}
}
