package queue

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNewsWaitWhileALimitKeepsTheMailbox: a thousand messages that come while a mailbox waits for its limit cost a look a
// second, and not one each.
func TestNewsWaitWhileALimitKeepsTheMailbox(t *testing.T) {
	for _, c := range []struct {
		name string
		kept bool
		tell func(*drain)
		want time.Duration
	}{
		{"news, and nothing to wait for", false, func(d *drain) { wake(d.news) }, 0},
		{"news, kept", true, func(d *drain) { wake(d.news) }, poll},
		{"a place, kept", true, func(d *drain) { wake(d.free) }, 0},
		{"a delivery's end, kept", true, func(d *drain) { d.ended <- true }, 0},
		{"nothing, kept", true, func(*drain) {}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &drain{queue: &Queue{now: time.Now}, news: make(chan struct{}, 1), free: make(chan struct{}, 1), ended: make(chan bool, 1), kept: c.kept}
				began := time.Now()
				c.tell(d)
				d.rest(t.Context(), began.Add(time.Minute))
				if got := time.Since(began); got != c.want {
					t.Errorf("it rested for %v, want %v", got, c.want)
				}
			})
		})
	}
}
