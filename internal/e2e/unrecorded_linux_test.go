package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/sim/tenant"
)

// standing is what privileged actions change, as the commands that only read show it and as the files are.
func (d *deployment) standing(t *testing.T, program string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, args := range []string{"user list", "password list", "queue list", "session list", "keys list", "lockdown status"} {
		all[args] = d.command(t, program, 0, append(strings.Fields(args), "--json")...)
	}
	all["log level"] = d.command(t, program, 0, "log", "level")
	content, err := os.ReadFile(filepath.Join(d.folder, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	all["the keys file"] = string(content)
	return all
}

// TestI43NothingPrivilegedHappensWithoutItsLine fills the disk that the audit log is on, and no other. Then every privileged
// action, on the command line and in the portal, fails, says why, and changes nothing; sessions go on. Once there is room, each of
// them works, and the log is one chain.
func TestI43NothingPrivilegedHappensWithoutItsLine(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	disk := smallDisk(t, 8<<20)
	d.change(t, "audit_file: postern.audit", "audit_file: "+filepath.Join(disk, "postern.audit"))
	address := freeAddress(t)
	d.change(t, "policies:\n", "metrics: {address: \""+address+"\"}\npolicies:\n")
	d.serve(t, g, program)
	user := g.named(t, "alice@contoso.example")
	live := g.signIn(t, user, "imap")[0]
	_ = live.conn.SetDeadline(time.Now().Add(5 * time.Minute))
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPMail, Reply: "451 4.3.2 Temporary server error"})
	var ids []string
	for range 3 {
		reply := d.smtpSubmit(t, g, user, "bob@contoso.example", "Subject: waits\r\n\r\nhello")
		_, id, found := strings.Cut(reply, " queued as ")
		if !found {
			t.Fatalf("got %q, want it queued", reply)
		}
		ids = append(ids, strings.Fields(id)[0])
	}
	d.command(t, program, 0, "queue", "hold", ids[1])
	d.command(t, program, 0, "user", "lock", "scans-reader")
	d.command(t, program, 0, "lockdown", "helpdesk@contoso.example")
	revocable := d.passwordOf(t, "copier-3")
	copied := filepath.Join(t.TempDir(), "backup.tar")
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}

	// In this order each can be done after those before it, too.
	actions := []struct{ what, args string }{
		{"a lock", "user lock copier-3"},
		{"an unlock", "user unlock scans-reader"},
		{"a new app password", "password issue alice@contoso.example --label new"},
		{"a renewal", "password renew " + d.passwordOf(t, user.Login)},
		{"a revocation", "password revoke " + revocable},
		{"a hold", "queue hold " + ids[0]},
		{"a release", "queue release " + ids[1]},
		{"a drop", "queue drop " + ids[2]},
		{"another level of the log", "log level debug"},
		{"a reload", "reload"},
		{"a backup", "backup " + copied},
		{"new keys", "keys rotate"},
		{"the end of the sessions", "session kill --login " + user.Login},
		{"a lockdown", "lockdown --policy device"},
		{"its end", "lockdown lift helpdesk@contoso.example"},
	}
	relieve := fill(t, disk)
	refused := func() bool { return strings.HasPrefix(d.imapSignIn(t, g, nobody(t, g)), "NO [UNAVAILABLE]") }
	for range 50 { // there is room left in the page that is there
		if refused() {
			break
		}
	}
	if !refused() {
		t.Fatal("the audit log has room still")
	}
	write(t, d.folder, "postern.yaml", strings.Replace(string(good), "device: {protocols: [smtp]}", "device: {protocols: [smtp], limits: {connections: 3}}", 1))
	before := d.standing(t, program)
	for _, a := range actions {
		out, code := command{path: program, args: append(strings.Fields(a.args), "-c", d.config)}.try(t)
		if code != 1 || !strings.Contains(out, "audit") || !strings.Contains(out, "no space left on device") {
			t.Errorf("%s: exit code %d, want 1 and the reason:\n%s", a.what, code, out)
		}
	}
	for what, now := range d.standing(t, program) {
		if was := before[what]; now != was {
			t.Errorf("nothing could be recorded, and %s has changed from\n%s\nto\n%s", what, was, now)
		}
	}
	if _, err := os.Stat(copied); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the backup that could not be recorded is there: %v", err)
	}
	live.say(t, "c OK", "DONE")
	live.say(t, "d OK", "d NOOP")
	if answer, err := http.Get("http://" + address + "/readyz"); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %v, %v; want 503", answer, err)
	} else {
		_ = answer.Body.Close()
	}

	relieve()
	for _, a := range actions {
		if out, code := (command{path: program, args: append(strings.Fields(a.args), "-c", d.config)}).try(t); code != 0 {
			t.Errorf("%s with room again: exit code %d:\n%s", a.what, code, out)
		}
	}
	_, _ = live.ended(t, endTime)
	d.command(t, program, 0, "lockdown", "lift", "--policy", "device")
	if out := d.command(t, program, 0, "audit", "verify"); !strings.Contains(out, "lines that a crash left half: ") {
		t.Errorf("the log holds half a line of the full disk, and verify says\n%s", out)
	}
}
