package queue

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"postern/internal/audit"
	"postern/internal/store"
)

// deliverTimeout bounds one try as a whole: a message of 150 MB over a slow line, and upstream's ten minutes for its last
// word.
const deliverTimeout = 30 * time.Minute

// The store is asked again after these times, the longest of which is how soon all goes on when a full disk has room again
// (threat model I-31).
const (
	shortestInsistence = 50 * time.Millisecond
	longestInsistence  = 3 * time.Second
)

// deliver makes one try with a message that this node has taken, and keeps what became of it. It reports whether
// upstream could be reached, or at least that it was not upstream's fault.
func (q *Queue) deliver(id string, permit *Permit, place *place, limits Limits) (reached bool) {
	defer permit.Unused()
	q.taken.set(q.taken.messages, id)
	defer q.taken.unset(q.taken.messages, id)
	ctx, cancel := context.WithTimeout(q.cut, deliverTimeout)
	defer cancel()
	row, err := q.config.Store.QueuedMessage(ctx, id)
	if err != nil {
		return q.leave(id, err)
	}
	if row.Node != q.node.id {
		return true // others took this gateway for dead, and the message over, before it was sent (threat model I-45)
	}
	m, err := messageOf(row)
	if err != nil {
		return q.setAside(row, err)
	}
	barred, err := q.config.Identities.Barred(ctx, m.Submitter, row.Released)
	switch {
	case err != nil:
		return q.leave(id, err)
	case barred != "":
		return q.bar(row, barred)
	}
	began := q.now()
	open := openRecipients(row)
	wait, err := permit.Widen(ctx, len(open))
	switch {
	case err != nil:
		return q.leave(id, err)
	case wait.Any():
		q.conclude(row, m, open, began, Result{Reached: true, Err: errors.New(wait.Words())})
		return true
	}
	content := q.content(ctx, row)
	checked := &checkedContent{content: content, place: place}
	place.begin()
	result := q.courier.Send(ctx, m, open, checked)
	if errors.Is(checked.err, store.ErrDamaged) {
		return q.setAside(row, checked.err)
	}
	if result.Sent {
		permit.Sent(len(open) - len(result.Recipients))
	}
	permit.Unused()
	if q.cut.Err() != nil && result.Final.Code == 0 && len(result.Recipients) == 0 {
		return q.leave(id, context.Cause(q.cut)) // cut off by a stop: no try that counts
	}
	q.heedResult(m, limits, result)
	q.conclude(row, m, open, began, result)
	if !result.Reached {
		q.deferOthers(m, began, result)
	}
	return result.Reached
}

// checkedContent keeps the error that ended the reading of a content. Whoever reads on has had upstream take what was
// before.
type checkedContent struct {
	*content
	place *place
	err   error
}

func (c *checkedContent) Read(p []byte) (int, error) {
	c.place.moves()
	n, err := c.content.Read(p)
	if err != nil {
		c.err = err
	}
	return n, err
}

// openRecipients gives the numbers of the recipients that the message is still for.
func openRecipients(row store.QueuedMessage) []int {
	var open []int
	for i, r := range row.Recipients {
		if r.State == store.RecipientWaiting {
			open = append(open, i)
		}
	}
	return open
}

// heedResult takes from a result what it says about the mailbox's pace.
func (q *Queue) heedResult(m *Message, limits Limits, result Result) {
	replies := []Reply{result.Final}
	for _, r := range result.Recipients {
		replies = append(replies, r)
	}
	for _, r := range replies {
		if r.Code != 0 {
			q.heed(context.Background(), m.Submitter.limited(), limits, r)
		}
	}
}

// leave gives back a message that could not be tried for a reason of the gateway's own, and that no try is counted for.
func (q *Queue) leave(id string, err error) bool {
	q.log.Error("a message of the queue could not be tried", "message", id, "error", err)
	q.insist(id, func() error { return q.config.Store.Unclaim(context.Background(), id, q.node.id) })
	return true
}

// setAside keeps a message that is damaged from ever being sent, and shows it (threat model I-09).
func (q *Queue) setAside(row store.QueuedMessage, damage error) bool {
	q.log.Error("a message of the queue is damaged and set aside", "message", row.ID, "error", damage)
	q.record(audit.MessageHeld{ID: row.ID, Login: row.Login, Mailbox: row.Mailbox, State: string(store.Damaged), Reason: damage.Error()})
	q.advance(row.ID, store.Progress{State: store.Damaged, Reason: damage.Error(), NextTry: row.NextTry})
	return true
}

// bar keeps a message whose submitter may not send any more, until it may again.
func (q *Queue) bar(row store.QueuedMessage, reason string) bool {
	q.record(audit.MessageHeld{ID: row.ID, Login: row.Login, Mailbox: row.Mailbox, State: string(store.Barred), Reason: reason})
	q.advance(row.ID, store.Progress{State: store.Barred, Reason: reason, NextTry: row.NextTry})
	return true
}

// unbar lets the messages go whose submitters may send again.
func (q *Queue) unbar(ctx context.Context) error {
	rows, err := q.config.Store.QueuedMessages(ctx, store.QueueFilter{State: store.Barred})
	if err != nil {
		return err
	}
	for _, row := range rows {
		m, err := decodeRecord(row.Record)
		if row.RecordError != nil || err != nil {
			continue
		}
		barred, err := q.config.Identities.Barred(ctx, m.Submitter, row.Released)
		if err != nil {
			return err
		}
		if barred != "" {
			continue
		}
		q.record(audit.MessageReleased{ID: row.ID, Login: row.Login, By: "postern"})
		err = q.config.Store.OrderQueued(ctx, row.ID, store.QueueOrder{State: store.Waiting, NextTry: q.now()})
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrBusy) {
			return err
		}
		q.wake(row.Mailbox)
	}
	return nil
}

// deferOthers notes a try that did not reach upstream with the other messages of the login that are due, too: each of
// them would have found the same, after as long a time.
func (q *Queue) deferOthers(m *Message, began time.Time, result Result) {
	now := q.now()
	outcome, reply := "upstream not reached", word(result)
	n, err := q.config.Store.DeferDue(context.Background(), m.Submitter.limited(), m.Submitter.Login, now, furthest, patience-2*longestDelay,
		func(id string, tries int) time.Duration { return delay(id, tries+1) },
		store.Try{Began: began, Ended: now, Outcome: outcome, Reply: reply})
	if err != nil {
		q.log.Error("messages of the queue could not be put off", "login", m.Submitter.Login, "error", err)
	} else if n > 0 {
		q.log.Info("messages put off", "login", m.Submitter.Login, "count", n, "reason", reply)
	}
}

// word gives upstream's last word, or what went wrong.
func word(result Result) string {
	switch {
	case result.Final.Code != 0:
		return result.Final.Text
	case result.Err != nil:
		return result.Err.Error()
	case len(result.Recipients) > 0:
		for _, number := range slices.Sorted(maps.Keys(result.Recipients)) {
			return result.Recipients[number].Text
		}
	}
	return "no reply"
}

// record writes an event about a message that is in the queue already, or is not any more: what it says has happened, so
// that it cannot be undone when the log does not take it.
func (q *Queue) record(event audit.Event) {
	if err := q.config.Audit.Record(event); err != nil {
		q.log.Error("what became of a message is not in the audit log", "event", event.Kind(), "error", err)
	}
}

// advance keeps what became of a message.
func (q *Queue) advance(id string, p store.Progress) {
	q.insist(id, func() error { return q.config.Store.Advance(context.Background(), id, q.node.id, p) })
}

// insist changes something about a message that this node has taken, for as long as the store does not take the change: a
// message that upstream has had would be sent again, as often as the disk fails (threat model I-03, I-31). Until then the
// message stays taken. A stop ends it; the next start then tries the message once more.
func (q *Queue) insist(id string, change func() error) {
	for wait := shortestInsistence; ; wait = min(2*wait, longestInsistence) {
		err := change()
		switch {
		case err == nil && wait > shortestInsistence:
			q.log.Info("what became of a message is kept now", "message", id)
			return
		case err == nil:
			return
		case errors.Is(err, store.ErrTaken), errors.Is(err, store.ErrNotFound):
			q.log.Error("what became of a message is not kept", "message", id, "error", err)
			return
		case wait == shortestInsistence:
			q.log.Error("what became of a message is not kept yet", "message", id, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-q.cut.Done():
			return
		}
	}
}
