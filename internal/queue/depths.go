package queue

import (
	"sync"
	"time"
)

// depthAge is how long a count of a login's messages is good for. Counting takes the longer the more there are, and would be
// done for each message otherwise.
const depthAge = time.Second

// depths remembers for a moment how many messages logins have in the queue, with those that came since. What leaves the
// queue meanwhile, or comes into it by another process, it learns of with the next count.
type depths struct {
	mu   sync.Mutex
	last map[depthKey]depth
}

type depthKey struct{ mailbox, login string }

type depth struct {
	messages int
	counted  time.Time
}

func keyOf(s Submitter) depthKey { return depthKey{s.limited(), s.Login} }

// get gives what is known, if that is not too old.
func (d *depths) get(s Submitter) (messages int, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, known := d.last[keyOf(s)]
	return last.messages, known && time.Since(last.counted) < depthAge
}

// set notes a count.
func (d *depths) set(s Submitter, messages int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = make(map[depthKey]depth)
	}
	d.last[keyOf(s)] = depth{messages, time.Now()}
}

// add notes one message more.
func (d *depths) add(s Submitter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, known := d.last[keyOf(s)]; known {
		last.messages++
		d.last[keyOf(s)] = last
	}
}
