package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"postern/internal/store"
)

// content reads a message's content out of the store, a part at a time. Its error wraps [store.ErrDamaged] when it is not
// what was accepted.
type content struct {
	ctx    context.Context
	store  *store.Store
	id     string
	parts  int
	size   int64 // bytes that are still to come
	number int   // of the next part
	rest   []byte
}

func (q *Queue) content(ctx context.Context, row store.QueuedMessage) *content {
	return &content{ctx: ctx, store: q.config.Store, id: row.ID, parts: row.Parts, size: row.Size}
}

func (c *content) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.number == c.parts {
			if c.size != 0 {
				return 0, store.ErrDamaged
			}
			return 0, io.EOF
		}
		part, err := c.store.ReadPart(c.ctx, c.id, c.number)
		if err != nil {
			return 0, err
		}
		c.number, c.rest = c.number+1, part
		if c.size -= int64(len(part)); c.size < 0 {
			return 0, store.ErrDamaged
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// maxHeader is how much of a message's header goes into a report, in bytes.
const maxHeader = 64 << 10

// header gives the header of a message, undoubled and without the empty line behind it, and no more than maxHeader of it.
func header(content io.Reader) ([]byte, error) {
	lines := bufio.NewReader(io.LimitReader(content, maxHeader))
	var header []byte
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // cut off in the middle of a line, or of the header
			return header, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return header, nil
		}
		header = append(header, bytes.TrimPrefix(line, []byte("."))...)
	}
}
