package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// QueueState says what a message of the queue does.
type QueueState string

const (
	// Waiting for its next try, or on its way.
	Waiting QueueState = "waiting"
	// Held until an administrator releases it or the cause has gone.
	Held QueueState = "held"
	// Barred is held, too: whoever submitted it may not send any more, and it goes on when they may again.
	Barred QueueState = "barred"
	// Damaged is a message that does not open or is not what its record says. It is never sent.
	Damaged QueueState = "damaged"
)

// The states of a recipient.
const (
	RecipientWaiting   = "waiting"
	RecipientDelivered = "delivered"
	RecipientRefused   = "refused"
)

// QueuedMessage is a message of the queue, without its content.
type QueuedMessage struct {
	ID       string
	Mailbox  string // whose limits upstream it counts against, in lower case
	Login    string
	State    QueueState
	Reason   string // why it waits or is held, in words
	Size     int64  // bytes
	Parts    int
	Accepted time.Time
	NextTry  time.Time
	Node     string        // that is delivering it; empty for none
	Tries    int           // that came to nothing
	Waited   time.Duration // between them, in all
	Warned   bool          // the sender knows of the delay
	Released bool
	// Record is whose it is, from whom and to whom: sealed with the message's id, mailbox, login, size and parts, so that
	// none of them can be changed in the database. A message whose record does not open comes with RecordError instead.
	Record      []byte
	RecordError error
	Recipients  []QueuedRecipient // by their number in the record
}

// QueuedRecipient is what became of a recipient.
type QueuedRecipient struct {
	State string
	Reply string // upstream's last word
}

const queuedColumns = `id, mailbox, login, state, reason, size, parts, accepted, next_try, node, tries, waited, warned, released, sealed`

// associatedData is what a record is sealed with.
func (m *QueuedMessage) associatedData() []byte {
	ad := []byte("postern/queue-record/1")
	for _, text := range []string{m.ID, m.Mailbox, m.Login} {
		ad = binary.AppendUvarint(ad, uint64(len(text)))
		ad = append(ad, text...)
	}
	ad = binary.AppendVarint(ad, m.Size)
	ad = binary.AppendVarint(ad, int64(m.Parts))
	return binary.AppendVarint(ad, m.Accepted.UnixMilli())
}

// Enqueue keeps a message whose parts but the last ones have been written in a generation, see [Store.WriteParts], and
// these last ones. When it returns nil, all of it is on the disk. When it returns an error, nothing of it will be
// delivered, but where a connection to the database broke and could not be made anew in time.
func (s *Store) Enqueue(ctx context.Context, m QueuedMessage, last []Part, generation int) error {
	sealed, err := s.ring.Seal(m.Record, m.associatedData())
	if err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	parts, err := s.sealParts(m.ID, last)
	if err != nil {
		return err
	}
	err = s.commitOnce(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.sameGeneration(generation); err != nil {
			return err
		}
		if err := s.insertParts(ctx, tx, m.ID, parts); err != nil {
			return err
		}
		if err := complete(ctx, tx, m, len(last)); err != nil {
			return err
		}
		return insertQueued(ctx, tx, m, sealed)
	})
	if err != nil {
		return fmt.Errorf("keeping message %s: %w", m.ID, err)
	}
	return nil
}

func insertQueued(ctx context.Context, tx *sql.Tx, m QueuedMessage, sealed []byte) error {
	const insert = `INSERT INTO queue_messages (` + queuedColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	_, err := tx.ExecContext(ctx, insert, m.ID, m.Mailbox, m.Login, string(m.State), printable(m.Reason), m.Size, m.Parts,
		millis(m.Accepted), millis(m.NextTry), nodeColumn(m.Node), m.Tries, m.Waited.Milliseconds(), flag(m.Warned), flag(m.Released), sealed)
	for n := 0; n < len(m.Recipients) && err == nil; n++ {
		const insert = `INSERT INTO queue_recipients (message, number, state, reply) VALUES (?, ?, ?, ?)`
		_, err = tx.ExecContext(ctx, insert, m.ID, n, m.Recipients[n].State, printable(m.Recipients[n].Reply))
	}
	return err
}

func nodeColumn(node string) sql.NullString { return sql.NullString{String: node, Valid: node != ""} }

func flag(is bool) int {
	if is {
		return 1
	}
	return 0
}

// QueuedMessage gives a message of the queue. The error wraps [ErrNotFound] if there is none.
func (s *Store) QueuedMessage(ctx context.Context, id string) (QueuedMessage, error) {
	m, err := s.scanQueued(s.reader.QueryRowContext(ctx, `SELECT `+queuedColumns+` FROM queue_messages WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		m.Recipients, err = s.queuedRecipients(ctx, id)
	}
	if err != nil {
		return QueuedMessage{}, fmt.Errorf("message %q of the queue: %w", id, err)
	}
	return m, nil
}

// QueueFilter says which messages of the queue are meant. The zero value means all.
type QueueFilter struct {
	Mailbox, Login string
	State          QueueState
	// After is the id of the last message of the page before, in the order of acceptance; Limit is 0 for no limit.
	After string
	Limit int
}

// QueuedMessages gives messages of the queue in the order of their acceptance, without their recipients.
func (s *Store) QueuedMessages(ctx context.Context, f QueueFilter) ([]QueuedMessage, error) {
	const query = `SELECT ` + queuedColumns + ` FROM queue_messages
		WHERE (? = '' OR mailbox = ?) AND (? = '' OR login = ?) AND (? = '' OR state = ?)
		AND (? = '' OR (accepted, id) > (SELECT accepted, id FROM queue_messages WHERE id = ?))
		ORDER BY accepted, id LIMIT ?`
	limit := f.Limit
	if limit == 0 {
		limit = 1 << 30
	}
	found, err := rows(ctx, s.reader, s.scanQueued, query, f.Mailbox, f.Mailbox, f.Login, f.Login, string(f.State), string(f.State), f.After, f.After, limit)
	if err != nil {
		return nil, fmt.Errorf("messages of the queue: %w", err)
	}
	return found, nil
}

// scanQueued reads a row of queuedColumns and opens its record.
func (s *Store) scanQueued(row scanner) (m QueuedMessage, err error) {
	var accepted, next sql.NullInt64
	var node sql.NullString
	var waited int64
	var warned, released int
	var sealed []byte
	err = row.Scan(&m.ID, &m.Mailbox, &m.Login, &m.State, &m.Reason, &m.Size, &m.Parts, &accepted, &next, &node, &m.Tries,
		&waited, &warned, &released, &sealed)
	if err != nil {
		return m, err
	}
	m.Accepted, m.NextTry, m.Node = fromMillis(accepted), fromMillis(next), node.String
	m.Waited, m.Warned, m.Released = time.Duration(waited)*time.Millisecond, warned != 0, released != 0
	m.Record, m.RecordError = s.ring.Unseal(sealed, m.associatedData())
	return m, nil
}

func (s *Store) queuedRecipients(ctx context.Context, id string) ([]QueuedRecipient, error) {
	const query = `SELECT state, reply FROM queue_recipients WHERE message = ? ORDER BY number`
	return rows(ctx, s.reader, func(row scanner) (r QueuedRecipient, err error) {
		err = row.Scan(&r.State, &r.Reply)
		return r, err
	}, query, id)
}

// QueueCount is how much of a mailbox is in the queue in one state.
type QueueCount struct {
	Mailbox  string
	State    QueueState
	Messages int
	Bytes    int64
	Oldest   time.Time
}

// QueueCounts sums up the queue by mailbox and state.
func (s *Store) QueueCounts(ctx context.Context) ([]QueueCount, error) {
	const query = `SELECT mailbox, state, COUNT(*), CAST(SUM(size) AS BIGINT), MIN(accepted) FROM queue_messages GROUP BY mailbox, state ORDER BY mailbox, state`
	found, err := rows(ctx, s.reader, func(row scanner) (c QueueCount, err error) {
		var oldest sql.NullInt64
		err = row.Scan(&c.Mailbox, &c.State, &c.Messages, &c.Bytes, &oldest)
		c.Oldest = fromMillis(oldest)
		return c, err
	}, query)
	if err != nil {
		return nil, fmt.Errorf("counting the queue: %w", err)
	}
	return found, nil
}

// QueueDepth gives how many messages of a login are in the queue, whatever their state.
func (s *Store) QueueDepth(ctx context.Context, mailbox, login string) (n int, err error) {
	const query = `SELECT COUNT(*) FROM queue_messages WHERE state IN ('waiting', 'held', 'barred', 'damaged') AND mailbox = ? AND login = ?`
	if err := s.reader.QueryRowContext(ctx, query, mailbox, login).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the queue of %q: %w", login, err)
	}
	return n, nil
}
