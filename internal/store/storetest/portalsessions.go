package storetest

import (
	"testing"
	"time"

	"postern/internal/store"
)

func portalSessions(t *testing.T, s *store.Store) {
	now := kept(start)
	session := func(name, object string, life time.Duration) store.PortalSession {
		return store.PortalSession{Hash: []byte(name), Provider: "contoso", TenantID: "tid", ObjectID: object,
			Started: now, Expires: now.Add(life), Sealed: []byte("content of " + name)}
	}
	find := func(name string, at time.Time, want *store.PortalSession) {
		t.Helper()
		got, found, err := s.PortalSession(t.Context(), []byte(name), at)
		must(t, err)
		if found != (want != nil) {
			t.Fatalf("session %s: got found %v, want %v", name, found, want != nil)
		}
		if want != nil {
			equal(t, "session "+name, got, *want)
		}
	}
	first, second, other := session("first", "alice", time.Hour), session("second", "alice", time.Hour), session("other", "bob", time.Minute)
	for _, p := range []store.PortalSession{first, second, other} {
		must(t, s.AddPortalSession(t.Context(), p, nil, now))
	}
	find("first", now, &first)
	find("absent", now, nil)
	find("other", now.Add(time.Minute), nil) // expired

	changed := first
	changed.Version, changed.Sealed, changed.Expires = 1, []byte("new"), now.Add(2*time.Hour)
	for _, want := range []bool{true, false} { // the second time, the version is another
		if got, err := s.ChangePortalSession(t.Context(), changed); err != nil || got != want {
			t.Fatalf("changing: got %v, %v; want %v", got, err, want)
		}
	}
	find("first", now.Add(90*time.Minute), &changed)

	// A new key takes the place of the old one, and what has expired goes.
	renewed := session("renewed", "alice", time.Hour)
	must(t, s.AddPortalSession(t.Context(), renewed, []byte("first"), now.Add(time.Minute)))
	find("first", now, nil)
	find("other", now, nil)
	find("renewed", now, &renewed)

	must(t, s.EndPortalSession(t.Context(), []byte("renewed")))
	find("renewed", now, nil)
	must(t, s.AddPortalSession(t.Context(), renewed, nil, now))
	must(t, s.AddPortalSession(t.Context(), other, nil, now))
	if n, err := s.EndPortalSessions(t.Context(), "contoso", "tid", "alice"); err != nil || n != 2 {
		t.Errorf("ending alice's: got %d, %v; want 2", n, err)
	}
	find("second", now, nil)
	find("other", now, &other)
}

func portalStates(t *testing.T, s *store.Store) {
	now := kept(start)
	use := func(state string, at time.Time, want bool) {
		t.Helper()
		if got, err := s.UsePortalState(t.Context(), []byte(state), at.Add(time.Minute), at); err != nil || got != want {
			t.Errorf("using %s: got %v, %v; want %v", state, got, err, want)
		}
	}
	use("a", now, true)
	use("a", now, false)
	use("b", now, true)
	use("a", now.Add(59*time.Second), false)
	use("a", now.Add(time.Minute), true) // nothing is left of it
}
