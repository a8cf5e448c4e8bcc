package auth

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/throttle"
)

// lockWorld is a gate with all around it, for a single login with a single password.
type lockWorld struct {
	gate    *Gate
	locked  map[string]bool
	down    map[string]bool // policies
	broken  error           // of the locks
	asked   []string
	verdict apppassword.Verdict
	events  []audit.SignIn
	waited  int
}

func (w *lockWorld) Locked(_ context.Context, login, policy string) (locked, lockdown bool, err error) {
	w.asked = append(w.asked, login)
	return w.locked[login], w.down[policy], w.broken
}

func (w *lockWorld) Verify(context.Context, string, secret.Text) (apppassword.Verdict, error) {
	return w.verdict, nil
}

func (w *lockWorld) Record(e audit.Event) error {
	w.events = append(w.events, e.(audit.SignIn))
	return nil
}

func (w *lockWorld) Admit(string, netip.Addr, secret.Text) (throttle.Check, bool) {
	return throttle.Check{}, true
}

func newLockWorld() *lockWorld {
	w := &lockWorld{locked: map[string]bool{}, down: map[string]bool{}}
	w.verdict = apppassword.Verdict{Status: apppassword.Valid, Password: apppassword.Record{
		ID: "p1", Protocols: []string{"imap"}, Expires: time.Unix(2000, 0)}}
	w.gate = NewGate(GateConfig{
		Directory: NewDirectory(&config.Config{
			Policies: map[string]*config.Policy{"person": {Name: "person", Protocols: []string{"imap"}}},
			Users:    []config.User{{Login: "Alice", Mailbox: "alice@contoso.example", Provider: "contoso", Grant: "application", Policy: "person"}},
		}),
		Passwords: w, Guesses: w, Locks: w, Audit: w, Stamp: func(apppassword.Use) {},
		Wait: func(context.Context, time.Duration) { w.waited++ },
	})
	return w
}

// signIn tries to sign in, and gives the grant, or the refusal with its reason.
func (w *lockWorld) signIn(t *testing.T, login string) (Grant, *Refusal) {
	t.Helper()
	grant, err := w.gate.SignIn(t.Context(), Attempt{Protocol: IMAP, Login: login, Remote: netip.MustParseAddrPort("192.0.2.1:1")}, nil)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return grant, refusal
}

func TestI24LockedLoginIsDenied(t *testing.T) {
	w := newLockWorld()
	if grant, refusal := w.signIn(t, "ALICE"); refusal != nil || !grant.Expires.Equal(time.Unix(2000, 0)) {
		t.Fatalf("before the lock: got %+v, %v", grant, refusal)
	}
	w.locked["alice"] = true
	_, refusal := w.signIn(t, "ALICE")
	if refusal == nil || refusal.Kind != Denied || refusal.Reason != LoginLocked || refusal.Say != "" {
		t.Fatalf("got %+v, want it denied without a word about the lock", refusal)
	}
	if w.waited != 1 {
		t.Errorf("waited %d times, want once, as for any other denial", w.waited)
	}
	if e := w.events[1]; e.Outcome != audit.Refused || e.Reason != "login-locked" || e.Login != "alice" || e.Password != "p1" {
		t.Errorf("audit: %+v", e)
	}
	w.verdict = apppassword.Verdict{}
	if _, refusal := w.signIn(t, "alice"); refusal == nil || refusal.Reason != WrongPassword {
		t.Errorf("a wrong password: got %+v", refusal)
	}
}

func TestLockdownIsDeniedLikeALock(t *testing.T) {
	w := newLockWorld()
	w.down["person"] = true
	_, refusal := w.signIn(t, "alice")
	if refusal == nil || refusal.Kind != Denied || refusal.Reason != LockedDown || refusal.Say != "" || w.waited != 1 {
		t.Fatalf("got %+v after %d waits, want it denied without a word, as for any other denial", refusal, w.waited)
	}
	w.locked["alice"] = true
	if _, refusal := w.signIn(t, "alice"); refusal == nil || refusal.Reason != LockedDown {
		t.Errorf("locked, too: got %+v", refusal)
	}
	w.down["person"] = false
	if _, refusal := w.signIn(t, "alice"); refusal == nil || refusal.Reason != LoginLocked {
		t.Errorf("after the lockdown its own lock holds: got %+v", refusal)
	}
}

// The lock is asked for whatever the login, so that a sign-in costs the same (threat model I-26).
func TestI26LockIsAlwaysAskedFor(t *testing.T) {
	w := newLockWorld()
	w.verdict = apppassword.Verdict{}
	_, _ = w.signIn(t, "Nobody")
	_, _ = w.signIn(t, "alice")
	if len(w.asked) != 2 || w.asked[0] != "nobody" || w.asked[1] != "alice" {
		t.Errorf("asked for %q", w.asked)
	}
}

func TestI15LocksThatCannotBeReadAreTemporary(t *testing.T) {
	w := newLockWorld()
	w.broken = errors.New("disk trouble")
	if _, refusal := w.signIn(t, "alice"); refusal == nil || refusal.Kind != Unavailable || refusal.Reason != StoreUnavailable {
		t.Errorf("got %+v, want it refused as temporary", refusal)
	}
}
