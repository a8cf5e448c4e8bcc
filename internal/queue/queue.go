// Package queue keeps the messages that clients were told are accepted until upstream has them, or their senders know
// that it will not. It is also where all messages to upstream, from the queue and straight from clients, are counted
// against upstream's limits.
//
// The store's rows hold the truth: the sealed record of a message, its content in parts, what became of each recipient,
// when the next try is due, and who is delivering it. A drain for each mailbox with messages that are due takes them one
// by one, as the limits allow; drains know nothing of each other, so that one mailbox's trouble is its own. What a
// process had taken when it died is free again for the others, or for itself after a restart.
//
// What it promises: a message that Accept has taken is delivered, or its sender gets one report, or an administrator sees
// it held, whatever dies in between; it goes out twice only if the process died between upstream's final word and the
// note of it. It leaves only for the identity that submitted it.
//
// How a message is sent is not known here: that is the [Courier]'s.
package queue

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"postern/internal/audit"
	"postern/internal/store"
)

// Courier takes messages to upstream.
type Courier interface {
	// Send tries to deliver a message to some of its recipients. It may not outlive ctx.
	Send(ctx context.Context, m *Message, recipients []int, content io.Reader) Result
}

// Result is what became of a try.
type Result struct {
	// Reached says that there was a connection to upstream, signed in. Without it the trouble is not the message's.
	Reached bool
	// Sent says that upstream may have counted the message: its end was written.
	Sent bool
	// Recipients are upstream's words about single recipients that it did not accept, by their numbers.
	Recipients map[int]Reply
	// Final is upstream's word about the rest of them; the zero value when there was none.
	Final Reply
	// Err is what went wrong where there is no final word.
	Err error
}

// Identities knows who may send.
type Identities interface {
	// Barred gives in words why a submitter may not send any more; empty when it may. released says that an administrator has
	// let the message go although its app password is revoked.
	Barred(ctx context.Context, s Submitter, released bool) (string, error)
	// Limits gives the limits of a login; those of an unknown one do not matter.
	Limits(login string) Limits
}

// Config is what a queue is made of. Every field is required but Now and Steady.
type Config struct {
	Domain     string // the gateway's name, in reports
	Store      *store.Store
	Files      Files
	Identities Identities
	Audit      interface{ Record(audit.Event) error }
	Log        *slog.Logger
	// Now is the clock; nil means the store's: gateways that share it have to agree about a minute.
	Now func() time.Time
	// Steady is a clock that nobody sets, to tell how much time has passed here; nil means time.Now with its monotonic reading.
	Steady func() time.Time
}

const (
	// poll is how often the store is asked for messages that another process has accepted, or whose time has come.
	poll = time.Second
	// recheck is how often messages of barred submitters are looked at again.
	recheck = 30 * time.Second
	// orphanAge is when what was written of a message that never came into the queue is removed.
	orphanAge = time.Hour
)

// Queue is a running queue. It is safe for concurrent use. Close it before the store.
type Queue struct {
	config  Config
	log     *slog.Logger
	now     func() time.Time
	node    *node
	courier Courier
	large   chan struct{} // places for large messages that are being written
	places  *places
	taken   *taken
	depths  depths

	stop    context.CancelFunc // tells drains to take no more
	die     context.CancelFunc // ends the signs of life
	abandon context.CancelFunc // cuts off deliveries
	cut     context.Context    // ends with abandon
	work    sync.WaitGroup     // drains and deliveries
	living  sync.WaitGroup
	look    chan struct{} // the store is to be asked at once

	mu     sync.Mutex
	drains map[string]*drain // mailbox → its drain, while there is one
}

// Open makes a queue that accepts messages and gives permits. It delivers nothing before Start.
func Open(ctx context.Context, c Config) (*Queue, error) {
	if c.Now == nil {
		c.Now = c.Store.Now
	}
	if c.Steady == nil {
		c.Steady = time.Now
	}
	q := &Queue{config: c, log: c.Log, now: c.Now, node: newNode(c.Now, c.Steady), large: make(chan struct{}, maxLarge),
		places: newPlaces(), taken: newTaken(), look: make(chan struct{}, 1), drains: make(map[string]*drain), stop: func() {}}
	q.cut, q.abandon = context.WithCancel(context.Background())
	if err := q.node.beat(ctx, c.Store); err != nil {
		return nil, err
	}
	if err := q.bury(ctx); err != nil {
		return nil, err
	}
	ctx, q.die = context.WithCancel(context.Background())
	q.living.Go(func() { q.live(ctx) })
	return q, nil
}

// Start begins to deliver by a courier.
func (q *Queue) Start(courier Courier) {
	q.courier = courier
	ctx, cancel := context.WithCancel(context.Background())
	q.stop = cancel
	q.work.Go(func() { q.run(ctx) })
	q.work.Go(func() { q.tidy(ctx) })
}

// Rest takes no more messages out of the queue. Those on their way go on, and messages are accepted as before, for whoever
// delivers from the store now.
func (q *Queue) Rest() { q.stop() }

// Close takes no more messages out of the queue, gives those on their way until ctx ends, and cuts them off then. What is
// cut off is tried again after the next start.
func (q *Queue) Close(ctx context.Context) {
	q.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.work.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		q.abandon()
		<-done
	}
	q.abandon()
	q.die()
	q.living.Wait()
	if _, err := q.config.Store.Bury(context.WithoutCancel(ctx), q.node.row(), q.now()); err != nil {
		q.log.Error("the queue has not been left in order", "error", err)
	}
}

// live says every few seconds that this node lives, until ctx ends: deliveries that a stop waits for are its own still.
func (q *Queue) live(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := q.node.beat(ctx, q.config.Store); err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot tell the store that it lives", "error", err)
			continue
		}
		if err := q.bury(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot see who else delivers", "error", err)
		}
		if err := q.settle(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot see what it has taken", "error", err)
		}
	}
}

// run starts a drain for each mailbox that has messages to deliver.
func (q *Queue) run(ctx context.Context) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		mailboxes, err := q.config.Store.DueMailboxes(ctx, q.now(), furthest)
		if err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot be read", "error", err)
		}
		for _, mailbox := range mailboxes {
			q.startDrain(ctx, mailbox)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-q.look:
		}
	}
}

// wake has the queue look for messages of a mailbox.
func (q *Queue) wake(mailbox string) {
	if q.wakeDrain(mailbox) {
		return
	}
	wake(q.look)
}

// wakeDrain tells a mailbox's drain of a message more, and reports whether there is one.
func (q *Queue) wakeDrain(mailbox string) bool {
	d := q.drainOf(mailbox)
	if d != nil {
		wake(d.news)
	}
	return d != nil
}

// freed tells a mailbox's drain, if there is one, that the mailbox has a place more.
func (q *Queue) freed(mailbox string) {
	if d := q.drainOf(mailbox); d != nil {
		wake(d.free)
	}
}

func (q *Queue) drainOf(mailbox string) *drain {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drains[mailbox]
}

func wake(sleeper chan struct{}) {
	select {
	case sleeper <- struct{}{}:
	default:
	}
}

// tidy does what has to be done now and then.
func (q *Queue) tidy(ctx context.Context) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		if err := q.unbar(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("messages of barred logins cannot be looked at", "error", err)
		}
		if err := q.config.Store.DropParts(ctx, "", q.config.Store.Now().Add(-orphanAge)); err != nil && ctx.Err() == nil {
			q.log.Error("the queue cannot be tidied", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
