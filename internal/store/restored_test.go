package store

import (
	"errors"
	"testing"
	"time"
)

// TestI46MarkRestored: a copy that was put back by other means, of either engine, sends nothing by itself, and has what was
// taken away since the copy taken away again.
func TestI46MarkRestored(t *testing.T) { onBothEngines(t, markRestored) }

func markRestored(t *testing.T, dsn string) {
	w := newSealedWorld(t, dsn, 3)
	made := time.Now().Add(-time.Hour)
	addOne(t, w.Store, "stays")
	addOne(t, w.Store, "revoked since")
	ctx := t.Context()
	err := errors.Join(
		w.LockLogin(ctx, Lock{Login: "unlocked-since", Since: made.Add(-time.Hour)}),
		w.BeginLockdowns(ctx, Lockdown{Scope: Scope{ScopePolicy, "lifted since"}, Since: made.Add(-time.Hour)}),
		w.Store.Close())
	if err != nil {
		t.Fatal(err)
	}
	since := Since{
		Revoked: []Revocation{{"revoked since", made.Add(time.Minute)}, {"of nobody", made}},
		Locks:   []Lock{{Login: "locked-since", Since: made.Add(time.Minute), By: "root", Reason: "stolen"}}, Unlocked: []string{"unlocked-since"},
		Lockdowns: []Lockdown{{Scope: Scope{ScopeLogin, "copier-3"}, Since: made.Add(time.Minute), By: "root"}}, Lifted: []Scope{{ScopePolicy, "lifted since"}},
		Factors: []string{"n0"}, Resets: [][2]string{{"t", "n1"}},
		Sent: []string{"n2", "of another time"},
	}
	mark, err := MarkRestored(ctx, dsn, made, since)
	if err != nil || mark.Held != 3 || mark.Sent != 1 || mark.Revoked != 1 {
		t.Fatalf("got %+v, %v; want 3 held, 1 of them sent, 1 revoked", mark, err)
	}

	s := openDSN(t, dsn, w.ring)
	if got, is, err := s.Restored(ctx); err != nil || !is || !got.Made.Equal(made) {
		t.Errorf("the mark is %+v, %v, %v", got, is, err)
	}
	for id, want := range map[string]bool{"stays": false, "revoked since": true} {
		if p, err := s.Password(ctx, id); err != nil || p.Revoked.IsZero() == want {
			t.Errorf("app password %s: revoked at %v, %v", id, p.Revoked, err)
		}
	}
	locks, err := s.Locks(ctx)
	if err != nil || len(locks) != 1 || locks[0].Login != "locked-since" || locks[0].Reason != "stolen" {
		t.Errorf("the locks are %+v, %v", locks, err)
	}
	lockdowns, err := s.Lockdowns(ctx)
	if err != nil || len(lockdowns) != 1 || lockdowns[0].Name != "copier-3" {
		t.Errorf("the lockdowns are %+v, %v", lockdowns, err)
	}
	for owner, want := range map[string]int{"n0": 0, "n1": 0, "n2": 1} {
		if got, err := s.Factors(ctx, "t", owner); err != nil || len(got) != want {
			t.Errorf("%s has %d factors, %v; want %d", owner, len(got), err, want)
		}
	}
	if id, err := s.Claim(ctx, "scans@contoso.example", "copier-3", "node", time.Now().Add(time.Minute), time.Hour); err == nil && id != "" {
		t.Errorf("message %s goes by itself", id)
	}
	if n, err := s.ReleaseRestored(ctx, "by a human", time.Now()); err != nil || n != 2 {
		t.Errorf("released %d, %v; want the two that are not known to be sent", n, err)
	}
	if perhaps, sent, err := s.RestoredMessages(ctx); err != nil || perhaps != 0 || sent != 1 {
		t.Errorf("after the release %d and %d are held, %v; want none and the one that was sent", perhaps, sent, err)
	}
}
