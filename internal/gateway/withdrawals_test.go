package gateway

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postern/internal/keys"
	"postern/internal/session"
	"postern/internal/store"
)

// watch is a watcher with its register, and the store as another process has it.
type watch struct {
	*withdrawals
	t        *testing.T
	clock    *clock
	register *session.Register
	other    *store.Store
	cut      []string // id and cause of the sessions that were cut, in order

	forgotten []string // scopes
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	folder := t.TempDir()
	ring, err := keys.Create(filepath.Join(folder, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	open := func() *store.Store {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "db"), ring)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w := &watch{t: t, clock: &clock{now: noon}, register: &session.Register{}, other: open()}
	for i, id := range []string{"p1", "p2", "p3"} {
		w.must(w.other.AddPassword(t.Context(), store.Password{ID: id, Login: id, Created: noon}, []byte{byte(i)}))
	}
	w.must(w.other.RevokePassword(t.Context(), "p3", noon)) // before the watch begins
	w.withdrawals, err = watchWithdrawals(t.Context(), withdrawalsConfig{
		store: open(), sessions: w.register, log: quiet,
		policy: func(login string) string { return map[string]string{"alice": "person", "copier": "device"}[login] },
		forget: func(scope store.Scope) { w.forgotten = append(w.forgotten, scope.String()) },
	})
	w.must(err)
	w.now = w.clock.time
	return w
}

func (w *watch) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// begin has a session begin.
func (w *watch) begin(info session.Info) {
	w.t.Helper()
	var live *session.Live
	live, err := w.register.Add(session.Limits{}, info, func(cause string) {
		w.cut = append(w.cut, info.ID+" "+cause)
		live.Remove()
	})
	w.must(err)
}

// look looks once, and holds who was cut since the last look against want.
func (w *watch) look(want ...string) {
	w.t.Helper()
	w.cut = nil
	w.read(w.t.Context())
	w.apply()
	if slices.Sort(w.cut); !slices.Equal(w.cut, want) {
		w.t.Fatalf("cut off: %q, want %q", w.cut, want)
	}
}

func TestI24RevocationEndsSessions(t *testing.T) {
	w := newWatch(t)
	w.begin(session.Info{ID: "a", Login: "alice", Password: "p1"})
	w.begin(session.Info{ID: "b", Login: "alice", Password: "p2"})
	w.look()
	w.must(w.other.RevokePassword(t.Context(), "p1", noon))
	w.look("a revoked")
	w.look()
	// Its sign-in was decided before the revocation, and it came into the register after the look.
	w.begin(session.Info{ID: "late", Login: "alice", Password: "p1"})
	w.look("late revoked")
	w.clock.pass(withdrawalMemory + time.Second)
	w.look()
	if len(w.revoked) != 0 {
		t.Errorf("still remembered: %v", w.revoked)
	}
}

func TestI24LockEndsSessions(t *testing.T) {
	w := newWatch(t)
	w.begin(session.Info{ID: "a", Login: "alice", Password: "p1"})
	w.begin(session.Info{ID: "b", Login: "bob", Password: "p2"})
	w.must(w.other.LockLogin(t.Context(), store.Lock{Login: "alice", Since: noon}))
	w.look("a locked")
	w.begin(session.Info{ID: "late", Login: "alice", Password: "p1"})
	w.look("late locked")
	w.must(w.other.UnlockLogin(t.Context(), "alice"))
	w.look()
	w.begin(session.Info{ID: "again", Login: "alice", Password: "p1"})
	w.look()
}

func TestI24LockdownEndsSessions(t *testing.T) {
	w := newWatch(t)
	for id, login := range map[string]string{"a": "alice", "c": "copier", "u": "unknown"} {
		w.begin(session.Info{ID: id, Login: login})
	}
	begin := func(scope store.Scope) {
		w.must(w.other.BeginLockdowns(t.Context(), store.Lockdown{Scope: scope, Since: noon}))
	}
	device, all := store.Scope{Kind: store.ScopePolicy, Name: "device"}, store.Scope{Kind: store.ScopeAll}
	begin(device)
	w.look("c lockdown")
	w.begin(session.Info{ID: "late", Login: "copier"})
	w.look("late lockdown")
	begin(all)
	w.look("a lockdown", "u lockdown")
	w.must(w.other.LiftLockdown(t.Context(), all))
	w.look()
	w.begin(session.Info{ID: "a", Login: "alice"})
	w.look()
	begin(store.Scope{Kind: store.ScopeLogin, Name: "alice"})
	w.look("a lockdown")
	w.must(w.other.TellForgotten(t.Context(), device))
	w.look()
	if want := []string{"policy device"}; !slices.Equal(w.forgotten, want) {
		t.Errorf("forgotten: %q, want %q", w.forgotten, want)
	}
}

func TestExpiryEndsSessions(t *testing.T) {
	w := newWatch(t)
	w.begin(session.Info{ID: "a", Expires: noon.Add(time.Minute)})
	w.begin(session.Info{ID: "b", Expires: noon.Add(time.Hour)})
	w.begin(session.Info{ID: "c"})
	w.look()
	w.clock.pass(time.Minute)
	w.look("a expired")
}

// A store that cannot be read ends nothing, and what was missed is caught up with.
func TestWithdrawalsAreCaughtUpWith(t *testing.T) {
	w := newWatch(t)
	w.begin(session.Info{ID: "a", Password: "p1"})
	w.must(w.other.RevokePassword(t.Context(), "p1", noon))
	working := w.store
	w.must(w.other.Close())
	w.store = w.other
	w.look()
	if !w.failing {
		t.Error("the failure was not noticed")
	}
	w.store = working
	w.look("a revoked")
	if w.failing {
		t.Error("the end of the failure was not noticed")
	}
}
