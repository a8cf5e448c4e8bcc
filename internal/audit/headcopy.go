package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// headCopy is a file that gets every head that the log's own file of heads gets.
type headCopy struct {
	from, to string
	stop     context.CancelFunc

	mu  sync.Mutex
	err error // of the last look
}

// run copies until ctx ends, and once more then. It is alone with its file: one that hangs holds up nobody.
func (c *headCopy) run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(keepCheck)
	defer ticker.Stop()
	for over := false; !over; {
		err := c.update()
		c.mu.Lock()
		before := c.err
		c.err = err
		c.mu.Unlock()
		if err != nil && before == nil {
			log.Error("a copy of the audit log's heads cannot be written", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			over = true
		}
	}
	if err := c.update(); err != nil {
		log.Error("a copy of the audit log's heads cannot be written", "error", err)
	}
}

func (c *headCopy) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// update adds what the copy does not have yet. A copy that is no beginning of the log's heads stays as it is: one of the two was
// changed, or belongs to another log, and it is for somebody to look which.
func (c *headCopy) update() error {
	heads, err := os.ReadFile(c.from)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.to, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	has, err := io.ReadAll(io.LimitReader(file, int64(len(heads))+1))
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(heads, has) {
		return fmt.Errorf("%s has other heads than %s: one of them was changed, or is of another log; postern audit verify --head %s says more", c.to, c.from, c.to)
	}
	if len(has) == len(heads) {
		return nil
	}
	_, err = file.Write(heads[len(has):])
	return errors.Join(err, file.Sync())
}
