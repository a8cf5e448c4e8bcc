package queue

import (
	"context"
	"fmt"
	"io"
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

// TestManyDevicesOfOneMailbox: no more than three messages at once, and the devices take turns.
func TestManyDevicesOfOneMailbox(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := newWorld(t)
	w.limits.PerMinute = 10_000
	courier := &busyCourier{active: make(map[string]int)}
	const devices, messages = 10, 4
	for i := range devices {
		for range messages {
			w.acceptFrom(device(fmt.Sprintf("copier-%d", i), "scans@contoso.example"), "scans@contoso.example", "bob@b.example")
		}
	}
	w.queue.Start(courier)
	w.awaitQueue(0)
	closeAtOnce(w.queue)
	if courier.highest > 3 {
		t.Errorf("%d messages at once, want 3 at most", courier.highest)
	}
	first := make(map[string]bool)
	for _, login := range courier.order[:devices] {
		first[login] = true
	}
	if len(courier.order) != devices*messages || len(first) < devices {
		t.Errorf("the first %d messages were %d devices', want each device to have one: %v", devices, len(first), courier.order)
	}
	_ = w.store.Close()
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
