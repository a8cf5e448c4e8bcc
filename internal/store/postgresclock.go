package store

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// clockCheck is how often the server is asked for its time.
const clockCheck = 5 * time.Second

// sharedClock is the clock of a server, as far as it can be known here: gateways whose own clocks differ count the same
// minute with it. Between two looks it goes by this process's monotonic clock. The zero value is this machine's clock.
type sharedClock struct {
	reading atomic.Pointer[clockReading]
	end     context.CancelFunc
	wait    sync.WaitGroup
}

// clockReading is what the server's clock was at a moment of this process.
type clockReading struct {
	theirs time.Time
	ours   time.Time // with a monotonic reading
}

func (c *sharedClock) now() time.Time {
	r := c.reading.Load()
	if r == nil {
		return time.Now()
	}
	return r.theirs.Add(time.Since(r.ours))
}

// start looks at the server's clock, and goes on doing so until stop.
func (c *sharedClock) start(ctx context.Context, db *sql.DB) error {
	if err := c.look(ctx, db); err != nil {
		return err
	}
	ctx, c.end = context.WithCancel(context.Background())
	c.wait.Go(func() {
		ticker := time.NewTicker(clockCheck)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = c.look(ctx, db) // without an answer the clock goes on; whoever needs the server itself sees the error
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// look asks for the time: it was what the answer says at some moment between asking and hearing.
func (c *sharedClock) look(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, clockCheck)
	defer cancel()
	asked := time.Now()
	var millis int64
	const query = `SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint`
	if err := db.QueryRowContext(ctx, query).Scan(&millis); err != nil {
		return err
	}
	c.reading.Store(&clockReading{time.UnixMilli(millis).UTC(), asked.Add(time.Since(asked) / 2)})
	return nil
}

func (c *sharedClock) stop() {
	if c.end != nil {
		c.end()
	}
	c.wait.Wait()
}
