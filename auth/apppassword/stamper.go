package apppassword

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// stampEvery is how long uses are gathered before they are written.
	stampEvery = time.Second
	// stampTimeout is how long one writing may take.
	stampTimeout = 10 * time.Second
)

// Stamper notes the uses of app passwords off the path of those who sign in: it gathers them for a second and writes
// them together, the last use of each password only. A crash loses that second. It is safe for concurrent use.
type Stamper struct {
	store Store
	log   *slog.Logger

	mu      sync.Mutex
	pending map[string]Use // id of a password → its last use that is not written yet

	wake chan struct{} // holds one when pending has something
	stop chan struct{} // closed by Close
	done chan struct{} // closed when the goroutine has ended
	once sync.Once
}

// NewStamper starts a stamper, whose goroutine runs until Close. Trouble with the store goes to log; the uses are kept
// and tried again.
func NewStamper(store Store, log *slog.Logger) *Stamper {
	s := &Stamper{
		store:   store,
		log:     log,
		pending: make(map[string]Use),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	go s.writeUses()
	return s
}

// Stamp notes a use. It does not wait for the store.
func (s *Stamper) Stamp(use Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merge(use)
}

// merge keeps the later one of two uses. The caller holds the lock.
func (s *Stamper) merge(use Use) {
	if known, ok := s.pending[use.ID]; !ok || known.At.Before(use.At) {
		s.pending[use.ID] = use
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close writes what is pending and ends the goroutine. Later uses are lost.
func (s *Stamper) Close() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

// writeUses is the stamper's goroutine. While nobody signs in it sleeps.
func (s *Stamper) writeUses() {
	defer close(s.done)
	failing := false
	for stopped := false; !stopped; {
		select {
		case <-s.wake:
			stopped = s.pause()
		case <-s.stop:
			stopped = true
		}
		err := s.flush()
		if err != nil && (stopped || !failing) { // not every second of a long failure
			s.log.Error("the last uses of app passwords cannot be written", "error", err, "retry", !stopped)
		}
		failing = err != nil
	}
}

// pause lets uses gather. It reports whether the stamper is closed meanwhile.
func (s *Stamper) pause() (stopped bool) {
	timer := time.NewTimer(stampEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-s.stop:
		return true
	}
}

// flush writes what is pending, or keeps it when that fails.
func (s *Stamper) flush() error {
	s.mu.Lock()
	uses := make([]Use, 0, len(s.pending))
	for _, use := range s.pending {
		uses = append(uses, use)
	}
	clear(s.pending)
	s.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	slices.SortFunc(uses, func(a, b Use) int { return a.At.Compare(b.At) })
	ctx, cancel := context.WithTimeout(context.Background(), stampTimeout)
	defer cancel()
	err := s.store.StampUses(ctx, uses)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, use := range uses {
			s.merge(use)
		}
	}
	return err
}
