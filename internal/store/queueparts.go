package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// PartSize is the most of a message's content that one row holds, in bytes: rows of 256 KB with their sealing. Larger
// ones make both engines hold a multiple of them in memory.
const PartSize = 256<<10 - 64

// Part is a part of a message's content.
type Part struct {
	Number  int // from 0
	Content []byte
}

// WriteParts writes parts of a message that is not in the queue yet, without a sync: [Store.Enqueue] makes them durable,
// if the generation is then still the one that was current before the first of them was written.
func (s *Store) WriteParts(ctx context.Context, message string, parts []Part) error {
	sealed, err := s.sealParts(message, parts)
	if err == nil {
		err = s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) error { return s.insertParts(ctx, tx, message, sealed) })
	}
	if err != nil {
		return fmt.Errorf("writing message %s: %w", message, err)
	}
	return nil
}

// partData is what a part is sealed with.
func partData(message string, number int) []byte {
	ad := append([]byte("postern/queue-part/1\x00"), message...)
	return binary.AppendVarint(append(ad, 0), int64(number))
}

// sealParts seals the contents of parts.
func (s *Store) sealParts(message string, parts []Part) ([]Part, error) {
	sealed := make([]Part, len(parts))
	for i, part := range parts {
		content, err := s.ring.Seal(part.Content, partData(message, part.Number))
		if err != nil {
			return nil, fmt.Errorf("part %d of message %s: %w", part.Number, message, err)
		}
		sealed[i] = Part{part.Number, content}
	}
	return sealed, nil
}

func (s *Store) insertParts(ctx context.Context, tx *sql.Tx, message string, sealed []Part) error {
	for _, part := range sealed {
		const insert = `INSERT INTO queue_parts (message, number, written, sealed) VALUES (?, ?, ?, ?)`
		if _, err := tx.ExecContext(ctx, insert, message, part.Number, s.Now().UnixMilli(), part.Content); err != nil {
			return err
		}
	}
	return nil
}

// complete makes sure that all parts of a message are there: those that were written before without a sync are lost when
// the server of the database falls.
func complete(ctx context.Context, tx *sql.Tx, m QueuedMessage, last int) error {
	if m.Parts == last {
		return nil
	}
	var there int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM queue_parts WHERE message = ?`, m.ID).Scan(&there); err != nil {
		return err
	}
	if there != m.Parts {
		return fmt.Errorf("%d of its %d parts are there: the database has lost what was written", there, m.Parts)
	}
	return nil
}

// ErrDamaged is wrapped by the error of a part that is missing, or does not open: it was changed, or belongs elsewhere.
var ErrDamaged = errors.New("the message is damaged")

// ReadPart gives a part of a message's content.
func (s *Store) ReadPart(ctx context.Context, message string, number int) ([]byte, error) {
	var sealed []byte
	err := s.reader.QueryRowContext(ctx, `SELECT sealed FROM queue_parts WHERE message = ? AND number = ?`, message, number).Scan(&sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("part %d of message %s is missing: %w", number, message, ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("reading part %d of message %s: %w", number, message, err)
	}
	content, err := s.ring.Unseal(sealed, partData(message, number))
	if err != nil {
		return nil, fmt.Errorf("part %d of message %s: %w: %w", number, message, ErrDamaged, err)
	}
	return content, nil
}

// DropParts removes what was written of messages that never came into the queue: of one by its id, or of all that were
// begun before a time for an empty one.
func (s *Store) DropParts(ctx context.Context, message string, before time.Time) error {
	const orphans = `DELETE FROM queue_parts WHERE written < ? AND NOT EXISTS (SELECT 1 FROM queue_messages WHERE id = queue_parts.message)`
	const one = `DELETE FROM queue_parts WHERE message = ? AND NOT EXISTS (SELECT 1 FROM queue_messages WHERE id = queue_parts.message)`
	err := s.commit(ctx, false, func(ctx context.Context, tx *sql.Tx) (err error) {
		if message == "" {
			_, err = tx.ExecContext(ctx, orphans, before.UnixMilli())
		} else {
			_, err = tx.ExecContext(ctx, one, message)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("removing what is left of messages that were not accepted: %w", err)
	}
	return nil
}
