package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hangsAfter gives an upstream of one mailbox that takes so many messages and then hangs.
func hangsAfter(messages int) func(context.Context) Result {
	var mu sync.Mutex
	return func(ctx context.Context) Result {
		mu.Lock()
		fine := messages > 0
		messages--
		mu.Unlock()
		if fine {
			return word250
		}
		<-ctx.Done()
		return Result{Err: ctx.Err()}
	}
}

// crowd has mailboxes accept messages and gives, for those whose upstream works, the longest that one of them took.
func (e *exchange) crowd(w *world, mailboxes []string, each int) time.Duration {
	w.t.Helper()
	began, before := time.Now(), len(e.delivered)
	working := 0
	for range each {
		for _, mailbox := range mailboxes {
			w.acceptFrom(device("of "+mailbox, mailbox), mailbox, "bob@b.example")
			if e.broken[mailbox] == nil {
				working++
			}
		}
	}
	if w.queue.courier == w {
		w.queue.Start(e)
	}
	e.awaitDelivered(w.t, before+working, time.Hour)
	var longest time.Duration
	for _, at := range e.delivered {
		longest = max(longest, at.Sub(began))
	}
	return longest
}

// TestI08HangingMailboxes: 300 mailboxes whose upstream hangs for half an hour, with 3 messages each, do not make 50 others
// wait: for no longer than it takes to see that they hang, when all of them begin at once, and not at all after that.
func TestI08HangingMailboxes(t *testing.T) {
	const hanging, healthy, each = 300, 50, 3
	var others []string
	for i := range healthy {
		others = append(others, fmt.Sprintf("box-%d@contoso.example", i))
	}
	for name, fine := range map[string]int{"from the start": 0, "having worked": 1} {
		t.Run(name, func(t *testing.T) {
			var first, later [2]time.Duration
			for i, hanging := range []int{0, hanging} {
				synctest.Test(t, func(t *testing.T) {
					w := newWorldBy(t, &world{t: t, bubble: true, limits: Limits{Connections: 3, PerMinute: 30}})
					e := newExchange()
					e.broken = make(map[string]func(context.Context) Result)
					var all []string
					for i := range hanging {
						name := fmt.Sprintf("hanging-%d@contoso.example", i)
						all, e.broken[name] = append(all, name), hangsAfter(fine)
					}
					all = append(all, others...)
					if fine > 0 {
						e.crowd(w, all, fine)
					}
					first[i] = e.crowd(w, all, each)
					time.Sleep(2 * hangAfter)
					later[i] = e.crowd(w, others, each)
					closeAtOnce(w.queue)
				})
			}
			t.Logf("beside hanging ones %v, later %v; without any %v and %v", first[1], later[1], first[0], later[0])
			if most := first[0] + hangAfter + 2*time.Second; first[1] > most {
				t.Errorf("when they begin to hang: the others take %v, want no more than %v", first[1], most)
			}
			if most := later[0] + time.Second; later[1] > most {
				t.Errorf("while they hang: the others take %v, want no more than %v", later[1], most)
			}
		})
	}
}

// TestI08HangingMailboxIsKnown: the next message of a mailbox that hung takes no healthy one's place, until one has come to
// its end without hanging. When there is no room for more that hang, they keep their places until there is.
func TestI08HangingMailboxIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces()
		take := func(mailbox string) *place {
			place, err := p.take(t.Context(), mailbox)
			if err != nil {
				t.Fatal(err)
			}
			return place
		}
		expect := func(when string, healthy, hanging int) {
			t.Helper()
			synctest.Wait()
			if len(p.healthy) != healthy || len(p.hanging) != hanging {
				t.Errorf("%s: %d healthy and %d that hang, want %d and %d", when, len(p.healthy), len(p.hanging), healthy, hanging)
			}
		}
		first := take("box")
		first.begin()
		time.Sleep(hangAfter - time.Second)
		first.moves()
		time.Sleep(hangAfter - time.Second)
		expect("while it moves", 1, 0)
		time.Sleep(time.Second)
		expect("when it hangs", 0, 1)
		first.end()
		expect("at its end", 0, 0)
		unused := take("box")
		unused.end()
		next := take("box")
		expect("the next one", 0, 1)
		next.begin()
		next.end()
		well := take("box")
		expect("the one after one that did not hang", 1, 0)

		for range maxHanging {
			p.hanging <- struct{}{}
		}
		well.begin()
		time.Sleep(hangAfter)
		expect("without room", 1, maxHanging)
		<-p.hanging
		time.Sleep(hangAfter)
		expect("with room again", 0, maxHanging)
		well.end()
	})
}
