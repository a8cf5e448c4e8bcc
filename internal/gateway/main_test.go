package gateway

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/internal/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a log that nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// noon is when these tests begin.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// recorder keeps what goes into the audit log.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	broken error // of every Record, where it is set
}

func (r *recorder) Record(event audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		r.events = append(r.events, event)
	}
	return r.broken
}
