package queue

import (
	"context"
	"sync/atomic"
	"time"

	"postern/internal/store"
)

// drain takes the messages of one mailbox out of the queue, as its limits allow, until none is due. It has a goroutine of
// its own and one for each message on its way.
type drain struct {
	queue   *Queue
	mailbox string
	news    chan struct{} // there is a message more
	free    chan struct{} // the mailbox has a place more
	waiting atomic.Bool   // for the limits, with messages that are due
	ended   chan bool     // a delivery has ended; false when upstream could not even be reached

	// For the goroutine of run alone.
	active  int
	kept    bool           // by a limit of the mailbox, which a message more does not change
	reached bool           // by the last try; until then, one at a time
	served  map[string]int // login → turn in which it was last served
	turn    int
	limited map[string]time.Time // login → until when its own limit keeps it
}

// startDrain starts a drain for a mailbox unless there is one.
func (q *Queue) startDrain(ctx context.Context, mailbox string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.drains[mailbox] != nil || ctx.Err() != nil {
		return
	}
	d := &drain{queue: q, mailbox: mailbox, news: make(chan struct{}, 1), free: make(chan struct{}, 1), ended: make(chan bool, maxDeliveries),
		served: make(map[string]int), limited: make(map[string]time.Time)}
	q.drains[mailbox] = d
	q.work.Go(func() { d.run(ctx) })
}

// run delivers until nothing is due and nothing on its way. News that come while it ends are for the next drain, which
// the queue starts within a second.
func (d *drain) run(ctx context.Context) {
	defer func() {
		for ; d.active > 0; d.active-- {
			<-d.ended
		}
		d.queue.mu.Lock()
		delete(d.queue.drains, d.mailbox)
		d.queue.mu.Unlock()
		wake(d.queue.look) // for what came meanwhile
	}()
	for ctx.Err() == nil {
		started, until, err := d.step(ctx)
		d.waiting.Store(!started && !until.IsZero())
		switch {
		case err != nil && ctx.Err() == nil:
			d.queue.log.Error("the queue cannot deliver for a mailbox", "mailbox", d.mailbox, "error", err)
			until = d.queue.now().Add(poll)
		case started:
			continue
		case until.IsZero() && d.active == 0:
			return
		}
		d.rest(ctx, until)
	}
}

// rest waits for news, for the end of a delivery, or for a time. When the mailbox is kept by a limit, news of messages are not
// heard for a while: each would cost a look, of which nothing can come but by a change of the limits.
func (d *drain) rest(ctx context.Context, until time.Time) {
	var timeout, hear <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(max(until.Sub(d.queue.now()), time.Millisecond))
		defer timer.Stop()
		timeout = timer.C
	}
	news := d.news
	if d.kept {
		timer := time.NewTimer(poll)
		defer timer.Stop()
		news, hear = nil, timer.C
	}
	for {
		select {
		case <-hear:
			news = d.news
			continue
		case <-ctx.Done():
		case <-news:
		case <-d.free:
		case <-timeout:
		case reached := <-d.ended:
			d.active--
			d.reached = reached
		}
		return
	}
}

// step starts one delivery if there is one to be started. Otherwise it gives when to look again; the zero time for when
// something happens.
func (d *drain) step(ctx context.Context) (started bool, until time.Time, err error) {
	d.kept = false
	if !d.reached && d.active > 0 {
		return false, time.Time{}, nil
	}
	q := d.queue
	now := q.now()
	due, err := q.config.Store.DueLogins(ctx, d.mailbox, now, furthest)
	if err != nil {
		return false, time.Time{}, err
	}
	login, until := d.choose(due, now)
	if login == "" {
		return false, until, nil
	}
	limits := q.config.Identities.Limits(login)
	place, err := q.places.take(ctx, d.mailbox)
	if err != nil {
		return false, time.Time{}, err
	}
	permit, wait, err := q.admit(ctx, d.mailbox, login, limits, 1)
	if err != nil || wait.Any() {
		place.end()
		return d.heedWait(login, wait, now, err)
	}
	id, err := q.config.Store.Claim(ctx, d.mailbox, login, q.node.id, q.now(), furthest)
	if err != nil || id == "" {
		place.end()
		permit.Unused()
		return err == nil, time.Time{}, q.doubtful(err) // somebody else was quicker: look again
	}
	d.turn++
	d.served[login] = d.turn
	d.active++
	q.work.Go(func() {
		reached := q.deliver(id, permit, place, limits)
		place.end()
		d.ended <- reached
	})
	return true, time.Time{}, nil
}

// heedWait notes why a login has to wait. While its own limit keeps it, the mailbox's others go on.
func (d *drain) heedWait(login string, wait Wait, now time.Time, err error) (started bool, until time.Time, _ error) {
	switch {
	case err != nil:
		return false, time.Time{}, err
	case wait.Limit == store.LoginLimit:
		d.limited[login] = wait.Until
		return true, time.Time{}, nil // choose another one
	}
	d.kept = wait.Any()
	if wait.Until.IsZero() { // a place gets free here, which wakes this drain, or in another process, which does not
		return false, now.Add(poll), nil
	}
	return false, wait.Until, nil
}

// choose gives the login whose turn it is, of those that have messages due: the one that was served longest ago, and of
// these the one that has waited longest. So a device with a thousand messages does not keep another's from going. If all of
// them are kept by limits of their own, it gives until when.
func (d *drain) choose(due map[string]time.Time, now time.Time) (chosen string, until time.Time) {
	for login, since := range due {
		// What is further away than such a limit lasts is from before the clock was set back.
		if kept := d.limited[login]; kept.After(now) && kept.Before(now.Add(furthestLimit)) {
			if until.IsZero() || kept.Before(until) {
				until = kept
			}
			continue
		}
		turn, best := d.served[login], d.served[chosen]
		if chosen == "" || turn < best || turn == best && since.Before(due[chosen]) {
			chosen = login
		}
	}
	if chosen != "" {
		return chosen, time.Time{}
	}
	return "", until
}
