package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/handover"
)

const (
	// UpgradeDrain is how long sessions may go on in a process that was succeeded. Exchange ends a session when its token expires,
	// which is after an hour or so: nearly all of them end by themselves.
	UpgradeDrain = 90 * time.Minute
	// upgradeTime bounds the order to upgrade with its answer.
	upgradeTime = handover.StartTime + adminTimeout
	// settleTime is how long the dialogues of a process that was succeeded go on as if nothing had happened. Within it every client that
	// was there has signed in or was sent away (threat model I-28).
	settleTime = time.Minute
)

// upgrade is what a gateway knows of the process that takes its place.
type upgrade struct {
	program   []string // with its arguments; nil where it is not known what to start
	underWay  atomic.Bool
	ending    context.Context // ends when a gateway that stops wants no successor any more
	end       context.CancelFunc
	succeeded chan struct{} // closed when a successor serves
	// Set before succeeded is closed.
	successor *handover.Successor
	drain     time.Duration
}

func newUpgrade(program []string) *upgrade {
	u := &upgrade{program: program, succeeded: make(chan struct{})}
	u.ending, u.end = context.WithCancel(context.Background())
	return u
}

// Upgraded says what took the gateway's place.
type Upgraded struct {
	PID      int    `json:"pid"`
	Before   int    `json:"before"`   // the process that it succeeds
	Sessions int    `json:"sessions"` // that go on in that one
	Drain    string `json:"drain"`    // for how long at most, such as 1h30m0s
}

// upgradeOrder is an administrator's.
type upgradeOrder struct {
	Drain time.Duration `json:"drain,omitempty"` // 0 for UpgradeDrain
}

// Succeeded is closed when a successor serves: the gateway is to be handed over to it ([Gateway.HandOver]).
func (g *Gateway) Succeeded() <-chan struct{} { return g.upgrade.succeeded }

// Successor gives the number of the process that serves in the gateway's place; 0 before Succeeded.
func (g *Gateway) Successor() int {
	if g.succeeded() {
		return g.upgrade.successor.PID
	}
	return 0
}

func (g *Gateway) succeeded() bool {
	select {
	case <-g.upgrade.succeeded:
		return true
	default:
		return false
	}
}

// Upgrade starts the program that this gateway is, as it is on the disk now, and has it serve on the same sockets, with the
// configuration as that is now. Until it does, and if it does not, everything goes on as before: the error and the log say what is
// in the way. Afterwards both serve, until HandOver. by is who wants it, for the audit log, in which it is before it is done.
func (g *Gateway) Upgrade(by string, drain time.Duration) (Upgraded, error) {
	u := g.upgrade
	switch {
	case u.program == nil:
		return Upgraded{}, errors.New("this gateway does not know which program it is, and cannot be upgraded")
	case !u.underWay.CompareAndSwap(false, true):
		return Upgraded{}, errors.New("an upgrade is under way")
	}
	g.log.Info("upgrading", "by", by, "program", u.program[0])
	err := g.state.Audit.Record(audit.GatewayUpgrade{Program: u.program[0], By: by})
	if err == nil {
		err = g.succeed(drain)
	}
	if err != nil {
		u.underWay.Store(false)
		g.log.Error("no upgrade: this process goes on", "by", by, "error", err)
		detail := err.Error()
		failed := audit.GatewayUpgradeFailed{Detail: detail[:min(len(detail), maxRefusal)], By: by}
		return Upgraded{}, errors.Join(err, g.state.Audit.Record(failed))
	}
	done := Upgraded{PID: u.successor.PID, Before: g.pid, Sessions: len(g.sessions.List()), Drain: u.drain.String()}
	g.log.Info("another process serves in the place of this one", "pid", done.PID, "sessions", done.Sessions)
	return done, nil
}

// succeed starts the successor, and lets it be known.
func (g *Gateway) succeed(drain time.Duration) error {
	u := g.upgrade
	successor, err := g.sockets.Succeed(u.ending, u.program[0], u.program[1:])
	if err != nil {
		return err
	}
	g.reloading.Lock() // from here on a reload is the successor's
	defer g.reloading.Unlock()
	if g.stopping.Load() {
		successor.Forsake()
		return errors.New("the gateway is stopping")
	}
	u.successor, u.drain = successor, drain
	if drain <= 0 {
		u.drain = UpgradeDrain
	}
	close(u.succeeded)
	return nil
}

// orderUpgrade carries out an administrator's order.
func (g *Gateway) orderUpgrade(_ context.Context, by string, order io.Reader) (any, error) {
	var o upgradeOrder
	if err := readOrder(order, &o); err != nil {
		return nil, err
	}
	done, err := g.Upgrade(by, o.Drain)
	if err != nil {
		return nil, fmt.Errorf("the old process goes on: %w", err)
	}
	return done, nil
}

// HandOver leaves everything to the successor that serves, and ends when nobody needs this process any more. It stops accepting;
// what only one process may do is the successor's from then on. Clients that are here are served to their end: those that are
// signing in, too. Sessions that stand on something which is taken away are cut off here as well. After settleTime, SMTP clients between
// two messages are told to come back; what is left when the upgrade's drain is over is cut off. When ctx ends, everybody is told
// at once, and what is left is cut off after no more than last.
func (g *Gateway) HandOver(ctx context.Context, last time.Duration) error {
	drain, cancel := context.WithTimeout(context.Background(), g.upgrade.drain)
	defer cancel()
	g.stopping.Store(true)
	g.letGo()
	g.leaveAdmin()
	g.queue.Rest()
	err := errors.Join(g.trail.close(), g.upgrade.successor.Yield())
	settled := time.AfterFunc(settleTime, g.stop)
	defer settled.Stop()
	hurry := context.AfterFunc(ctx, func() {
		g.stop()
		time.AfterFunc(last, cancel)
	})
	defer hurry()
	return errors.Join(err, g.finish(drain))
}

// letGo closes whatever is accepted on. Connections go on.
func (g *Gateway) letGo() {
	g.listeners.close()
	g.sockets.Close()
	if p := g.portal.Load(); p != nil {
		g.wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
			defer cancel()
			_ = p.close(ctx) // finish has its error, if it is not closed by then
		})
	}
	_ = g.closeMonitoring()
}

// upholdFile holds the sessions that are left in a gateway that was succeeded against the configuration file, which the
// successor takes up: they stand on that one now. A file that is not right changes nothing here, as it changes nothing there.
func (g *Gateway) upholdFile() error {
	c, err := config.Load(g.file)
	if err != nil {
		return fmt.Errorf("the sessions that are left: %w", err)
	}
	g.reloading.Lock()
	defer g.reloading.Unlock()
	before := g.generation()
	keepFixed(c, before.config)
	next, err := newGeneration(c, before)
	if err != nil {
		return fmt.Errorf("the sessions that are left: %w", err)
	}
	for _, prepare := range []part{g.upstreamsPart, g.directoryPart} {
		ch, err := prepare(before, next)
		if err != nil {
			return err
		}
		ch.commit()
	}
	g.listeners.uphold(next)
	g.cutUnfounded(before, next)
	return nil
}

// uphold has listeners, which are closed, hold their clients against a generation.
func (ls *listeners) uphold(next *generation) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	served := make([]config.Listener, len(ls.open))
	for i, l := range ls.open {
		served[i].Address = l.address
	}
	keys := listenerKeys(served)
	for i, key := range listenerKeys(next.config.Listeners) {
		if n := slices.Index(keys, key); n >= 0 {
			ls.open[n].serveAs(ls.service(next.config.Listeners[i]), ls.sessions)
		}
	}
}
