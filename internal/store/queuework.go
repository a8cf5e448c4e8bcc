package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Looking for what is due takes as long with a hundred thousand messages as with ten: each of these queries goes by the index
// from one mailbox or login to the next, and looks at the first message of each. Only a mailbox of whose messages none is due
// is gone through, within the index, once a second.

const (
	dueMailboxes = `WITH RECURSIVE mailboxes (mailbox) AS (
		SELECT MIN(mailbox) FROM queue_messages WHERE state = 'waiting'
		UNION ALL
		SELECT (SELECT MIN(m.mailbox) FROM queue_messages m WHERE m.state = 'waiting' AND m.mailbox > mailboxes.mailbox) FROM mailboxes WHERE mailbox IS NOT NULL)
	SELECT mailbox FROM mailboxes WHERE mailbox IS NOT NULL AND EXISTS (SELECT 1 FROM queue_messages m
		WHERE m.state = 'waiting' AND m.mailbox = mailboxes.mailbox AND (m.next_try <= ? OR m.next_try > ?) AND m.node IS NULL)`
	dueLogins = `WITH RECURSIVE logins (mailbox, login) AS (
		SELECT CAST(? AS TEXT), (SELECT MIN(login) FROM queue_messages WHERE state = 'waiting' AND mailbox = ?)
		UNION ALL
		SELECT mailbox, (SELECT MIN(m.login) FROM queue_messages m WHERE m.state = 'waiting' AND m.mailbox = logins.mailbox AND m.login > logins.login)
		FROM logins WHERE login IS NOT NULL),
	due (login, since) AS (SELECT login, COALESCE(
		(SELECT m.next_try FROM queue_messages m WHERE m.state = 'waiting' AND m.mailbox = logins.mailbox AND m.login = logins.login
			AND m.next_try <= ? AND m.node IS NULL ORDER BY m.next_try LIMIT 1),
		(SELECT m.next_try FROM queue_messages m WHERE m.state = 'waiting' AND m.mailbox = logins.mailbox AND m.login = logins.login
			AND m.next_try > ? AND m.node IS NULL ORDER BY m.next_try LIMIT 1)) FROM logins WHERE login IS NOT NULL)
	SELECT login, since FROM due WHERE since IS NOT NULL`
	firstDue = `(SELECT id FROM queue_messages WHERE state = 'waiting' AND mailbox = ? AND login = ? AND %s AND node IS NULL
		ORDER BY next_try, accepted, id LIMIT 1%s)`
)

// DueMailboxes gives the mailboxes that have messages whose time has come and that nobody delivers. A message whose next
// try is further away than furthest is due as well: the clock was set back.
func (s *Store) DueMailboxes(ctx context.Context, now time.Time, furthest time.Duration) ([]string, error) {
	found, err := rows(ctx, s.reader, scanText, dueMailboxes, now.UnixMilli(), now.Add(furthest).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("mailboxes with messages that are due: %w", err)
	}
	return found, nil
}

func scanText(row scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}

// DueLogins gives the logins that have messages due in a mailbox, with the time since when the first of each is.
func (s *Store) DueLogins(ctx context.Context, mailbox string, now time.Time, furthest time.Duration) (map[string]time.Time, error) {
	due := make(map[string]time.Time)
	_, err := rows(ctx, s.reader, func(row scanner) (struct{}, error) {
		var login string
		var since sql.NullInt64
		err := row.Scan(&login, &since)
		due[login] = fromMillis(since)
		return struct{}{}, err
	}, dueLogins, mailbox, mailbox, now.UnixMilli(), now.Add(furthest).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("messages of %s that are due: %w", mailbox, err)
	}
	return due, nil
}

// Claim takes the message of a login in a mailbox that has been due longest for a node; the id is empty if there is none.
func (s *Store) Claim(ctx context.Context, mailbox, login, node string, now time.Time, furthest time.Duration) (id string, err error) {
	first := func(when string) string { return fmt.Sprintf(firstDue, when, s.engine.skipLocked()) }
	claim := `UPDATE queue_messages SET node = ? WHERE id = COALESCE(` + first(`next_try <= ?`) + `, ` + first(`next_try > ?`) + `) AND node IS NULL RETURNING id`
	err = s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		id = ""
		err := tx.QueryRowContext(ctx, claim, node, mailbox, login, now.UnixMilli(), mailbox, login, now.Add(furthest).UnixMilli()).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("taking a message of %s: %w", mailbox, err)
	}
	return id, nil
}

// Try is a try to deliver a message.
type Try struct {
	Began, Ended time.Time
	Outcome      string
	Reply        string // upstream's word, or what went wrong
}

// maxTries is how many tries a message's trace keeps.
const maxTries = 150

// Progress is what a try did to a message.
type Progress struct {
	Try        Try
	State      QueueState // that it now has
	Reason     string
	NextTry    time.Time
	Wait       time.Duration // what it adds to the message's waiting
	Counts     bool          // the try is one that came to nothing
	Warned     bool          // the sender has been told of the delay now
	Recipients map[int]QueuedRecipient
	// Reports are messages to put into the queue with it: of a bounce, say.
	Reports []Report
	// Done takes the message out of the queue.
	Done bool
}

// Report is a new message with all of its content.
type Report struct {
	Message QueuedMessage
	Parts   []Part
}

// ErrTaken is wrapped by the error of a change to a message that another node has taken meanwhile.
var ErrTaken = errors.New("another gateway has taken it")

// Advance keeps what a try of a node did to a message, and ends the claim on it. All of it is on the disk when it returns
// nil. Another node may have taken the message when this one seemed dead: then the error wraps [ErrTaken] and nothing
// changes, unless the message has been delivered and nobody is to be told.
func (s *Store) Advance(ctx context.Context, id, node string, p Progress) error {
	sealed := make([][]byte, len(p.Reports))
	parts := make([][]Part, len(p.Reports))
	for i, report := range p.Reports {
		var err error
		if sealed[i], err = s.ring.Seal(report.Message.Record, report.Message.associatedData()); err != nil {
			return fmt.Errorf("report on message %s: %w", id, err)
		}
		if parts[i], err = s.sealParts(report.Message.ID, report.Parts); err != nil {
			return fmt.Errorf("report on message %s: %w", id, err)
		}
	}
	err := s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		if !p.Done || len(p.Reports) > 0 {
			if own, err := s.claimedBy(ctx, tx, id, node); err != nil || !own {
				return errors.Join(err, ErrTaken)
			}
		}
		for i, report := range p.Reports {
			if err := s.insertParts(ctx, tx, report.Message.ID, parts[i]); err != nil {
				return err
			}
			if err := insertQueued(ctx, tx, report.Message, sealed[i]); err != nil {
				return err
			}
		}
		if p.Done {
			return deleteQueued(ctx, tx, id)
		}
		_, err := advance(ctx, tx, id, node, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping what became of message %s: %w", id, err)
	}
	return nil
}

// claimedBy reports whether a node has taken a message, which nobody can change then until the transaction ends.
func (s *Store) claimedBy(ctx context.Context, tx *sql.Tx, id, node string) (own bool, err error) {
	var taken sql.NullString
	err = tx.QueryRowContext(ctx, `SELECT node FROM queue_messages WHERE id = ?`+s.engine.lockRows(), id).Scan(&taken)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return taken.Valid && taken.String == node, err
}

func deleteQueued(ctx context.Context, tx *sql.Tx, id string) error {
	for _, remove := range []string{
		`DELETE FROM queue_messages WHERE id = ?`,
		`DELETE FROM queue_recipients WHERE message = ?`,
		`DELETE FROM queue_tries WHERE message = ?`,
		`DELETE FROM queue_parts WHERE message = ?`,
	} {
		if _, err := tx.ExecContext(ctx, remove, id); err != nil {
			return err
		}
	}
	return nil
}

// advance changes a message that a node has taken, and reports whether it has.
func advance(ctx context.Context, tx *sql.Tx, id, node string, p Progress) (own bool, err error) {
	const update = `UPDATE queue_messages SET state = ?, reason = ?, next_try = ?, node = NULL, tries = tries + ?, waited = waited + ?,
		warned = CASE WHEN ? = 1 THEN 1 ELSE warned END WHERE id = ? AND COALESCE(node, '') = ?`
	own, err = affected(tx.ExecContext(ctx, update, string(p.State), printable(p.Reason), p.NextTry.UnixMilli(), flag(p.Counts),
		p.Wait.Milliseconds(), flag(p.Warned), id, node))
	if err != nil || !own {
		return own, err
	}
	for number, r := range p.Recipients {
		const update = `UPDATE queue_recipients SET state = ?, reply = ? WHERE message = ? AND number = ?`
		if _, err := tx.ExecContext(ctx, update, r.State, printable(r.Reply), id, number); err != nil {
			return own, err
		}
	}
	if p.Try.Began.IsZero() {
		return own, nil
	}
	return own, addTry(ctx, tx, id, p.Try)
}

// addTry adds a try to a message's trace, and forgets the oldest but the first when there are too many.
func addTry(ctx context.Context, tx *sql.Tx, id string, try Try) error {
	const insert = `INSERT INTO queue_tries (message, number, began, ended, outcome, reply)
		SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ?, ?, ? FROM queue_tries WHERE message = ?`
	_, err := tx.ExecContext(ctx, insert, id, try.Began.UnixMilli(), try.Ended.UnixMilli(), printable(try.Outcome), printable(try.Reply), id)
	if err != nil {
		return err
	}
	const prune = `DELETE FROM queue_tries WHERE message = ? AND number > 1 AND number <= (SELECT MAX(number) FROM queue_tries WHERE message = ?) - ?`
	_, err = tx.ExecContext(ctx, prune, id, id, maxTries)
	return err
}

// QueueTries gives the trace of a message: the tries that came to nothing, the oldest first.
func (s *Store) QueueTries(ctx context.Context, id string) ([]Try, error) {
	const query = `SELECT began, ended, outcome, reply FROM queue_tries WHERE message = ? ORDER BY number`
	found, err := rows(ctx, s.reader, func(row scanner) (t Try, err error) {
		var began, ended sql.NullInt64
		err = row.Scan(&began, &ended, &t.Outcome, &t.Reply)
		t.Began, t.Ended = fromMillis(began), fromMillis(ended)
		return t, err
	}, query, id)
	if err != nil {
		return nil, fmt.Errorf("tries of message %s: %w", id, err)
	}
	return found, nil
}

// Claimed gives the ids of the messages that a node has taken.
func (s *Store) Claimed(ctx context.Context, node string) ([]string, error) {
	found, err := rows(ctx, s.reader, scanText, `SELECT id FROM queue_messages WHERE node = ?`, node)
	if err != nil {
		return nil, fmt.Errorf("messages that node %s has taken: %w", node, err)
	}
	return found, nil
}

// Unclaim gives back a message that a node has taken and not tried.
func (s *Store) Unclaim(ctx context.Context, id, node string) error {
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE queue_messages SET node = NULL WHERE id = ? AND node = ?`, id, node)
		return err
	})
	if err != nil {
		return fmt.Errorf("giving back message %s: %w", id, err)
	}
	return nil
}

// QueueOrder is what an administrator does to a message.
type QueueOrder struct {
	State    QueueState
	Reason   string
	NextTry  time.Time // the zero time for at once, whatever the clock of whoever delivers
	Released bool
}

// ErrBusy is wrapped by the error of an order for a message that is being delivered at the moment.
var ErrBusy = errors.New("it is being delivered at the moment")

// OrderQueued changes the state of a message that is not being delivered. The error wraps [ErrNotFound] or [ErrBusy].
func (s *Store) OrderQueued(ctx context.Context, id string, o QueueOrder) error {
	return s.idle(ctx, id, func(ctx context.Context, tx *sql.Tx) error {
		var next int64
		if !o.NextTry.IsZero() {
			next = o.NextTry.UnixMilli()
		}
		const update = `UPDATE queue_messages SET state = ?, reason = ?, next_try = ?, released = CASE WHEN ? = 1 THEN 1 ELSE released END WHERE id = ?`
		_, err := tx.ExecContext(ctx, update, string(o.State), printable(o.Reason), next, flag(o.Released), id)
		return err
	})
}

// DropQueued removes a message that is not being delivered. The error wraps [ErrNotFound] or [ErrBusy].
func (s *Store) DropQueued(ctx context.Context, id string) error {
	return s.idle(ctx, id, func(ctx context.Context, tx *sql.Tx) error { return deleteQueued(ctx, tx, id) })
}

func (s *Store) idle(ctx context.Context, id string, do func(context.Context, *sql.Tx) error) error {
	err := s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		var node sql.NullString
		switch err := tx.QueryRowContext(ctx, `SELECT node FROM queue_messages WHERE id = ?`+s.engine.lockRows(), id).Scan(&node); {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case node.Valid:
			return ErrBusy
		}
		return do(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("message %q of the queue: %w", id, err)
	}
	return nil
}

// DeferDue notes a try that came to nothing with the messages of a login in a mailbox that are due and free, as Advance
// does with one; those that have waited as long as most are left out. It gives their number.
func (s *Store) DeferDue(ctx context.Context, mailbox, login string, now time.Time, furthest, most time.Duration, delay func(id string, tries int) time.Duration, try Try) (n int, err error) {
	type due struct {
		id    string
		tries int
	}
	const query = `SELECT id, tries FROM queue_messages WHERE mailbox = ? AND login = ? AND state = 'waiting'
		AND (next_try <= ? OR next_try > ?) AND node IS NULL AND waited < ?`
	all, err := rows(ctx, s.reader, func(row scanner) (d due, err error) {
		err = row.Scan(&d.id, &d.tries)
		return d, err
	}, query, mailbox, login, now.UnixMilli(), now.Add(furthest).UnixMilli(), most.Milliseconds())
	for len(all) > 0 && err == nil {
		group := all[:min(len(all), maxGroup)]
		all = all[len(group):]
		var put int
		err = s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
			put = 0
			for _, d := range group {
				wait := delay(d.id, d.tries)
				p := Progress{Try: try, State: Waiting, Reason: try.Reply, NextTry: now.Add(wait), Wait: wait, Counts: true}
				own, err := advance(ctx, tx, d.id, "", p)
				if err != nil {
					return err
				}
				if own {
					put++
				}
			}
			return nil
		})
		if err == nil {
			n += put
		}
	}
	if err != nil {
		return n, fmt.Errorf("putting off the messages of %s: %w", login, err)
	}
	return n, nil
}
