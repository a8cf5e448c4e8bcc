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
