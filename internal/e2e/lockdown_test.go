package e2e

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// unlimited lets a mailbox send as much as it likes.
var unlimited = exchange.Limits{PerMinute: -1, Connections: -1, RecipientsPerDay: -1}

// TestI24LockdownCutsOffAndComesBack: one command ends the live sessions of everybody within five seconds, refuses all who
// try, also after a restart, holds accepted mail, and another command makes all as it was, held mail included.
func TestI24LockdownCutsOffAndComesBack(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, program)
	alice := g.named(t, "alice@contoso.example")
	if got := d.imapSignIn(t, g, alice); !strings.HasPrefix(got, "OK") { // and the connection stays
		t.Fatalf("before: got %q, want OK", got)
	}
	began := time.Now()
	var report struct {
		Running             bool
		Sessions, Lingering int
	}
	out := d.command(t, program, 0, "lockdown", "--all", "--json", "--reason", "drill")
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); !report.Running || report.Sessions != 1 || report.Lingering != 0 || took > 5*time.Second {
		t.Errorf("after %v: %+v, want the one session ended", took, report)
	}
	if got := strings.TrimSpace(d.command(t, program, 0, "session", "list", "--json")); got != "" {
		t.Errorf("live sessions: %s", got)
	}
	refused := func(when string) {
		t.Helper()
		if got := d.imapSignIn(t, g, alice); !strings.HasPrefix(got, "NO [AUTHENTICATIONFAILED]") {
			t.Errorf("%s: got %q, want a refusal like that of a wrong password", when, got)
		}
	}
	refused("in the lockdown")
	g.kill()
	g.process = start(t, program, "serve", "-c", d.config)
	g.listening(t, g.SMTPS)
	refused("after a restart")
	if got := d.command(t, program, 0, "lockdown", "lift", "--all"); !strings.Contains(got, "lifted: all") {
		t.Errorf("lifting says %q", got)
	}
	if got := d.imapSignIn(t, g, alice); !strings.HasPrefix(got, "OK") {
		t.Errorf("after it: got %q, want OK", got)
	}
}

// TestLockdownHoldsAcceptedMail: what was answered 250 stays while its login is cut off, and is delivered, once, after that.
func TestLockdownHoldsAcceptedMail(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, program)
	alice := g.named(t, "alice@contoso.example")
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPMail, Reply: "451 4.3.2 Temporary server error"})
	const message = "From: alice@contoso.example\r\nMessage-ID: <crash-1-1@crash.example>\r\n\r\nhello"
	if got := d.smtpSubmit(t, g, alice, "bob@contoso.example", message); !strings.HasPrefix(got, "250 2.0.0 ") {
		t.Fatalf("got %q, want 250", got)
	}
	d.command(t, program, 0, "lockdown", alice.Login)
	inner.Tenant.Faults.Clear()
	if got := d.command(t, program, 0, "queue", "list", "--json"); !strings.Contains(got, `"state":"barred"`) {
		t.Errorf("the queue is %s, want the message barred", got)
	}
	var queued struct{ ID string }
	if err := json.Unmarshal([]byte(d.command(t, program, 0, "queue", "list", "--json")), &queued); err != nil {
		t.Fatal(err)
	}
	d.command(t, program, 0, "queue", "release", queued.ID)
	eventually(t, 20*time.Second, "the released message is barred again", func() error {
		if got := d.command(t, program, 0, "queue", "list", "--json"); !strings.Contains(got, `"state":"barred"`) {
			return errors.New(got)
		}
		return nil
	})
	d.command(t, program, 0, "lockdown", "lift", alice.Login)
	d.emptyQueue(t)
	came := arrivals{t: t, sim: inner, copies: make(map[string]int)}
	came.count("after the lift")
	if len(came.copies) != 1 {
		t.Errorf("%d messages came, want one", len(came.copies))
	}
}
