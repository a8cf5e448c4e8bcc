package gateway

import (
	"context"
	"errors"
	"fmt"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/queue"
	"postern/internal/store"
)

// QueueFilter says which messages of the queue an administrator means. The zero value means all.
type QueueFilter struct {
	Login, Mailbox, State string
}

// Queue gives the messages of the queue, those that were accepted first at the head.
func (a *Admin) Queue(ctx context.Context, f QueueFilter) ([]queue.Entry, error) {
	filter := store.QueueFilter{Login: auth.Canonical(f.Login), Mailbox: auth.Canonical(f.Mailbox), State: store.QueueState(f.State)}
	switch filter.State {
	case "", store.Waiting, store.Held, store.Barred, store.Damaged:
	case queue.Sending:
		filter.State = store.Waiting
	default:
		return nil, fmt.Errorf("there is no state %q; a message is waiting, sending, held, barred or damaged", f.State)
	}
	entries, err := queue.Entries(ctx, a.state.Store, filter)
	if f.State == "" || err != nil {
		return entries, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if string(e.State) == f.State {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// QueueEntry gives one message of the queue with its trace.
func (a *Admin) QueueEntry(ctx context.Context, id string) (queue.Entry, error) {
	e, err := queue.Show(ctx, a.state.Store, id, a.limits)
	return e, queueError(id, err)
}

// RetryQueued has a waiting message tried at once.
func (a *Admin) RetryQueued(ctx context.Context, id string) (queue.Entry, error) {
	return a.order(ctx, id, func(e queue.Entry) (audit.Event, store.QueueOrder, error) {
		if e.State != store.Waiting {
			return nil, store.QueueOrder{}, fmt.Errorf("message %s is %s; postern queue release lets one go that is held", id, e.State)
		}
		return audit.MessageReleased{ID: id, Login: e.Login, By: a.by}, store.QueueOrder{State: store.Waiting, Reason: e.Reason}, nil
	})
}

// HoldQueued keeps a message from being tried until it is released.
func (a *Admin) HoldQueued(ctx context.Context, id, reason string) (queue.Entry, error) {
	return a.order(ctx, id, func(e queue.Entry) (audit.Event, store.QueueOrder, error) {
		if e.State != store.Waiting && e.State != store.Barred {
			return nil, store.QueueOrder{}, fmt.Errorf("message %s is %s already", id, e.State)
		}
		words := "held by " + a.by
		if reason != "" {
			words += ": " + reason
		}
		return audit.MessageHeld{ID: id, Login: e.Login, Mailbox: e.Mailbox, State: string(store.Held), Reason: reason, By: a.by},
			store.QueueOrder{State: store.Held, Reason: words}, nil
	})
}

// ReleaseQueued lets a message go that is held. One whose app password is revoked goes, too; one whose login is locked or
// gone does not before that has changed.
func (a *Admin) ReleaseQueued(ctx context.Context, id string) (queue.Entry, error) {
	return a.order(ctx, id, func(e queue.Entry) (audit.Event, store.QueueOrder, error) {
		if e.State != store.Held && e.State != store.Barred {
			return nil, store.QueueOrder{}, fmt.Errorf("message %s is %s: there is nothing to release", id, e.State)
		}
		return audit.MessageReleased{ID: id, Login: e.Login, By: a.by},
			store.QueueOrder{State: store.Waiting, Reason: "released by " + a.by, Released: true}, nil
	})
}

// order has the audit log take an order before it is carried out, and gives the message as it was.
func (a *Admin) order(ctx context.Context, id string, decide func(queue.Entry) (audit.Event, store.QueueOrder, error)) (queue.Entry, error) {
	e, err := a.QueueEntry(ctx, id)
	if err != nil {
		return e, err
	}
	event, order, err := decide(e)
	if err != nil {
		return e, err
	}
	if err := a.state.Audit.Record(event); err != nil {
		return e, err
	}
	return e, queueError(id, a.state.Store.OrderQueued(ctx, id, order))
}

// DropQueued removes a message from the queue, for good. Nobody is told.
func (a *Admin) DropQueued(ctx context.Context, id string) (queue.Entry, error) {
	e, err := a.QueueEntry(ctx, id)
	if err != nil {
		return e, err
	}
	if e.State == queue.Sending {
		return e, queueError(id, store.ErrBusy)
	}
	err = a.state.Audit.Record(audit.MessageDropped{ID: id, Login: e.Login, Mailbox: e.Mailbox, Sender: e.Sender, By: a.by})
	if err != nil {
		return e, err
	}
	return e, queueError(id, a.state.Store.DropQueued(ctx, id))
}

// queueError says what an administrator has to know.
func queueError(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("there is no message %q in the queue; it may be delivered: postern audit search shows that", id)
	case errors.Is(err, store.ErrBusy):
		return fmt.Errorf("message %s is being delivered at this moment; try again when that has ended", id)
	}
	return err
}
