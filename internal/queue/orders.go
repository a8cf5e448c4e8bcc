package queue

import (
	"context"
	"errors"
	"time"

	"postern/internal/store"
)

// Entry is a message of the queue as an administrator sees it.
type Entry struct {
	ID         string           `json:"id"`
	State      store.QueueState `json:"state"` // waiting, sending, held, barred or damaged
	Login      string           `json:"login"`
	Mailbox    string           `json:"mailbox"`
	Sender     string           `json:"sender"`
	Recipients []EntryRecipient `json:"recipients"`
	Size       int64            `json:"size"`
	Accepted   time.Time        `json:"accepted"`
	NextTry    *time.Time       `json:"next_try,omitempty"`
	Tries      int              `json:"tries"`
	Reason     string           `json:"reason"` // why it is here, in words
	Wait       string           `json:"wait,omitempty"`
	Session    string           `json:"session,omitempty"`
	Report     bool             `json:"report,omitempty"` // about another message
	Trace      []EntryTry       `json:"trace,omitempty"`
}

// EntryRecipient is a recipient of an entry.
type EntryRecipient struct {
	Address string `json:"address"`
	State   string `json:"state"` // waiting, delivered or refused
	Reply   string `json:"reply,omitempty"`
}

// EntryTry is one try of an entry that came to nothing.
type EntryTry struct {
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Outcome string    `json:"outcome"`
	Reply   string    `json:"reply"`
}

// Sending is the state of an entry that is on its way at this moment.
const Sending store.QueueState = "sending"

// Entries gives the messages of the queue that a filter lets through, in the order of their acceptance. It works on the
// store alone, whether a queue runs on it or not.
func Entries(ctx context.Context, s *store.Store, f store.QueueFilter) ([]Entry, error) {
	rows, err := s.QueuedMessages(ctx, f)
	entries := make([]Entry, 0, len(rows))
	for _, row := range rows {
		entries = append(entries, entryOf(row))
	}
	return entries, err
}

// Show gives one message of the queue with its trace and, where limits gives its login's, with what keeps it at the
// moment. The error wraps [store.ErrNotFound] if there is none.
func Show(ctx context.Context, s *store.Store, id string, limits func(login string) Limits) (Entry, error) {
	row, err := s.QueuedMessage(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	entry := entryOf(row)
	for i := range entry.Recipients {
		entry.Recipients[i].State, entry.Recipients[i].Reply = row.Recipients[i].State, row.Recipients[i].Reply
	}
	tries, err := s.QueueTries(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	for _, t := range tries {
		entry.Trace = append(entry.Trace, EntryTry(t))
	}
	if now := time.Now(); entry.State == store.Waiting && !row.NextTry.After(now) {
		verdict, err := s.JudgeSubmission(ctx, store.Submission{Mailbox: row.Mailbox, Login: row.Login, Recipients: 1}, storeLimits(limits(row.Login)), now)
		if err != nil {
			return Entry{}, err
		}
		entry.Wait = Wait{verdict.Limit, verdict.Until, verdict.Reason}.Words()
	}
	return entry, nil
}

func entryOf(row store.QueuedMessage) Entry {
	e := Entry{ID: row.ID, State: row.State, Login: row.Login, Mailbox: row.Mailbox, Size: row.Size, Accepted: row.Accepted,
		Tries: row.Tries, Reason: row.Reason, Recipients: []EntryRecipient{}}
	if row.State == store.Waiting {
		next := row.NextTry
		if next.Before(row.Accepted) { // at once
			next = row.Accepted
		}
		e.NextTry = &next
		if row.Node != "" {
			e.State, e.NextTry = Sending, nil
		}
	}
	m, err := decodeRecord(row.Record)
	if row.RecordError != nil || err != nil {
		e.Reason = errors.Join(row.RecordError, err).Error()
		return e
	}
	e.Mailbox, e.Sender, e.Session, e.Report = m.Submitter.Mailbox, m.Sender, m.Session, m.Report
	for _, r := range m.Recipients {
		e.Recipients = append(e.Recipients, EntryRecipient{Address: r.Address, State: store.RecipientWaiting})
	}
	return e
}
