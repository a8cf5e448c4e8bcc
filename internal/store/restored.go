package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
)

// Snapshot writes a copy of the database to a new file, as it is at one moment, while others go on writing. The error of an
// engine that cannot do that says what can.
func (s *Store) Snapshot(ctx context.Context, path string) error {
	if err := s.engine.snapshot(ctx, path); err != nil {
		return fmt.Errorf("copying the store to %q: %w", path, err)
	}
	return nil
}

// Since is what happened after a backup was made, as far as it is known, in its order. What only makes the copy safer
// than it was is carried out on it.
type Since struct {
	Revoked   []Revocation
	Locks     []Lock      // begun since and not ended
	Unlocked  []string    // logins whose lock was ended since
	Lockdowns []Lockdown  // likewise begun
	Lifted    []Scope     // and ended
	Factors   []string    // ids that were removed
	Resets    [][2]string // tenant id and object id of whose factors were all removed
	Sent      []string    // ids of messages that were delivered, bounced or dropped since
}

// Revocation is an app password that was revoked.
type Revocation struct {
	ID string
	At time.Time
}

// RestoredMark says that a database is a copy from a backup, and what was done to it.
type RestoredMark struct {
	Made     time.Time `json:"made"`     // when the backup was
	Restored time.Time `json:"restored"` // when the mark was made
	Held     int       `json:"held"`     // messages of the queue
	Sent     int       `json:"sent"`     // of these, known to be sent since
	Revoked  int       `json:"revoked"`  // app passwords that were revoked since
}

// restoredFact is the name of the fact that holds a [RestoredMark].
const restoredFact = "restored"

// MarkRestored makes of the database that dsn names a copy from a backup that was made at a time: everything in its queue is
// held, since it may have been sent after the backup was made, and goes only when somebody says so; what was on its way
// counts as sent; and what is known of the time since is carried out. It needs no keys. Nobody else may have the database
// open.
func MarkRestored(ctx context.Context, dsn string, made time.Time, since Since, given ...Option) (RestoredMark, error) {
	e, err := newEngine(dsn, given)
	if err != nil {
		return RestoredMark{}, err
	}
	mark := RestoredMark{Made: made.UTC(), Restored: time.Now().UTC()}
	err = e.withoutKeys(ctx, func(db *sql.DB, dialect goose.Dialect, engine string) error {
		version, err := schemaVersion(ctx, db)
		if err != nil {
			return fmt.Errorf("it is not a database of Postern: %w", err)
		}
		newest, err := newestVersion(migrationsOf(engine))
		if err == nil && version > newest {
			err = fmt.Errorf("its schema is version %d, and this program knows versions up to %d: use a newer Postern", version, newest)
		}
		if err == nil {
			err = migrate(ctx, dialect, db, migrationsOf(engine))
		}
		if err != nil {
			return err
		}
		return oneTransaction(ctx, db, func(ctx context.Context, tx *sql.Tx) error { return mark.write(ctx, tx, since) })
	})
	if err != nil {
		return mark, fmt.Errorf("marking store %s as restored: %w", e, err)
	}
	return mark, nil
}

// write carries out all that a mark says.
func (m *RestoredMark) write(ctx context.Context, tx *sql.Tx, since Since) error {
	for _, step := range []func(context.Context, *sql.Tx, Since) error{m.revoke, m.shutOut, m.holdQueue, m.forgetNodes} {
		if err := step(ctx, tx, since); err != nil {
			return err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, restoredFact, string(text))
	return err
}

// revoke takes away again what was taken away since: app passwords and second factors.
func (m *RestoredMark) revoke(ctx context.Context, tx *sql.Tx, since Since) error {
	for _, r := range since.Revoked {
		changed, err := affected(tx.ExecContext(ctx, `UPDATE app_passwords SET revoked = ? WHERE id = ? AND revoked IS NULL`, millis(r.At), r.ID))
		if err != nil {
			return err
		}
		if changed {
			m.Revoked++
		}
	}
	for _, id := range since.Factors {
		if _, err := tx.ExecContext(ctx, `DELETE FROM factors WHERE id = ?`, id); err != nil {
			return err
		}
	}
	for _, person := range since.Resets {
		if _, err := tx.ExecContext(ctx, `DELETE FROM factors WHERE tenant_id = ? AND object_id = ?`, person[0], person[1]); err != nil {
			return err
		}
	}
	return nil
}

// shutOut brings locks and lockdowns to how they were last.
func (m *RestoredMark) shutOut(ctx context.Context, tx *sql.Tx, since Since) error {
	for _, login := range since.Unlocked {
		if _, err := tx.ExecContext(ctx, `DELETE FROM login_locks WHERE login = ?`, login); err != nil {
			return err
		}
	}
	for _, scope := range since.Lifted {
		if _, err := tx.ExecContext(ctx, `DELETE FROM lockdowns WHERE scope = ? AND name = ?`, string(scope.Kind), scope.Name); err != nil {
			return err
		}
	}
	for _, l := range since.Locks {
		const insert = `INSERT INTO login_locks (` + lockColumns + `) VALUES (?, ?, ?, ?) ON CONFLICT (login) DO NOTHING`
		if _, err := tx.ExecContext(ctx, insert, l.Login, millis(l.Since), printable(l.By), printable(l.Reason)); err != nil {
			return err
		}
	}
	for _, l := range since.Lockdowns {
		const insert = `INSERT INTO lockdowns (` + lockdownColumns + `) VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, name) DO NOTHING`
		if _, err := tx.ExecContext(ctx, insert, string(l.Kind), l.Name, millis(l.Since), printable(l.By), printable(l.Reason)); err != nil {
			return err
		}
	}
	return nil
}

// holdQueue holds what may have been sent since.
func (m *RestoredMark) holdQueue(ctx context.Context, tx *sql.Tx, since Since) error {
	reason := "restored from a backup of " + m.Made.Format(time.DateTime) + " UTC, and perhaps sent since; postern queue release --restored lets it go"
	const hold = `UPDATE queue_messages SET state = 'held', reason = ?, restored = 1 WHERE state = 'waiting' OR state = 'barred'`
	result, err := tx.ExecContext(ctx, hold, reason)
	if err != nil {
		return err
	}
	held, err := result.RowsAffected()
	if err != nil {
		return err
	}
	m.Held = int(held)
	const known = `UPDATE queue_messages SET restored = 2, reason = ? WHERE id = ? AND restored = 1`
	for _, id := range since.Sent {
		changed, err := affected(tx.ExecContext(ctx, known, "restored from a backup of "+m.Made.Format(time.DateTime)+
			" UTC; the audit log says that it was delivered, bounced or dropped since: postern queue drop removes it", id))
		if err != nil {
			return err
		}
		if changed {
			m.Sent++
		}
	}
	return nil
}

// forgetNodes buries the gateways of the time of the backup. What they were sending counts as sent, so that upstream's limits
// hold.
func (m *RestoredMark) forgetNodes(ctx context.Context, tx *sql.Tx, _ Since) error {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT node FROM submissions`)
	if err != nil {
		return err
	}
	var nodes []string
	for rows.Next() {
		var node string
		if err := rows.Scan(&node); err != nil {
			return errors.Join(err, rows.Close())
		}
		nodes = append(nodes, node)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, node := range nodes {
		if err := countAsSent(ctx, tx, node, m.Restored); err != nil {
			return err
		}
	}
	for _, statement := range []string{`UPDATE queue_messages SET node = NULL`, `DELETE FROM queue_nodes`, `DELETE FROM token_leases`} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Restored gives the mark of a database that was restored, also long ago; false for any other.
func (s *Store) Restored(ctx context.Context) (m RestoredMark, is bool, err error) {
	var text string
	switch err := s.reader.QueryRowContext(ctx, factSQL, restoredFact).Scan(&text); {
	case errors.Is(err, sql.ErrNoRows):
		return m, false, nil
	case err != nil:
		return m, false, fmt.Errorf("whether the store was restored: %w", err)
	}
	return m, true, json.Unmarshal([]byte(text), &m)
}

// RestoredMessages counts the messages that are held since the store was restored: those that may have been sent, and those
// that are known to have been.
func (s *Store) RestoredMessages(ctx context.Context) (perhaps, sent int, err error) {
	const query = `SELECT COALESCE(SUM(CASE WHEN restored = 1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN restored = 2 THEN 1 ELSE 0 END), 0)
		FROM queue_messages WHERE restored > 0 AND state = 'held'`
	if err := s.reader.QueryRowContext(ctx, query).Scan(&perhaps, &sent); err != nil {
		return 0, 0, fmt.Errorf("counting restored messages: %w", err)
	}
	return perhaps, sent, nil
}

// ReleaseRestored lets all messages go that are held since the store was restored, but for those that are known to have
// been sent. It gives their number.
func (s *Store) ReleaseRestored(ctx context.Context, reason string, now time.Time) (n int, err error) {
	const release = `UPDATE queue_messages SET state = 'waiting', restored = 0, reason = ?, next_try = ? WHERE restored = 1 AND state = 'held'`
	err = s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, release, printable(reason), now.UnixMilli())
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		n = int(changed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("releasing restored messages: %w", err)
	}
	return n, nil
}
