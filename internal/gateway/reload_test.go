package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/internal/config"
	"postern/internal/session"
)

// running is a gateway with the file that it was started from.
type running struct {
	*Gateway
	t      *testing.T
	folder string
	file   string
}

// startReloadable starts a gateway from a minimal configuration.
func startReloadable(t *testing.T) *running {
	t.Helper()
	folder := t.TempDir()
	c := minimal(t, folder)
	file := filepath.Join(folder, "postern.yaml")
	g, err := Start(t.Context(), c, Options{Log: quiet, File: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return &running{g, t, folder, file}
}

// edit replaces text in the file, and gives what it says now.
func (r *running) edit(pairs ...string) *config.Config {
	r.t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	edited := strings.NewReplacer(pairs...).Replace(string(text))
	if edited == string(text) {
		r.t.Fatalf("%q is not in the file", pairs)
	}
	if err := os.WriteFile(r.file, []byte(edited), 0o600); err != nil {
		r.t.Fatal(err)
	}
	c, err := config.Load(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// reload replaces text in the file and has the gateway take it up.
func (r *running) reload(pairs ...string) {
	r.t.Helper()
	if _, err := r.Reload(r.edit(pairs...), "test"); err != nil {
		r.t.Fatal(err)
	}
}

// greeting gives the first line that a client hears at an address, or why it hears nothing.
func greeting(address string, secured bool) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if secured {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the test is not about the certificate
	}
	line := make([]byte, 200)
	n, err := conn.Read(line)
	if err != nil && err != io.EOF {
		return err.Error()
	}
	return string(line[:n])
}

// TestReloadListeners: an address that stays is never closed, whatever changes about it; another is opened, and one that is
// gone is closed.
func TestReloadListeners(t *testing.T) {
	r := startReloadable(t)
	first := r.Addresses()[0].Address
	if got := greeting(first, true); !strings.HasPrefix(got, "220 ") {
		t.Fatalf("before: got %q, want a greeting", got)
	}
	r.reload(`tls: implicit}]`, `tls: starttls}, {protocol: imap, address: "127.0.0.1:0", tls: implicit}]`, "protocols: [smtp]", "protocols: [smtp, imap]")
	all := r.Addresses()
	if len(all) != 2 || all[0].Address != first || all[0].TLS != config.StartTLS {
		t.Fatalf("got %+v, want %s with starttls and another one", all, first)
	}
	if got := greeting(first, false); !strings.HasPrefix(got, "220 ") {
		t.Errorf("changed: got %q, want a greeting in clear", got)
	}
	if got := greeting(all[1].Address, true); !strings.HasPrefix(got, "* OK") {
		t.Errorf("added: got %q, want a greeting", got)
	}
	r.reload(`{protocol: smtp, address: "127.0.0.1:0", tls: starttls}, `, "")
	// Which of two that are for any free port is gone, the file does not tell; the one that is left is IMAP's.
	if all := r.Addresses(); len(all) != 1 || all[0].Protocol != "imap" || all[0].Address != first {
		t.Fatalf("got %+v, want one for IMAP at %s", all, first)
	}
	if got := greeting(all[1].Address, true); !strings.Contains(got, "refused") {
		t.Errorf("removed: got %q, want a refused connection", got)
	}
}

// TestI35ABadChangeChangesNothing: where one part of the next configuration cannot be had, none of it comes into force, and
// the error names the setting.
func TestI35ABadChangeChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	r := startReloadable(t)
	before, addresses := r.generation(), r.Addresses()
	c := r.edit(`tls: implicit}]`, `tls: implicit}, {protocol: smtp, address: "127.0.0.1:0", tls: starttls}]`+
		"\nmetrics: {address: \""+taken.Addr().String()+"\"}", "copier-3", "copier-4")
	if _, err := r.Reload(c, "test"); err == nil || !strings.Contains(err.Error(), "metrics") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("got %v, want an error about metrics and %s", err, taken.Addr())
	}
	if r.generation() != before {
		t.Error("another generation is in force")
	}
	if after := r.Addresses(); len(after) != 1 || after[0] != addresses[0] {
		t.Errorf("got the addresses %v, want %v", after, addresses)
	}
	if got := greeting(addresses[0].Address, true); !strings.HasPrefix(got, "220 ") {
		t.Errorf("got %q, want a greeting", got)
	}
}

// TestReloadKeepsWhatCannotChange: the gateway goes on with its store, and takes up the rest.
func TestReloadKeepsWhatCannotChange(t *testing.T) {
	r := startReloadable(t)
	store := r.generation().config.Store
	r.reload("domain: localhost", "domain: localhost\nstore: sqlite:other.db", "copier-3", "copier-4")
	if got := r.generation().config.Store; got != store {
		t.Errorf("got the store %s, want %s", got, store)
	}
	if _, known := r.generation().directory.Lookup("copier-4"); !known {
		t.Error("the rest has not been taken up")
	}
}

// live puts a session of a login into the register, as the gate would let it in now, and gives what becomes of it: the
// cause for which it is cut off.
func (r *running) live(login string, of *generation) chan string {
	r.t.Helper()
	mapping, known := of.directory.Lookup(login)
	if !known {
		r.t.Fatalf("%s is not known", login)
	}
	causes := make(chan string, 10)
	grant := &auth.Grant{Login: mapping.Login, Mailbox: mapping.Mailbox, Addresses: []string{mapping.Mailbox}, User: mapping.Mailbox,
		Account: mapping.Account, Password: "pw-1", Policy: mapping.Policy}
	live, err := r.sessions.Add(session.Limits{}, session.Info{ID: login, Protocol: "smtp", Login: login, Grant: grant}, func(cause string) { causes <- cause })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(live.Remove)
	return causes
}

// cutFor waits for a session to be cut off.
func cutFor(t *testing.T, causes chan string) string {
	t.Helper()
	select {
	case cause := <-causes:
		return cause
	case <-time.After(5 * time.Second): // threat model I-24
		return "nothing within 5 seconds"
	}
}

// TestI24ReloadCutsWhatHasNothingToStandOn: and nothing else, also where the sign-in was decided before the reload and the
// session begins after it.
func TestI24ReloadCutsWhatHasNothingToStandOn(t *testing.T) {
	r := startReloadable(t)
	r.reload("users: [", "users: [{login: fax, mailbox: fax@contoso.example, provider: contoso, grant: application, policy: device}, ")
	before := r.generation()
	gone, stays := r.live("fax", before), r.live("copier-3", before)
	done, err := r.Reload(r.edit("{login: fax, mailbox: fax@contoso.example, provider: contoso, grant: application, policy: device}, ", ""), "test")
	if err != nil || done.Cut != 1 {
		t.Fatalf("got %+v, %v; want one session cut", done, err)
	}
	if got := cutFor(t, gone); got != causeReconfigured {
		t.Errorf("of a login that is gone: got %q, want %s", got, causeReconfigured)
	}
	if got := cutFor(t, r.live("fax", before)); got != causeReconfigured {
		t.Errorf("of one that was decided before: got %q, want %s", got, causeReconfigured)
	}
	r.reload("client_id: 1", "client_id: 2")
	if got := cutFor(t, stays); got != causeReconfigured {
		t.Errorf("of a provider that is another's: got %q, want %s", got, causeReconfigured)
	}
}

// TestReloadKeepsSessions: another secret of the same application, more users, other limits: no session ends.
func TestReloadKeepsSessions(t *testing.T) {
	r := startReloadable(t)
	stays, tokens := r.live("copier-3", r.generation()), r.generation().upstreams["contoso"].tokens
	if err := os.WriteFile(filepath.Join(r.folder, "secret"), []byte("an0ther\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := r.Reload(r.edit("users: [", "limits: {connections: 77}\nusers: [{login: fax, mailbox: fax@contoso.example, provider: contoso, grant: application, policy: device}, "), "test")
	if err != nil || done.Cut != 0 || len(stays) != 0 {
		t.Fatalf("got %+v, %v and %d cuts; want none", done, err, len(stays))
	}
	if r.generation().upstreams["contoso"].tokens == tokens {
		t.Error("the new secret is not used")
	}
	if r.admission.limits.Connections != 77 {
		t.Errorf("got %d connections, want 77", r.admission.limits.Connections)
	}
	again := r.generation().upstreams["contoso"].tokens
	r.reload("77", "78")
	if r.generation().upstreams["contoso"].tokens != again {
		t.Error("a provider that has not changed was made anew")
	}
}

// TestI35ABadFileChangesNothing: the gateway follows its file; one that is wrong is named with its line wherever an
// administrator looks, and what was there before goes on.
func TestI35ABadFileChangesNothing(t *testing.T) {
	r := startReloadable(t)
	good, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	before := r.generation()
	await := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	note := func() string { return r.notes(t.Context())["configuration"] }
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(good) + "polices: {}\n")
	await("a note of the bad file", func() bool { return note() != "" })
	const want = "postern.yaml:8:1"
	if got := note(); !strings.Contains(got, want) || !strings.Contains(got, "policies") {
		t.Errorf("/readyz: got %q, want %s and the nearest key in it", got, want)
	}
	if r.generation() != before {
		t.Error("another generation is in force")
	}
	if _, err := r.ReloadFile("root"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %s", err, want)
	}
	write(strings.Replace(string(good), "copier-3", "copier-4", 1))
	await("the good file", func() bool { return r.generation() != before })
	await("the note to go", func() bool { return note() == "" })
	log, err := os.ReadFile(before.config.AuditFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kind":"configuration-refused"`, want, `"kind":"configuration-changed"`, `"by":"` + ByFile + `"`, before.config.Digest,
		r.generation().config.Digest, `"logins added: 1","logins removed: 1"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the audit log has no %s", want)
		}
	}
}

// TestChangedBeforeItIsFollowed: a file that changed between its reading and the first look at it is taken up, though it stays as it
// is from then on.
func TestChangedBeforeItIsFollowed(t *testing.T) {
	folder := t.TempDir()
	c := minimal(t, folder)
	file := filepath.Join(folder, "postern.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "copier-3", "copier-4")), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := Start(t.Context(), c, Options{Log: quiet, File: file})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, known := g.generation().directory.Lookup("copier-4"); known {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the changed file is not in force")
		}
	}
}
