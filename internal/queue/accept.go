package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"postern/internal/store"
)

const (
	// portionParts is how many parts of a message are written at a time.
	portionParts = 4
	// maxLarge is how many messages of more than one portion are written at the same time: each holds buffers.
	maxLarge = 4
	// maxDepth is how many messages of one login may be in the queue.
	maxDepth = 20000
)

// ErrFull is wrapped by the error of Accept when a login has too many messages in the queue.
var ErrFull = errors.New("the login has too many messages in the queue")

// NewSpool makes a spool for a message that comes in.
func (q *Queue) NewSpool() *Spool { return newSpool(q.config.Files) }

// newID makes the id of a message: 16 characters, the first of which tell when it was accepted. Those of one time stand
// together in the store, which so has less to write for each.
func newID(now time.Time) string {
	const letters = "234567abcdefghijklmnopqrstuvwxyz" // in the order in which they sort
	var id [16]byte
	_, _ = rand.Read(id[9:]) // never fails
	for i, at := 8, now.UnixMilli(); i >= 0; i, at = i-1, at>>5 {
		id[i] = letters[at&31]
	}
	for i := 9; i < len(id); i++ {
		id[i] = letters[id[i]&31]
	}
	return string(id[:])
}

// Accept takes a message into the queue. When it returns without an error the message is on the disk, its id is set, and
// the gateway is responsible for it. When it returns an error, nothing of the message is kept. why says in words why it
// is in the queue.
//
// A message that is in flight already is not tried by anybody until [Queue.Follow] has seen what became of it.
func (q *Queue) Accept(ctx context.Context, m *Message, content *Spool, why string, inFlight bool) error {
	if err := q.room(ctx, m.Submitter); err != nil {
		return err
	}
	node := ""
	if inFlight {
		node = q.node.id
	}
	now := q.now()
	m.ID, m.Size, m.Accepted = newID(now), content.Size(), now
	parts := int((m.Size + store.PartSize - 1) / store.PartSize)
	row, err := m.row(parts, node, why, now)
	if err != nil {
		return err
	}
	if inFlight {
		q.taken.set(q.taken.messages, m.ID)
	}
	if err := q.keep(ctx, row, content); err != nil {
		q.taken.unset(q.taken.messages, m.ID)
		return q.doubtful(err)
	}
	q.depths.add(m.Submitter)
	if !inFlight {
		q.wake(row.Mailbox)
	}
	return nil
}

// room gives an error when a submitter has too many messages in the queue.
func (q *Queue) room(ctx context.Context, s Submitter) error {
	n, known := q.depths.get(s)
	if !known {
		var err error
		if n, err = q.config.Store.QueueDepth(ctx, s.limited(), s.Login); err != nil {
			return err
		}
		q.depths.set(s, n)
	}
	if n >= maxDepth {
		return fmt.Errorf("%w: %d", ErrFull, n)
	}
	return nil
}

// keep writes the content in portions, and the record with the last of them.
func (q *Queue) keep(ctx context.Context, row store.QueuedMessage, content *Spool) (err error) {
	size := min(content.Size(), portionParts*store.PartSize)
	if content.Size() > size {
		q.large <- struct{}{}
		defer func() { <-q.large }()
		defer func() {
			if err != nil {
				err = errors.Join(err, q.config.Store.DropParts(context.WithoutCancel(ctx), row.ID, row.Accepted))
			}
		}()
	}
	generation := q.config.Store.Generation()
	number := 0
	return content.read(make([]byte, size), func(portion []byte, last bool) error {
		var parts []store.Part
		for rest := portion; len(rest) > 0; number++ {
			n := min(len(rest), store.PartSize)
			parts = append(parts, store.Part{Number: number, Content: rest[:n]})
			rest = rest[n:]
		}
		if last {
			return q.config.Store.Enqueue(ctx, row, parts, generation)
		}
		return q.config.Store.WriteParts(ctx, row.ID, parts)
	})
}
