package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Pace is how fast upstream wants a mailbox to go, where that is less than its limits.
type Pace struct {
	Mailbox     string
	Connections int // how many at once for now; 0 for no less than the limit
	NotBefore   time.Time
	Changed     time.Time
	Reason      string // upstream's word
}

// maxSlowdown is the longest that a mailbox is left alone; what is further away comes from a clock that was set back.
const maxSlowdown = 2 * time.Hour

const paceColumns = `mailbox, connections, not_before, changed, reason`

func scanPace(row scanner) (p Pace, err error) {
	var notBefore, changed sql.NullInt64
	err = row.Scan(&p.Mailbox, &p.Connections, &notBefore, &changed, &p.Reason)
	p.NotBefore, p.Changed = fromMillis(notBefore), fromMillis(changed)
	return p, err
}

// ChangePace changes the pace of a mailbox. f is given the present one, which is the zero Pace but for its mailbox where
// there is none, and gives the new one; one without Connections is removed.
func (s *Store) ChangePace(ctx context.Context, mailbox string, f func(Pace) Pace) error {
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.engine.serialise(ctx, tx, "pace", mailbox); err != nil {
			return err
		}
		pace, err := scanPace(tx.QueryRowContext(ctx, `SELECT `+paceColumns+` FROM submission_paces WHERE mailbox = ?`, mailbox))
		if errors.Is(err, sql.ErrNoRows) {
			pace, err = Pace{Mailbox: mailbox}, nil
		}
		if err != nil {
			return err
		}
		if pace = f(pace); pace.Connections == 0 {
			_, err = tx.ExecContext(ctx, `DELETE FROM submission_paces WHERE mailbox = ?`, mailbox)
			return err
		}
		const upsert = `INSERT INTO submission_paces (` + paceColumns + `) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (mailbox) DO UPDATE SET connections = excluded.connections, not_before = excluded.not_before,
			changed = excluded.changed, reason = excluded.reason`
		_, err = tx.ExecContext(ctx, upsert, mailbox, pace.Connections, pace.NotBefore.UnixMilli(), pace.Changed.UnixMilli(), printable(pace.Reason))
		return err
	})
	if err != nil {
		return fmt.Errorf("pace of %s: %w", mailbox, err)
	}
	return nil
}

// Pace gives the pace of a mailbox; the zero Pace but for its mailbox where upstream has not asked for one.
func (s *Store) Pace(ctx context.Context, mailbox string) (Pace, error) {
	pace, err := scanPace(s.reader.QueryRowContext(ctx, `SELECT `+paceColumns+` FROM submission_paces WHERE mailbox = ?`, mailbox))
	if errors.Is(err, sql.ErrNoRows) {
		return Pace{Mailbox: mailbox}, nil
	}
	if err != nil {
		return Pace{}, fmt.Errorf("pace of %s: %w", mailbox, err)
	}
	return pace, nil
}
