package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth/apppassword"
	"postern/internal/secret"
)

// TestI25NamesThatCouldAlterAMessage: nobody is known by a name that could end a line, a field or a string of a message
// upstream, whatever a match rule would take. The client hears what it hears of any unknown name.
func TestI25NamesThatCouldAlterAMessage(t *testing.T) {
	w := newWorld(t)
	_, password := w.issue(alice, 0, "command-line")
	for _, name := range []string{
		"alice\x00@contoso.example", "alice\x01auth=Bearer x\x01@contoso.example", "alice\r\nA2 LOGOUT@contoso.example", "alice\n@contoso.example",
		"alice@contoso.example\x01", "alice@contoso.example\r", "al ice@contoso.example", "alice\t@contoso.example", "alice\x7f@contoso.example",
		"alice\u0085@contoso.example", "alice\u2028@contoso.example", "alice\u202e@contoso.example", "al\xffice@contoso.example",
		strings.Repeat("a", 300) + "@contoso.example",
	} {
		if mapping, known := w.directory.Load().Lookup(name); known {
			t.Errorf("%q is %+v", name, mapping)
		}
		if reason := w.try(name, "192.0.2.1", password); reason != UnknownLogin {
			t.Errorf("%q: refused for %q, want %s", name, reason, UnknownLogin)
		}
	}
	for _, name := range []string{"o'brien@contoso.example", `we"ird@contoso.example`, "jürgen@contoso.example", "a+b=c@contoso.example"} {
		if _, known := w.directory.Load().Lookup(name); !known {
			t.Errorf("%q is not known, though it is harmless", name)
		}
	}
}

// work counts what the store and the keys are asked for. Time is made of nothing else: the rest is done in memory.
type work struct {
	passwords
	ring interface {
		Hash([]byte) ([]byte, uint32)
		Hashes([]byte) ([][]byte, uint32)
	}
	locks Locks
	done  []string
}

func (w *work) PasswordByHash(ctx context.Context, hashes [][]byte) (apppassword.Record, bool, error) {
	w.done = append(w.done, fmt.Sprintf("look up %d hashes", len(hashes)))
	return w.passwords.PasswordByHash(ctx, hashes)
}

func (w *work) Hash(input []byte) ([]byte, uint32) { return w.ring.Hash(input) }

func (w *work) Hashes(input []byte) ([][]byte, uint32) {
	w.done = append(w.done, "hash")
	return w.ring.Hashes(input)
}

func (w *work) Locked(ctx context.Context, login, policy string) (locked, lockdown bool, err error) {
	w.done = append(w.done, "look up the lock")
	return w.locks.Locked(ctx, login, policy)
}

// TestI26EveryDenialIsTheSameWork: an unknown login, a wrong password, one that is expired, revoked, for another network or
// without accepted evidence, a locked login and one whose person never enrolled cost the same, step by step, and so does
// whoever is let in. The answer's time is the same besides (TestI26DenialsLookAlike).
func TestI26EveryDenialIsTheSameWork(t *testing.T) {
	world := newWorld(t)
	_, right := world.issue(alice, 0, "command-line")
	revoked, revokedPassword := world.issue(alice, 0, "command-line")
	if err := world.store.RevokePassword(t.Context(), revoked, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, aged := world.issue("copier-3", 2*time.Hour, "command-line")
	_, foreign := world.issue("copier-3", 0, "totp")
	_, lockedPassword := world.issue("carol@contoso.example", 0, "command-line")
	w := &work{passwords: passwords{world.store}, ring: world.ring, locks: world.store}
	gate := NewGate(GateConfig{Directory: NewDirectory(configuration()), Passwords: apppassword.NewVerifier(w, w, nil), Guesses: world.guesses,
		Locks: lockOf{w, "carol@contoso.example"}, Audit: world.audit, Stamp: func(apppassword.Use) {}, Wait: func(context.Context, time.Duration) {}})
	world.Gate = gate
	want := []string{"hash", "look up 1 hashes", "look up the lock"}
	for _, attempt := range []struct {
		login    string
		password secret.Text
		want     Reason
	}{
		{alice, right, ""},
		{alice, wrongSecret(1), WrongPassword},
		{alice, secret.New("x"), WrongPassword},
		{alice, secret.New(""), WrongPassword},
		{alice, secret.New(strings.Repeat("a", 8000)), WrongPassword},
		{alice, revokedPassword, PasswordRevoked},
		{"copier-3", aged, EvidenceExpired},
		{"copier-3", foreign, EvidenceMissing},
		{"carol@contoso.example", lockedPassword, LoginLocked},
		{"bob@contoso.example", right, WrongPassword}, // by the match rule; he never enrolled and has no password
		{"nobody@elsewhere.example", right, UnknownLogin},
		{"", right, UnknownLogin},
		{"a\x01b", right, UnknownLogin},
	} {
		w.done = nil
		if got := world.try(attempt.login, "192.0.2.1", attempt.password); got != attempt.want {
			t.Errorf("%q: refused for %q, want %q", attempt.login, got, attempt.want)
		}
		if diff := cmp.Diff(want, w.done); diff != "" {
			t.Errorf("%q, refused for %q, costs other work (-want +got):\n%s", attempt.login, attempt.want, diff)
		}
	}
}

// lockOf says that one login is locked, after the store was asked like for any other.
type lockOf struct {
	Locks
	login string
}

func (l lockOf) Locked(ctx context.Context, login, policy string) (locked, lockdown bool, err error) {
	locked, lockdown, err = l.Locks.Locked(ctx, login, policy)
	return locked || login == l.login, lockdown, err
}

// TestI27AliasesShareTheCount: the names of one login are one login to whoever guesses.
func TestI27AliasesShareTheCount(t *testing.T) {
	w := newWorld(t)
	c := configuration()
	c.Users[0].Aliases = []string{"alice", "office\\alice"}
	w.directory.Store(NewDirectory(c))
	var reasons []Reason
	for n := range 12 {
		reasons = append(reasons, w.try([]string{alice, "ALICE", "office\\alice"}[n%3], attacker(n), wrongSecret(n)))
	}
	if got := slices.Index(reasons, HeldOff); got != 10 {
		t.Errorf("held off from attempt %d on, want 10: %q", got, reasons)
	}
}
