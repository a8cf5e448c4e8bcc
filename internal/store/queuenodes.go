package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Node is a process that delivers from the store.
type Node struct {
	ID         string
	Host       string
	PID        int
	AliveUntil time.Time
}

// KeepAlive says that a node lives, and until when that may be believed.
func (s *Store) KeepAlive(ctx context.Context, n Node) error {
	const upsert = `INSERT INTO queue_nodes (id, host, pid, alive_until) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until`
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, upsert, n.ID, n.Host, n.PID, n.AliveUntil.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("telling that node %s lives: %w", n.ID, err)
	}
	return nil
}

// Nodes gives all nodes, dead ones too that nobody has buried yet.
func (s *Store) Nodes(ctx context.Context) ([]Node, error) {
	found, err := rows(ctx, s.reader, func(row scanner) (n Node, err error) {
		var until sql.NullInt64
		err = row.Scan(&n.ID, &n.Host, &n.PID, &until)
		n.AliveUntil = fromMillis(until)
		return n, err
	}, `SELECT id, host, pid, alive_until FROM queue_nodes ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("nodes of the queue: %w", err)
	}
	return found, nil
}

// Bury removes a node that is dead: its messages are free for others, and what it was submitting counts as sent now, as
// it may have been. It gives the number of messages. A node that has given another sign of life since n was read is not dead,
// whatever the time in it, and one that another has buried is done with: nothing changes then.
func (s *Store) Bury(ctx context.Context, n Node, now time.Time) (messages int64, err error) {
	err = s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		messages = 0
		const remove = `DELETE FROM queue_nodes WHERE id = ? AND alive_until = ?`
		dead, err := affected(tx.ExecContext(ctx, remove, n.ID, n.AliveUntil.UnixMilli()))
		if err != nil || !dead {
			return err
		}
		freed, err := tx.ExecContext(ctx, `UPDATE queue_messages SET node = NULL WHERE node = ?`, n.ID)
		if err != nil {
			return err
		}
		if messages, err = freed.RowsAffected(); err != nil {
			return err
		}
		return countAsSent(ctx, tx, n.ID, now)
	})
	if err != nil {
		return 0, fmt.Errorf("node %s, which is dead: %w", n.ID, err)
	}
	return messages, nil
}

func countAsSent(ctx context.Context, tx *sql.Tx, node string, now time.Time) error {
	open, err := rows(ctx, tx, scanSubmission, `SELECT id, mailbox, login, node, recipients FROM submissions WHERE node = ?`, node)
	if err != nil {
		return err
	}
	for _, s := range open {
		if err := count(ctx, tx, s, now); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM submissions WHERE node = ?`, node)
	return err
}
