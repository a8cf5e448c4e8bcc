package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxGroup is how many changes share one commit at most.
const maxGroup = 128

// pending is a part of a transaction that waits for its commit.
type pending struct {
	do      func(context.Context, *sql.Tx) error
	durable bool
	done    chan error
}

// committer puts the changes of many callers into one transaction: one sync of the disk carries all of them, which is
// what makes a queue fast that syncs before it answers. While one transaction is on its way, the next one gathers.
//
// Where the engine has many writers, each change is committed on its own.
type committer struct {
	engine  engine
	changes chan pending
	stop    chan struct{}
	closing sync.Once
	wait    sync.WaitGroup

	mu         sync.Mutex
	generation int              // of what was written without a sync; see Store.Generation
	faults     func(Step) error // nil but in tests
}

// Step is a moment at which a disk can fail.
type Step string

const (
	// StepWrite is the writing of one change.
	StepWrite Step = "write"
	// StepSync is the sync of a commit in which something has to be durable.
	StepSync Step = "sync"
)

// FailWith makes writes and commits of the queue's tables fail as a full or a broken disk does: f is asked before each
// step. It is for tests of what happens then.
func (s *Store) FailWith(f func(Step) error) {
	s.committer.mu.Lock()
	defer s.committer.mu.Unlock()
	s.committer.faults = f
}

func newCommitter(e engine) *committer {
	c := &committer{engine: e, changes: make(chan pending), stop: make(chan struct{})}
	if e.grouped() {
		c.wait.Go(c.run)
	}
	return c
}

// close waits for the commit under way.
func (c *committer) close() {
	c.closing.Do(func() { close(c.stop) })
	c.wait.Wait()
}

var errStoreClosed = errors.New("the store is closed")

// commit runs do in a transaction that it may share with other callers, and returns once that is committed: on the disk,
// if durable; otherwise with the operating system, which forgets it only when the machine loses its power.
//
// do may run in no transaction at all when the store is closed, or more than once. It must not block.
func (s *Store) commit(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.engine.grouped() {
		return s.committer.alone(ctx, durable, do)
	}
	own := pending{do: do, durable: durable, done: make(chan error, 1)}
	select {
	case s.committer.changes <- own:
	case <-s.committer.stop:
		return errStoreClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-own.done // whoever has handed over a change has to know what became of it
}

// onceTime is how long [Store.commitOnce] tries to find out what became of a commit.
const onceTime = 10 * time.Second

// commitOnce is a durable commit of new rows whose keys were chosen for it alone. Where the answer to the commit is lost, it is
// made anew: the database takes the rows if they are not there, and otherwise says that they are, after any commit under way.
func (s *Store) commitOnce(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	err := s.commit(ctx, true, do)
	if !s.engine.answerLost(err) {
		return err
	}
	for deadline := time.Now().Add(onceTime); ; {
		again := s.commit(ctx, true, do)
		switch {
		case again == nil, s.engine.duplicate(again):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w, and then: %w", err, again)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (c *committer) run() {
	for {
		select {
		case first := <-c.changes:
			c.commitGroup(c.gather(first))
		case <-c.stop:
			return
		}
	}
}

// gather takes the changes that wait already.
func (c *committer) gather(first pending) []pending {
	group := []pending{first}
	for len(group) < maxGroup {
		select {
		case next := <-c.changes:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// commitGroup runs a group in one transaction. A change that fails takes back what it did itself and no more. When the
// transaction fails, all of them have.
func (c *committer) commitGroup(group []pending) {
	if len(group) == 1 {
		group[0].done <- c.commitOne(group[0])
		return
	}
	errs := make([]error, len(group))
	durable := false
	for _, change := range group {
		durable = durable || change.durable
	}
	err := c.engine.transact(context.Background(), durable, func(ctx context.Context, tx *sql.Tx) error {
		for i, change := range group {
			errs[i] = c.isolated(ctx, tx, change)
		}
		if !durable {
			return nil
		}
		return c.fault(StepSync)
	})
	if err != nil {
		c.failed()
	}
	for i, change := range group {
		change.done <- errors.Join(errs[i], err)
	}
}

// commitOne runs one change in a transaction, which is taken back with it.
func (c *committer) commitOne(change pending) error {
	var failed error // of the change itself
	err := c.engine.transact(context.Background(), change.durable, func(ctx context.Context, tx *sql.Tx) error {
		if failed = c.fault(StepWrite); failed != nil {
			return failed
		}
		if failed = change.do(ctx, tx); failed != nil || !change.durable {
			return failed
		}
		return c.fault(StepSync)
	})
	if err != nil && failed == nil {
		c.failed()
	}
	return err
}

// loneTimeout bounds a change that is committed on its own: the connection to the database may hang.
const loneTimeout = 30 * time.Second

// alone commits one change. Once begun it goes on when ctx ends: whoever has begun a change has to know what became of it.
func (c *committer) alone(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loneTimeout)
	defer cancel()
	return c.engine.transact(ctx, durable, func(ctx context.Context, tx *sql.Tx) error {
		if err := c.fault(StepWrite); err != nil {
			return err
		}
		if err := do(ctx, tx); err != nil || !durable {
			return err
		}
		return c.fault(StepSync)
	})
}

// isolated runs one change within a savepoint.
func (c *committer) isolated(ctx context.Context, tx *sql.Tx, change pending) error {
	if err := c.fault(StepWrite); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
		return err
	}
	err := change.do(ctx, tx)
	if err != nil {
		_, undo := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT change")
		err = errors.Join(err, undo)
	}
	_, release := tx.ExecContext(ctx, "RELEASE SAVEPOINT change")
	return errors.Join(err, release)
}

func (c *committer) fault(step Step) error {
	c.mu.Lock()
	faults := c.faults
	c.mu.Unlock()
	if faults == nil {
		return nil
	}
	return faults(step)
}

// failed begins a new generation after a commit that failed. What was written before without a sync may be lost even
// if the next sync succeeds: the kernel reports a failed write once, and then takes the page for clean (threat model
// I-04). A commit of something small goes over the place in the log where the failed one may still lie, whole, for a
// recovery to find. It has to be something new: SQLite writes no page that stays as it is.
func (c *committer) failed() {
	c.mu.Lock()
	c.generation++
	c.mu.Unlock()
	_ = c.engine.transact(context.Background(), true, func(ctx context.Context, tx *sql.Tx) error {
		const note = `INSERT INTO facts (name, value) VALUES ('failed commit', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`
		_, err := tx.ExecContext(ctx, note, rand.Text())
		return err
	})
}

// Generation numbers what is written without a sync of its own. What was written in an earlier generation than the
// present one may be lost, and must be written again before anything that needs it is promised.
func (s *Store) Generation() int {
	s.committer.mu.Lock()
	defer s.committer.mu.Unlock()
	return s.committer.generation
}

// sameGeneration gives an error if a commit has failed since a generation.
func (s *Store) sameGeneration(generation int) error {
	if now := s.Generation(); now != generation {
		return fmt.Errorf("the disk has failed since it was written (generation %d, now %d)", generation, now)
	}
	return nil
}
