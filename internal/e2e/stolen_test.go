package e2e

import (
	"bytes"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/keys"
	"postern/internal/store"
)

// keysFile holds the gateway's own keys, because that is its purpose. Whoever steals the rest has not stolen it.
const keysFile = "postern.keys"

// withPortal adds a portal to a deployment, at which bob is the administrator.
func (d *deployment) withPortal(t *testing.T, s *simulator, g *gateway) {
	t.Helper()
	address := freeAddress(t)
	g.Portal, g.People = "https://"+address, s.People
	content, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	content = fmt.Appendf(content, "portal: {address: %q, url: %q, administration: {administrators: [bob@contoso.example]}}\n", address, g.Portal)
	if err := os.WriteFile(d.config, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.order(t, "application", map[string]any{"redirect_uris": []string{g.Portal + "/signin/contoso/callback"}})
	both, err := os.ReadFile(g.CAFile)
	if err == nil {
		var other []byte
		other, err = os.ReadFile(s.CAFile)
		both = append(append(both, '\n'), other...)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.CAFile = write(t, t.TempDir(), "both.pem", string(both))
}

// TestI41StolenFilesHoldNoSecret is a day with everything that has a secret in it: app passwords, right and wrong ones, made
// on the server and in the portal; tokens of a person and of the application; the portal's cookies and an authenticator's
// key; the gateway's keys; mail that waits in the queue; a backup; the commands of an administrator. Then somebody steals
// the database with its log, the backup, the audit log, the program's log at its most talkative, what it writes when it
// crashes, the figures, what the commands have said, and the process list. None of the secrets is in any of them, in any
// encoding; and no core file is written of the crash.
func TestI41StolenFilesHoldNoSecret(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.withPortal(t, s, g)
	figures := freeAddress(t)
	d.change(t, "device: {protocols: [smtp]}", "device: {protocols: [smtp], send: {delivery: queue}}", "policies:\n", "metrics: {address: \""+figures+"\"}\npolicies:\n")
	d.serve(t, g, program, "--verbose")
	l := &leaks{}
	cookies := func(name string, r *reader) {
		portal, err := url.Parse(g.Portal)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.client.Jar.Cookies(portal) {
			l.add(name+"'s cookie "+c.Name, c.Value)
		}
	}

	// The portal: a person's sign-in, second factor and app password.
	r := openReader(t, g)
	r.signIn(t, g, "alice@contoso.example")
	cookies("alice", r)
	r.visit(t, g.Portal+"/passwords/new?login=helpdesk@contoso.example")
	r.visit(t, g.Portal+r.finds(t, `href="(/factors\?return=[^"]*)"`))
	key := r.send(t, "/factors/totp").finds(t, `<p class="secret">([A-Z2-7 ]+)</p>`)
	cookies("alice", r)
	r.proveTOTP(t, key)
	cookies("alice", r)
	r.send(t, "/passwords/new", "label", "Thunderbird", "use", "everything", "where", "anywhere", "life", "90")
	issued := r.finds(t, `id="secret">([a-z0-9-]+)<`)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	l.add("authenticator's key", strings.ReplaceAll(key, " ", ""))
	l.addBytes("authenticator's key, decoded", raw)
	l.add("app password of the portal", issued)
	l.add("wrong password", wrongPassword)

	// Mail, with tokens of the person and of the application, refused and renewed ones, too.
	user := g.named(t, "helpdesk@contoso.example")
	user.Password = issued
	for _, protocol := range []string{"imap", "smtp"} {
		ask := d.imapSignIn
		if protocol == "smtp" {
			ask = d.smtpSend
		}
		ask(t, g, aliceWithAWrongPassword(t, g))
		ask(t, g, nobody(t, g))
		ask(t, g, user)
		ask(t, g, alice(t, g))
	}
	d.secretsInTheStore(t, l)
	s.order(t, "expire", map[string]any{})
	d.imapSignIn(t, g, user)
	d.imapSignIn(t, g, alice(t, g))
	for _, more := range secretsOf(s, g).forms {
		l.forms = append(l.forms, more)
	}
	if n := d.secretsInTheStore(t, l); n < 4 {
		t.Errorf("the store has %d tokens, want those of a person and of the application", n)
	}
	own := d.ownKeys(t)
	d.administer(t, g, l, program, figures)
	if n := d.secretsInTheStore(t, l); n < 4 {
		t.Errorf("after the rotation the store has %d tokens", n)
	}
	for _, more := range d.ownKeys(t).forms {
		own.forms = append(own.forms, more)
	}

	d.search(t, g, l)
	d.searchFiles(t, own, keyFile, secretFile, keysFile)
	g.crash(t)
	for name, text := range map[string]string{"stdout": g.stdout.String(), "stderr": g.stderr.String()} {
		l.in(t, name+" of the crashed gateway", []byte(text))
		own.in(t, name+" of the crashed gateway", []byte(text))
	}
	if !strings.Contains(g.stderr.String(), "goroutine ") || !strings.Contains(g.stderr.String(), "level=DEBUG") {
		t.Errorf("the program's log has no crash, or is not talkative:\n%s", g.stderr)
	}
	read := strings.Join(append(d.searchFiles(t, l, keyFile, secretFile), d.searchFiles(t, own, keyFile, secretFile, keysFile)...), " ")
	for _, want := range []string{"postern.audit", "postern.audit.heads", "backup.tar", "postern.db", "postern.db-wal"} {
		if !strings.Contains(read, want) {
			t.Errorf("searched %s, want %s among them", read, want)
		}
	}
	if strings.Contains(read, "core") {
		t.Errorf("the crash has left a core file: %s", read)
	}
}

// administer is what an administrator does in a day, with mail in the queue meanwhile. What the commands say is searched later
// with all that anybody was told; the figures are searched here.
func (d *deployment) administer(t *testing.T, g *gateway, l *leaks, program, figures string) {
	t.Helper()
	const words = "kingfisher-over-the-canal-at-noon" // of a message: nobody's but its reader's
	l.add("text of a message", words)
	held := d.smtpSubmit(t, g, g.named(t, "copier-3"), "bob@fabrikam.example", "Subject: "+words+"\r\n\r\n"+words)
	_, id, found := strings.Cut(held, " queued as ")
	if !found {
		t.Fatalf("got %q, want it queued", held)
	}
	id = strings.Fields(id)[0]
	d.command(t, program, 0, "backup", filepath.Join(d.folder, "backup.tar"))
	for _, args := range []string{"user list", "password list", "session list", "queue list", "lockdown status", "keys list", "keys check",
		"forecast", "certificate list", "audit search", "audit export --format jsonl", "audit export --format csv", "audit export --format ocsf",
		"audit heads", "user show copier-3", "config diff"} {
		d.command(t, program, 0, strings.Fields(args)...)
	}
	command{path: program, args: []string{"queue", "show", id, "-c", d.config}}.try(t) // it may have gone by now
	d.command(t, program, 0, "user", "lock", "scans-reader", "--reason", "a day like others")
	d.command(t, program, 0, "user", "unlock", "scans-reader")
	d.command(t, program, 0, "password", "revoke", d.passwordOf(t, "scans-reader"))
	d.command(t, program, 0, "keys", "rotate")
	d.command(t, program, 0, "log", "level", "debug")
	d.command(t, program, 0, "reload")
	d.command(t, program, 0, "backup", filepath.Join(d.folder, "backup-later.tar"))
	for _, path := range []string{"/metrics", "/readyz", "/livez"} {
		answer, err := http.Get("http://" + figures + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || len(text) == 0 {
			t.Errorf("%s gave %d bytes, %v", path, len(text), err)
		}
		_ = answer.Body.Close()
		l.in(t, path, text)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", g.cmd.Process.Pid))
	if err == nil && !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("the gateway may leave a core file:\n%s", limits)
	}
}

// crash ends the gateway as a fault in the program would: it writes the stacks of all that it was doing.
func (g *gateway) crash(t *testing.T) {
	t.Helper()
	g.asked.Do(func() { // it is not stopped: that its exit code is not 0 is no failure
		if err := g.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		select {
		case <-g.ended:
		case <-time.After(stopTime):
			_ = g.cmd.Process.Kill()
			<-g.ended
			t.Errorf("%s did not end within %v of SIGQUIT", g.name, stopTime)
		}
	})
}

// secretsInTheStore unseals every token that the store has, and makes it known. It gives how many there were.
func (d *deployment) secretsInTheStore(t *testing.T, l *leaks) (n int) {
	t.Helper()
	ring, err := keys.Open(filepath.Join(d.folder, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.folder, "postern.db")
	opened, err := store.Open(t.Context(), "sqlite:"+file, ring)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT provider, tenant_id, owner, kind FROM token_caches`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var at store.TokenCacheKey
		if err := rows.Scan(&at.Provider, &at.TenantID, &at.Owner, &at.Kind); err != nil {
			t.Fatal(err)
		}
		content, err := opened.LoadTokenCache(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		var cache map[string]map[string]struct{ Secret string }
		if err := json.Unmarshal(content, &cache); err != nil {
			t.Fatal(err)
		}
		for kind, entries := range cache {
			for _, entry := range entries {
				if entry.Secret != "" {
					l.add(kind+" of "+at.Owner, entry.Secret)
					n++
				}
			}
		}
	}
	return n
}

// ownKeys gives the gateway's own keys: the text of each in the keys file, and the key within it.
func (d *deployment) ownKeys(t *testing.T) *leaks {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(d.folder, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	l := &leaks{}
	for i, text := range bytes.Split(content, []byte(`"value":`))[1:] {
		value := strings.Trim(strings.SplitN(string(text), ",", 2)[0], "\" \n}")
		proto, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(proto) < 32 {
			t.Fatalf("key %d of the keys file is not understood: %v", i, err)
		}
		l.addBytes(fmt.Sprint("key ", i, " as it is in its file"), proto)
		l.addBytes(fmt.Sprint("key ", i), proto[len(proto)-32:])
	}
	if len(l.forms) == 0 {
		t.Fatal("the keys file has no keys")
	}
	return l
}
