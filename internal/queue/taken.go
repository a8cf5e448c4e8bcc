package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"postern/internal/store"
)

// taken is what this process has taken from the store and not given back: messages, and places for messages. Where the
// connection to the database breaks, or the disk fails, the store may have noted more than the process knows of: what it was
// asked for has happened, and the answer is lost, or what was given back has not been noted. All of that would stay taken until
// the process ends, and a mailbox would stand still. So the store is asked after each such failure.
type taken struct {
	doubt atomic.Bool // the store may have noted more

	mu       sync.Mutex
	messages map[string]bool // by their ids
	permits  map[string]bool
}

func newTaken() *taken {
	return &taken{messages: make(map[string]bool), permits: make(map[string]bool)}
}

func (t *taken) set(list map[string]bool, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list[id] = true
}

func (t *taken) unset(list map[string]bool, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(list, id)
}

// unless runs do unless a message is taken, and has whoever wants to take it wait until then.
func (t *taken) unless(message string, do func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.messages[message] {
		return nil
	}
	return do()
}

// settle gives back what the store has noted for this process and the process knows nothing of.
func (q *Queue) settle(ctx context.Context) error {
	if !q.taken.doubt.Swap(false) {
		return nil
	}
	err := errors.Join(q.settlePermits(ctx), q.settleMessages(ctx))
	if err != nil {
		q.taken.doubt.Store(true)
	}
	return err
}

// settlePermits counts such permits as messages that were sent, as they may have been.
func (q *Queue) settlePermits(ctx context.Context) error {
	submissions, err := q.config.Store.Submissions(ctx, q.node.id)
	if err != nil {
		return err
	}
	for _, s := range submissions { // read before the list is looked at, which has each before the store has it, and after
		q.taken.mu.Lock()
		known := q.taken.permits[s.ID]
		q.taken.mu.Unlock()
		if known {
			continue
		}
		if err := q.config.Store.EndSubmission(ctx, s, q.now()); err != nil {
			return err
		}
		q.log.Info("a place for messages is free again", "mailbox", s.Mailbox)
		q.freed(s.Mailbox)
	}
	return nil
}

func (q *Queue) settleMessages(ctx context.Context) error {
	ids, err := q.config.Store.Claimed(ctx, q.node.id)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := q.taken.unless(id, func() error {
			q.log.Info("a message of the queue is free again", "message", id)
			return q.config.Store.Unclaim(ctx, id, q.node.id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// doubtful notes that a change has failed of which nobody knows whether the store has it, and gives its error.
func (q *Queue) doubtful(err error) error {
	if err != nil && !errors.Is(err, store.ErrBuried) {
		q.taken.doubt.Store(true)
	}
	return err
}
