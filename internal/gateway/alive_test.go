package gateway

import (
	"strings"
	"testing"
	"time"

	"postern/internal/session"
)

// TestAlive: a gateway that serves is alive, and so is one whose store cannot be read; one whose accept loop is stuck is not, nor
// one in which a call does not come back.
func TestAlive(t *testing.T) {
	r := startReloadable(t)
	if err := r.Alive(); err != nil {
		t.Errorf("while it serves: got %v, want nothing", err)
	}
	l := r.listeners.current()[0]
	turned, long := l.turned.Load(), time.Now().Add(-time.Hour)
	l.turned.Store(&long)
	if err := r.Alive(); err == nil || !strings.Contains(err.Error(), l.address) {
		t.Errorf("with a loop that is stuck: got %v, want an error that names %s", err, l.address)
	}
	l.turned.Store(turned)

	entered, leave := make(chan struct{}), make(chan struct{})
	live, err := r.sessions.Add(session.Limits{}, session.Info{}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Remove()
	go r.sessions.Expire(func(i session.Info) time.Time {
		close(entered)
		<-leave
		return i.Expires
	})
	<-entered
	for range 2 { // the second look asks nobody anew
		if err := r.Alive(); err == nil {
			t.Error("with the register locked: got nothing, want an error")
		}
	}
	close(leave)
	for deadline := time.Now().Add(10 * time.Second); r.Alive() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("it does not recover")
		}
	}
}

// TestAcceptLoopTurns: a loop to which nobody comes shows that it runs.
func TestAcceptLoopTurns(t *testing.T) {
	l := startReloadable(t).listeners.current()[0]
	first := l.turned.Load()
	if err := l.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); l.turned.Load() == first; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not turned")
		}
	}
}
