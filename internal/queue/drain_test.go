package queue

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/store"
)

// patience of these tests.
const longWait = time.Minute

// busyCourier counts what is on its way for each mailbox, and does not come back from broken ones.
type busyCourier struct {
	broken map[string]bool

	mu      sync.Mutex
	active  map[string]int
	highest int
	order   []string // logins
}

func (c *busyCourier) Send(ctx context.Context, m *Message, _ []int, content io.Reader) Result {
	c.mu.Lock()
	c.active[m.Submitter.User]++
	c.highest = max(c.highest, c.active[m.Submitter.User])
	c.order = append(c.order, m.Submitter.Login)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.active[m.Submitter.User]--
	}()
	if c.broken[m.Submitter.User] {
		<-ctx.Done()
		return Result{Err: ctx.Err()}
	}
	_, err := io.Copy(io.Discard, content)
	if err != nil {
		return Result{Reached: true, Err: err}
	}
	return word250
}

// device gives a login that sends for a mailbox.
func device(login, mailbox string) Submitter {
	s := copier
	s.Login, s.Mailbox, s.User = login, mailbox, mailbox
	return s
}

// awaitQueue waits until no more than n messages are in the queue.
func (w *world) awaitQueue(n int) {
	w.t.Helper()
	for deadline := time.Now().Add(longWait); ; time.Sleep(10 * time.Millisecond) {
		entries, err := Entries(w.t.Context(), w.store, store.QueueFilter{})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(entries) <= n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d messages are in the queue still, want %d", len(entries), n)
		}
	}
}

// TestManyDevicesOfOneMailbox: no more messages at once than the mailbox has places, and the devices take turns. In which
// order several at once reach upstream is chance, so the turns are looked at over one.
func TestManyDevicesOfOneMailbox(t *testing.T) {
	const devices, messages = 10, 4
	for _, places := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d at once", places), func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			w := newWorld(t)
			w.limits.PerMinute, w.limits.Connections = 10_000, places
			courier := &busyCourier{active: make(map[string]int)}
			for i := range devices {
				for range messages {
					w.acceptFrom(device(fmt.Sprintf("copier-%d", i), "scans@contoso.example"), "scans@contoso.example", "bob@b.example")
				}
			}
			w.queue.Start(courier)
			w.awaitQueue(0)
			closeAtOnce(w.queue)
			_ = w.store.Close()
			if courier.highest > places || len(courier.order) != devices*messages {
				t.Errorf("%d messages, %d at once; want %d, %d at most", len(courier.order), courier.highest, devices*messages, places)
			}
			for round := 0; places == 1 && round < messages; round++ {
				turn := slices.Sorted(slices.Values(courier.order[round*devices : (round+1)*devices]))
				if got := len(slices.Compact(turn)); got != devices {
					t.Errorf("in round %d %d devices had a turn, want %d: %v", round, got, devices, courier.order)
				}
			}
		})
	}
}

// TestI08TroubleStaysAtHome: mailboxes whose upstream hangs do not keep the others from anything.
func TestI08TroubleStaysAtHome(t *testing.T) {
	w := newWorld(t)
	courier := &busyCourier{active: make(map[string]int), broken: make(map[string]bool)}
	const mailboxes, broken = 60, 3
	for i := range mailboxes {
		mailbox := fmt.Sprintf("box-%d@contoso.example", i)
		courier.broken[mailbox] = i < broken
		for range 2 {
			w.acceptFrom(device("of "+mailbox, mailbox), mailbox, "bob@b.example")
		}
	}
	w.queue.Start(courier)
	w.awaitQueue(2 * broken)
	closeAtOnce(w.queue) // cuts the broken ones off: they are tried again after the next start
	again := w.open()
	defer closeAtOnce(again)
	courier.broken = nil
	again.Start(courier)
	w.awaitQueue(0)
}
