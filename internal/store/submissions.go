package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Submission is a message that is about to go to upstream, from the queue or straight from a client.
type Submission struct {
	ID         string
	Mailbox    string // in lower case
	Login      string
	Node       string
	Recipients int
}

// SubmissionLimits are what a mailbox, and a login, may send. 0 means no limit, but for Connections.
type SubmissionLimits struct {
	Connections      int // of the mailbox, at once
	PerMinute        int // messages of the mailbox in any 60 seconds
	RecipientsPerDay int // of the mailbox in 24 hours
	LoginPerMinute   int // messages of the login in any 60 seconds
}

// Limit names what keeps a submission waiting.
type Limit string

// The limits that a submission can meet.
const (
	Unlimited        Limit = ""
	ConnectionLimit  Limit = "connections"   // all that the mailbox may have are in use
	MessageLimit     Limit = "messages"      // the mailbox's messages of a minute are spent
	LoginLimit       Limit = "login"         // the login's messages of a minute are spent
	RecipientLimit   Limit = "recipients"    // the mailbox's recipients of a day are spent
	UpstreamSlowdown Limit = "upstream-slow" // upstream has asked to wait
)

// Verdict says whether a submission may begin, and if not, when to ask again.
type Verdict struct {
	Limit  Limit
	Until  time.Time // the zero time for ConnectionLimit: when one has ended
	Reason string    // of UpstreamSlowdown, in words
}

// The units of submission_counts, and how long one counts. Counts are kept by second and by hour, so that they are as
// many however much is sent; what begins within such a span counts as if it had been at its end.
const (
	messageUnit     = "messages"
	recipientUnit   = "recipients"
	messageSpan     = time.Second
	recipientSpan   = time.Hour
	messageWindow   = time.Minute
	recipientWindow = 24 * time.Hour
)

func mailboxSubject(mailbox string) string { return "mailbox " + mailbox }
func loginSubject(login string) string     { return "login " + login }

// ErrBuried is wrapped by the error of BeginSubmission for a node that others have taken for dead: it may not send until it
// has said that it lives.
var ErrBuried = errors.New("other gateways have taken this one for dead")

// BeginSubmission notes a submission of a node that lives, if the limits allow it. It must be ended, or cancelled.
//
// A message counts from its begin until a minute after its end, since upstream counts it at some moment between begin and
// end that is not known here.
func (s *Store) BeginSubmission(ctx context.Context, submission Submission, limits SubmissionLimits, now time.Time) (v Verdict, err error) {
	err = s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err := s.engine.serialise(ctx, tx, mailboxSubject(submission.Mailbox)); err != nil {
			return err
		}
		if v, err = judge(ctx, tx, submission, limits, now); err != nil || v.Limit != Unlimited {
			return err
		}
		const insert = `INSERT INTO submissions (id, mailbox, login, node, recipients) SELECT ?, ?, ?, ?, ?
			WHERE EXISTS (SELECT 1 FROM queue_nodes WHERE id = ?)`
		noted, err := affected(tx.ExecContext(ctx, insert, submission.ID, submission.Mailbox, submission.Login, submission.Node, submission.Recipients, submission.Node))
		if err == nil && !noted {
			err = ErrBuried
		}
		return err
	})
	if err != nil {
		return Verdict{}, fmt.Errorf("limits of %s: %w", submission.Mailbox, err)
	}
	return v, nil
}

// WidenSubmission has a submission that was begun be for more recipients, if the mailbox may have so many more within its day.
// A message that has more than a day allows is let go alone: what becomes of it is upstream's to say.
func (s *Store) WidenSubmission(ctx context.Context, submission Submission, recipients int, limits SubmissionLimits, now time.Time) (v Verdict, err error) {
	more := min(recipients, limits.RecipientsPerDay) - submission.Recipients
	if more <= 0 {
		return Verdict{}, nil
	}
	err = s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		v = Verdict{}
		if err := s.engine.serialise(ctx, tx, mailboxSubject(submission.Mailbox)); err != nil {
			return err
		}
		var begun int
		const active = `SELECT CAST(COALESCE(SUM(recipients), 0) AS BIGINT) FROM submissions WHERE mailbox = ?`
		if err := tx.QueryRowContext(ctx, active, submission.Mailbox).Scan(&begun); err != nil {
			return err
		}
		until, err := spent(ctx, tx, mailboxSubject(submission.Mailbox), recipientUnit, limits.RecipientsPerDay-begun-more, recipientSpan, recipientWindow, now)
		if err != nil {
			return err
		}
		if !until.IsZero() {
			v = Verdict{Limit: RecipientLimit, Until: until}
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE submissions SET recipients = recipients + ? WHERE id = ?`, more, submission.ID)
		return err
	})
	if err != nil {
		return Verdict{}, fmt.Errorf("recipients of %s: %w", submission.Mailbox, err)
	}
	return v, nil
}

// JudgeSubmission says what BeginSubmission would, and notes nothing.
func (s *Store) JudgeSubmission(ctx context.Context, submission Submission, limits SubmissionLimits, now time.Time) (Verdict, error) {
	v, err := judge(ctx, s.reader, submission, limits, now)
	if err != nil {
		return Verdict{}, fmt.Errorf("limits of %s: %w", submission.Mailbox, err)
	}
	return v, nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

func judge(ctx context.Context, db queryer, submission Submission, limits SubmissionLimits, now time.Time) (Verdict, error) {
	connections := limits.Connections
	pace, err := scanPace(db.QueryRowContext(ctx, `SELECT `+paceColumns+` FROM submission_paces WHERE mailbox = ?`, submission.Mailbox))
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return Verdict{}, err
	default:
		if pace.NotBefore.After(now) && pace.NotBefore.Before(now.Add(maxSlowdown)) {
			return Verdict{UpstreamSlowdown, pace.NotBefore, pace.Reason}, nil
		}
		if pace.Connections > 0 && (connections == 0 || pace.Connections < connections) {
			connections = pace.Connections
		}
	}
	var ofMailbox, ofLogin, recipients int
	const active = `SELECT COUNT(*), COALESCE(SUM(CASE WHEN login = ? THEN 1 ELSE 0 END), 0), CAST(COALESCE(SUM(recipients), 0) AS BIGINT) FROM submissions WHERE mailbox = ?`
	if err := db.QueryRowContext(ctx, active, submission.Login, submission.Mailbox).Scan(&ofMailbox, &ofLogin, &recipients); err != nil {
		return Verdict{}, err
	}
	if connections > 0 && ofMailbox >= connections {
		return Verdict{Limit: ConnectionLimit}, nil
	}
	for _, check := range []struct {
		limit          Limit
		most, now, add int
		subject, unit  string
		span, window   time.Duration
	}{
		{MessageLimit, limits.PerMinute, ofMailbox, 1, mailboxSubject(submission.Mailbox), messageUnit, messageSpan, messageWindow},
		{LoginLimit, limits.LoginPerMinute, ofLogin, 1, loginSubject(submission.Login), messageUnit, messageSpan, messageWindow},
		{RecipientLimit, limits.RecipientsPerDay, recipients, submission.Recipients, mailboxSubject(submission.Mailbox), recipientUnit, recipientSpan, recipientWindow},
	} {
		if check.most == 0 {
			continue
		}
		until, err := spent(ctx, db, check.subject, check.unit, check.most-check.now-check.add, check.span, check.window, now)
		if err != nil {
			return Verdict{}, err
		}
		if !until.IsZero() {
			return Verdict{Limit: check.limit, Until: until}, nil
		}
	}
	return Verdict{}, nil
}

// spent looks at the counts of a window. If they are no more than room, it gives the zero time; otherwise when enough of
// them will not count any more. Counts from the future, from before the clock was set back, do not count.
func spent(ctx context.Context, db queryer, subject, unit string, room int, span, window time.Duration, now time.Time) (time.Time, error) {
	const query = `SELECT since, count FROM submission_counts WHERE subject = ? AND unit = ? AND since > ? AND since <= ? ORDER BY since DESC`
	found, err := db.QueryContext(ctx, query, subject, unit, now.Add(-window-span).UnixMilli(), now.Add(window).UnixMilli())
	if err != nil {
		return time.Time{}, err
	}
	defer found.Close()
	total := 0
	for found.Next() {
		var since int64
		var count int
		if err := found.Scan(&since, &count); err != nil {
			return time.Time{}, err
		}
		if total += count; total > room {
			// The newest span that does not fit has to leave the window first.
			return time.UnixMilli(since).Add(span + window), found.Err()
		}
	}
	if room < 0 && found.Err() == nil { // those under way alone are too many
		return now.Add(span), nil
	}
	return time.Time{}, found.Err()
}

// EndSubmission ends a submission that may have reached upstream: it counts from now on for its window.
func (s *Store) EndSubmission(ctx context.Context, submission Submission, now time.Time) error {
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.engine.serialise(ctx, tx, mailboxSubject(submission.Mailbox)); err != nil {
			return err
		}
		if ended, err := affected(tx.ExecContext(ctx, `DELETE FROM submissions WHERE id = ?`, submission.ID)); err != nil || !ended {
			return err
		}
		return count(ctx, tx, submission, now)
	})
	if err != nil {
		return fmt.Errorf("counting a message of %s: %w", submission.Mailbox, err)
	}
	return nil
}

// count adds an ended submission to the counts of its mailbox and its login, and removes those that are over.
func count(ctx context.Context, tx *sql.Tx, submission Submission, now time.Time) error {
	for _, add := range []struct {
		subject, unit string
		n             int
		span, window  time.Duration
	}{
		{mailboxSubject(submission.Mailbox), messageUnit, 1, messageSpan, messageWindow},
		{loginSubject(submission.Login), messageUnit, 1, messageSpan, messageWindow},
		{mailboxSubject(submission.Mailbox), recipientUnit, submission.Recipients, recipientSpan, recipientWindow},
	} {
		if err := addCount(ctx, tx, add.subject, add.unit, add.n, add.span, add.window, now); err != nil {
			return err
		}
	}
	return nil
}

func addCount(ctx context.Context, tx *sql.Tx, subject, unit string, n int, span, window time.Duration, now time.Time) error {
	const upsert = `INSERT INTO submission_counts (subject, unit, since, count) VALUES (?, ?, ?, ?)
		ON CONFLICT (subject, unit, since) DO UPDATE SET count = submission_counts.count + excluded.count`
	if _, err := tx.ExecContext(ctx, upsert, subject, unit, now.Truncate(span).UnixMilli(), n); err != nil {
		return err
	}
	const prune = `DELETE FROM submission_counts WHERE subject = ? AND unit = ? AND since < ?`
	_, err := tx.ExecContext(ctx, prune, subject, unit, now.Add(-window-2*span).UnixMilli())
	return err
}

// Submissions gives what a node has begun and not ended.
func (s *Store) Submissions(ctx context.Context, node string) ([]Submission, error) {
	const query = `SELECT id, mailbox, login, node, recipients FROM submissions WHERE node = ?`
	found, err := rows(ctx, s.reader, scanSubmission, query, node)
	if err != nil {
		return nil, fmt.Errorf("what node %s is sending: %w", node, err)
	}
	return found, nil
}

func scanSubmission(row scanner) (s Submission, err error) {
	err = row.Scan(&s.ID, &s.Mailbox, &s.Login, &s.Node, &s.Recipients)
	return s, err
}

// CancelSubmission ends a submission that did not reach upstream.
func (s *Store) CancelSubmission(ctx context.Context, submission Submission) error {
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM submissions WHERE id = ?`, submission.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("taking back a message of %s: %w", submission.Mailbox, err)
	}
	return nil
}

// AdmitRecipients counts recipients that a login has had accepted, if there are no more than most in 24 hours with them.
// Otherwise it counts nothing, and gives when there will be room.
func (s *Store) AdmitRecipients(ctx context.Context, login string, n, most int, now time.Time) (until time.Time, err error) {
	err = s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err := s.engine.serialise(ctx, tx, loginSubject(login)); err != nil {
			return err
		}
		until, err = spent(ctx, tx, loginSubject(login), recipientUnit, most-n, recipientSpan, recipientWindow, now)
		if err != nil || !until.IsZero() {
			return err
		}
		return addCount(ctx, tx, loginSubject(login), recipientUnit, n, recipientSpan, recipientWindow, now)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("recipients of %q: %w", login, err)
	}
	return until, nil
}
