package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/sim/tenant"
)

// TestI46StaleBackupSendsNothingTwiceByItself: a backup is made under load; what was queued then is delivered afterwards, and
// the gateway is killed. Restored into an empty folder, the gateway starts and sends nothing of it again, until somebody says so.
func TestI46StaleBackupSendsNothingTwiceByItself(t *testing.T) {
	program := binary(t, program)
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, program)
	user := g.named(t, "alice@contoso.example")
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPMail, Reply: "451 4.3.2 Temporary server error"})

	var sent ledger
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() { sendUntil(t, g, user, over, &sent) })
	}
	eventually(t, time.Minute, "messages are accepted", func() error { return atLeast(len(sent.all()), 5) })
	copied := filepath.Join(t.TempDir(), "backup.tar")
	d.command(t, program, 0, "backup", copied)
	n := len(sent.all())
	eventually(t, time.Minute, "more messages are accepted", func() error { return atLeast(len(sent.all()), n+5) })
	close(over)
	clients.Wait()
	d.command(t, program, 0, "backup", "--verify", copied)

	inner.Tenant.Faults.Clear()
	d.emptyQueue(t)
	came := arrivals{t: t, sim: inner, copies: make(map[string]int)}
	came.count("before the loss")
	for _, id := range sent.all() {
		if came.copies[id] == 0 {
			t.Errorf("message %s was answered 250 and did not come", id)
		}
	}
	g.kill()

	folder := filepath.Join(t.TempDir(), "new")
	began := time.Now()
	d.command(t, program, 0, "restore", copied, "--to", folder)
	var held int
	content, err := os.ReadFile(filepath.Join(d.folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, "postern.keys", string(content))
	restored := &deployment{folder: folder, authority: d.authority, config: filepath.Join(folder, "postern.yaml")}
	g.process = start(t, program, "serve", "-c", restored.config)
	g.listening(t, g.SMTPS)
	t.Logf("restored and served after %v", time.Since(began).Round(time.Millisecond))
	for line := range strings.Lines(restored.command(t, program, 0, "queue", "list", "--json")) {
		var e struct{ State string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.State != "held" {
			t.Errorf("in the queue: %s", line)
		}
		held++
	}
	if held < 5 || held > len(sent.all()) {
		t.Errorf("%d messages are held, want those of the time of the backup", held)
	}
	if got := restored.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
		t.Errorf("a sign-in gives %q", got)
	}
	before := copies(came)
	time.Sleep(3 * time.Second) // the queue looks every second
	came.count("after the restore")
	if now := copies(came); now != before {
		t.Errorf("%d messages were sent again by themselves", now-before)
	}
	if got := restored.command(t, program, 0, "queue", "release", "--restored"); !strings.Contains(got, "released: ") {
		t.Errorf("releasing says %q", got)
	}
	restored.emptyQueue(t)
	came.count("after a human's word")
	if now := copies(came); now != before+held {
		t.Errorf("%d messages came after the release, want the %d that were held", now-before, held)
	}
}

// TestI46AGigabyteIsBackInTime: with a gigabyte of mail in the queue and clients that go on sending, a backup is made, and
// restored into an empty folder, and the gateway serves there, within the quarter of an hour that there is for it.
func TestI46AGigabyteIsBackInTime(t *testing.T) {
	if os.Getenv("POSTERN_LONG") == "" {
		t.Skip("it writes 4 GB; POSTERN_LONG=1 runs it")
	}
	const (
		messages = 52
		limit    = 15 * time.Minute
	)
	program := binary(t, program)
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, program)
	user := g.named(t, "alice@contoso.example")
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPMail, Reply: "451 4.3.2 Temporary server error"})
	body := "Subject: a scan\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n", 20<<20/66)
	began := time.Now()
	for range messages {
		if got := d.smtpSubmit(t, g, user, "bob@contoso.example", body); !strings.HasPrefix(got, "250") {
			t.Fatalf("got %q, want it queued", got)
		}
	}
	t.Logf("%d messages of %d MB were accepted in %v", messages, len(body)>>20, time.Since(began).Round(time.Second))
	var sent ledger
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() { sendUntil(t, g, user, over, &sent) })
	}
	copied := filepath.Join(t.TempDir(), "backup.tar")
	began = time.Now()
	d.command(t, program, 0, "backup", copied)
	made := time.Since(began)
	close(over)
	clients.Wait()
	info, err := os.Stat(copied)
	if err != nil || info.Size() < 1<<30 {
		t.Fatalf("the backup is %v, %v; want a gigabyte", info, err)
	}
	g.kill()
	folder := filepath.Join(t.TempDir(), "new")
	began = time.Now()
	d.command(t, program, 0, "restore", copied, "--to", folder)
	content, err := os.ReadFile(filepath.Join(d.folder, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, keysFile, string(content))
	restored := &deployment{folder: folder, authority: d.authority, config: filepath.Join(folder, "postern.yaml")}
	g.process = start(t, program, "serve", "-c", restored.config)
	g.listening(t, g.SMTPS)
	took := time.Since(began)
	t.Logf("a backup of %d MB under load took %v, and %d messages were accepted meanwhile; restored and served after %v", info.Size()>>20,
		made.Round(100*time.Millisecond), len(sent.all()), took.Round(100*time.Millisecond))
	if made > limit || took > limit {
		t.Errorf("the backup took %v and the restore %v, want %v at most", made, took, limit)
	}
	began = time.Now()
	restored.command(t, program, 0, "keys", "list")
	t.Logf("keys list took %v", time.Since(began).Round(10*time.Millisecond))
}

// atLeast is an error for less than so many.
func atLeast(n, want int) error {
	if n < want {
		return fmt.Errorf("%d so far, want %d", n, want)
	}
	return nil
}

// copies counts all that came.
func copies(a arrivals) (n int) {
	for _, c := range a.copies {
		n += c
	}
	return n
}
