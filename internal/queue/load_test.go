package queue

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// exchange is a courier whose upstream takes a second for a message and has the limits of Exchange Online: whoever goes over
// them hears a complaint. Its time is that of the test's bubble.
type exchange struct {
	broken map[string]func(context.Context) Result // mailbox → what becomes of its messages

	mu         sync.Mutex
	active     map[string]int
	ends       map[string][]time.Time // mailbox → when messages came to their end
	delivered  map[string]time.Time   // id → when
	logins     []string               // in the order of their messages' ends
	complaints int
}

func newExchange() *exchange {
	return &exchange{active: make(map[string]int), ends: make(map[string][]time.Time), delivered: make(map[string]time.Time)}
}

func (e *exchange) Send(ctx context.Context, m *Message, _ []int, content io.Reader) Result {
	if broken := e.broken[m.Submitter.User]; broken != nil {
		return broken(ctx)
	}
	e.mu.Lock()
	e.active[m.Submitter.User]++
	crowded := e.active[m.Submitter.User] > 3
	e.mu.Unlock()
	_, err := io.Copy(io.Discard, content)
	time.Sleep(time.Second)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active[m.Submitter.User]--
	now, box := time.Now(), m.Submitter.User
	ends := e.ends[box]
	hurried := len(ends) >= 30 && now.Sub(ends[len(ends)-30]) < time.Minute
	switch _, twice := e.delivered[m.ID]; {
	case err != nil:
		return Result{Reached: true, Err: err}
	case crowded || hurried || twice:
		e.complaints++
		return Result{Reached: true, Sent: true, Final: Reply{Code: 432, Enhanced: "4.3.2", Text: "432 4.3.2 Concurrent connections limit exceeded."}}
	}
	e.ends[box], e.delivered[m.ID], e.logins = append(ends, now), now, append(e.logins, m.Submitter.Login)
	return word250
}

// awaitDelivered waits until so many messages are delivered.
func (e *exchange) awaitDelivered(t *testing.T, n int, most time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		e.mu.Lock()
		got := len(e.delivered)
		e.mu.Unlock()
		if got >= n {
			return
		}
		if time.Since(began) > most {
			t.Fatalf("%d messages are delivered after %v, want %d", got, most, n)
		}
	}
}

// TestI08HundredDevices: 100 devices of one mailbox fire 10 messages at once. All are delivered once, at the pace that Exchange
// allows and near to it, without a complaint of its; the devices take turns (threat model I-08). The time is the bubble's.
func TestI08HundredDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const devices, each = 100, 10
		w := newWorldBy(t, &world{t: t, bubble: true, limits: Limits{Connections: 3, PerMinute: 30}})
		e := newExchange()
		began := time.Now()
		for i := range devices {
			for range each {
				w.acceptFrom(device(fmt.Sprintf("copier-%d", i), "scans@contoso.example"), "scans@contoso.example", "bob@b.example")
			}
		}
		w.queue.Start(e)
		e.awaitDelivered(t, devices*each, time.Hour)
		closeAtOnce(w.queue)

		var waits []time.Duration
		for _, at := range e.delivered {
			waits = append(waits, at.Sub(began))
		}
		slices.Sort(waits)
		t.Logf("1000 messages at 30 a minute: half of them within %v, all within %v", waits[len(waits)/2], waits[len(waits)-1])
		if ideal := devices * each / 30 * time.Minute; waits[len(waits)-1] > ideal*11/10 {
			t.Errorf("the last one took %v, want no more than a tenth over %v", waits[len(waits)-1], ideal)
		}
		if e.complaints > 0 {
			t.Errorf("%d messages went over the limits", e.complaints)
		}
		for round := range each { // three at once may overtake each other where two rounds meet
			turn := slices.Sorted(slices.Values(e.logins[round*devices : (round+1)*devices]))
			if got := len(slices.Compact(turn)); got < devices-4 {
				t.Errorf("in round %d %d devices had a turn, want %d", round, got, devices)
			}
		}
	})
}

// TestI08ThousandMailboxes: of 1,000 mailboxes three have an upstream that hangs, refuses, or closes. The others do not notice:
// their messages take as long as without the three.
func TestI08ThousandMailboxes(t *testing.T) {
	const mailboxes, each = 1000, 2
	name := func(i int) string { return fmt.Sprintf("box-%d@contoso.example", i) }
	trouble := map[string]func(context.Context) Result{
		name(0): func(ctx context.Context) Result { <-ctx.Done(); return Result{Err: ctx.Err()} },
		name(1): func(context.Context) Result { return Result{Err: io.ErrClosedPipe} },
		name(2): func(context.Context) Result { return Result{Reached: true, Err: io.ErrUnexpectedEOF} },
	}
	took := make(map[bool]time.Duration)
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldBy(t, &world{t: t, bubble: true, limits: Limits{Connections: 3, PerMinute: 30}})
			e := newExchange()
			if broken {
				e.broken = trouble
			}
			for range each {
				for i := range mailboxes {
					w.acceptFrom(device("of "+name(i), name(i)), name(i), "bob@b.example")
				}
			}
			began := time.Now()
			w.queue.Start(e)
			want := mailboxes * each
			if broken {
				want -= len(trouble) * each
			}
			e.awaitDelivered(t, want, 10*time.Minute)
			closeAtOnce(w.queue)
			for _, at := range e.delivered {
				took[broken] = max(took[broken], at.Sub(began))
			}
			if e.complaints > 0 {
				t.Errorf("%d messages went over the limits", e.complaints)
			}
			if broken && len(e.ends) != mailboxes-len(trouble) {
				t.Errorf("%d mailboxes had messages delivered, want %d", len(e.ends), mailboxes-len(trouble))
			}
		})
	}
	t.Logf("2000 messages of 1000 mailboxes: %v, with three broken mailboxes %v", took[false], took[true])
	if took[true] > took[false]+2*time.Second {
		t.Errorf("with three broken mailboxes the others took %v, without %v", took[true], took[false])
	}
}

// TestI08OneMessageBesideMany: a device's one message does not wait for the 500 that another of the same mailbox had before:
// it is among the next that go.
func TestI08OneMessageBesideMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 500
		w := newWorldBy(t, &world{t: t, bubble: true, limits: Limits{Connections: 3, PerMinute: 30}})
		e := newExchange()
		for range many {
			w.acceptFrom(device("erp", "scans@contoso.example"), "scans@contoso.example", "bob@b.example")
		}
		w.queue.Start(e)
		e.awaitDelivered(t, 100, time.Hour)
		began := time.Now()
		id := w.acceptFrom(device("copier-3", "scans@contoso.example"), "scans@contoso.example", "bob@b.example")
		e.mu.Lock()
		before := len(e.logins)
		e.mu.Unlock()
		e.awaitDelivered(t, before+10, time.Hour)
		closeAtOnce(w.queue)
		at, delivered := e.delivered[id]
		place := slices.Index(e.logins, "copier-3") - before
		t.Logf("the one message went after %v, behind %d others", at.Sub(began), place)
		if !delivered || place > 3 || at.Sub(began) > time.Minute+5*time.Second {
			t.Errorf("the one message went %v (%v) behind %d of the %d, want it behind no more than the three on their way, within the minute", delivered, at.Sub(began), place, many)
		}
	})
}
