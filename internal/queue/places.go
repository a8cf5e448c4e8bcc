package queue

import (
	"context"
	"sync"
	"time"
)

const (
	// maxDeliveries is how many messages are on their way from the queue at the same time, for all mailboxes, but for those
	// that hang.
	maxDeliveries = 256
	// maxHanging is how many more may be on their way that hang.
	maxHanging = 768
	// hangAfter is how long upstream may do nothing before a message counts as one that hangs. Exchange takes seconds for its
	// last word on a good day.
	hangAfter = 5 * time.Second
)

// places bound how many messages are on their way at the same time, whatever their mailboxes: each has a connection to
// upstream and buffers. A message that hangs makes its place free and goes on in one of others that are kept for such. The
// next messages of its mailbox start there, until one of them comes to its end without hanging. So mailboxes that hang
// wait for each other, and the healthy do not wait for them (threat model I-08), unless more than maxHanging hang for the first
// time at once: those that find no place there keep the one that they have until they do.
type places struct {
	healthy, hanging chan struct{}

	mu    sync.Mutex
	hangs map[string]bool // mailbox → its last message hung
}

func newPlaces() *places {
	return &places{healthy: make(chan struct{}, maxDeliveries), hanging: make(chan struct{}, maxHanging), hangs: make(map[string]bool)}
}

// take waits for a place for a message of a mailbox. It must be given back.
func (p *places) take(ctx context.Context, mailbox string) (*place, error) {
	p.mu.Lock()
	pool := p.healthy
	if p.hangs[mailbox] {
		pool = p.hanging
	}
	p.mu.Unlock()
	select {
	case pool <- struct{}{}:
		return &place{places: p, mailbox: mailbox, pool: pool}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// place is the place of one message.
type place struct {
	places  *places
	mailbox string

	mu    sync.Mutex
	pool  chan struct{} // in which it is; nil once it is given back
	timer *time.Timer   // runs out when the message hangs; nil before it is on its way
	hung  bool
}

// begin says that the message is on its way from now on.
func (p *place) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(hangAfter, p.hang)
}

// moves says that upstream has taken something.
func (p *place) moves() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Reset(hangAfter)
}

// hang takes one of the places for those that hang, as soon as one is free.
func (p *place) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool == nil {
		return
	}
	p.hung = true
	p.places.note(p.mailbox, true)
	if p.pool == p.places.hanging {
		return
	}
	select {
	case p.places.hanging <- struct{}{}:
		<-p.pool
		p.pool = p.places.hanging
	default:
		p.timer.Reset(hangAfter)
	}
}

// end gives the place back. A mailbox whose message was on its way and did not hang is a healthy one again.
func (p *place) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		if !p.hung {
			p.places.note(p.mailbox, false)
		}
	}
	<-p.pool
	p.pool = nil
}

// note keeps whether a mailbox hangs.
func (p *places) note(mailbox string, hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if hangs {
		p.hangs[mailbox] = true
	} else {
		delete(p.hangs, mailbox)
	}
}
