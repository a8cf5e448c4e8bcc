package queue

import (
	"errors"
	"sync/atomic"
	"testing"

	"postern/internal/store"
)

// TestI03BrokenDiskSendsNothingTwice: what upstream has had is not sent again because the disk did not take that, and the
// queue goes on when it does.
func TestI03BrokenDiskSendsNothingTwice(t *testing.T) {
	var faults atomic.Int32
	for name, send := range map[string]func(*Message, []int, string) Result{
		"delivered": says(250, "250 2.0.0 OK"),
		"put off":   says(450, "450 4.7.0 later"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send = func(m *Message, open []int, content string) Result {
				faults.Store(0)
				w.store.FailWith(func(step store.Step) error {
					if step == store.StepSync && faults.Add(1) <= 3 {
						return errors.New("input/output error")
					}
					return nil
				})
				return send(m, open, content)
			}
			id := w.accept("alice@contoso.example", "bob@b.example")
			for range 3 {
				w.try()
			}
			w.store.FailWith(nil)
			if len(w.sent) != 1 {
				t.Errorf("sent %d times, want once", len(w.sent))
			}
			if n := faults.Load(); n < 4 {
				t.Errorf("the disk failed %d times: the test says nothing", n)
			}
			if e := w.entry(id); name == "put off" && (e == nil || e.Tries != 1 || e.State != store.Waiting) || name == "delivered" && e != nil {
				t.Errorf("in the queue: %+v", e)
			}
		})
	}
}

// TestI31BrokenDiskKeepsNoPlace: what could not be given back while the disk failed is free again when it does not, without
// a restart.
func TestI31BrokenDiskKeepsNoPlace(t *testing.T) {
	w := newWorld(t)
	var broken atomic.Bool
	w.store.FailWith(func(store.Step) error {
		if broken.Load() {
			return errors.New("input/output error")
		}
		return nil
	})
	for range w.limits.Connections {
		permit, wait, err := w.queue.Admit(t.Context(), copier)
		if err != nil || wait.Any() {
			t.Fatal(wait, err)
		}
		broken.Store(true)
		permit.Sent(1)
		broken.Store(false)
	}
	if got := w.room(); got != 0 {
		t.Fatalf("room for %d: the test says nothing", got)
	}
	if err := w.queue.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.room(); got != w.limits.Connections {
		t.Errorf("when the disk works again there is room for %d at once, want %d", got, w.limits.Connections)
	}
}

// TestI31LostAnswer: what the store has done for this process without its knowing, because the answer was lost, stays taken no
// longer than it takes to notice. What is in use stays so.
func TestI31LostAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.accept("alice@contoso.example", "bob@b.example")
	if got, err := w.store.Claim(t.Context(), copier.limited(), copier.Login, w.queue.node.id, w.now(), furthest); err != nil || got != id {
		t.Fatal(got, err)
	}
	lost := store.Submission{ID: "lost", Mailbox: copier.limited(), Login: copier.Login, Node: w.queue.node.id, Recipients: 1}
	if _, err := w.store.BeginSubmission(t.Context(), lost, storeLimits(w.limits), w.now()); err != nil {
		t.Fatal(err)
	}
	permit, _, err := w.queue.Admit(t.Context(), copier)
	if err != nil {
		t.Fatal(err)
	}
	defer permit.Unused()
	if err := w.queue.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.try(); got != 0 {
		t.Error("without a failure, the store is asked")
	}
	_ = w.queue.doubtful(errors.New("connection reset"))
	w.queue.taken.set(w.queue.taken.messages, id)
	if err := w.queue.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.try(); got != 0 {
		t.Error("a message that is on its way is free")
	}
	w.queue.taken.unset(w.queue.taken.messages, id)
	_ = w.queue.doubtful(errors.New("connection reset"))
	if err := w.queue.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.room(); got != w.limits.Connections-1 {
		t.Errorf("room for %d beside one in use, want %d", got, w.limits.Connections-1)
	}
	if got := w.try(); got != 1 || w.entry(id) != nil {
		t.Errorf("%d tries; want the message delivered", got)
	}
}
