package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/session"
)

const (
	// mostTurns is how many turns an accept loop may miss until it counts as stuck.
	mostTurns = 4
	// answerTime is how long the store may take to say anything at all.
	answerTime = 5 * time.Second
)

// Alive reports why the gateway does not answer any more, which nothing but its end mends: an accept loop is stuck, or a call
// of the store does not come back. It is for a watchdog. A store that answers with an error is no reason: sessions go on
// without it, and a restart would end them. It takes no longer than answerTime.
func (g *Gateway) Alive() error {
	if !g.stopping.Load() {
		for _, l := range g.listeners.current() {
			if turned := l.turned.Load(); turned != nil && time.Since(*turned) > mostTurns*turnTime {
				return fmt.Errorf("nothing is accepted at %s any more", l.address)
			}
		}
	}
	if !g.asking.CompareAndSwap(false, true) {
		return errors.New("the store or the register of sessions has not answered since it was asked the last time")
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer g.asking.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), answerTime/2)
		defer cancel()
		_, _ = g.state.Store.LastWithdrawal(ctx)
		g.sessions.Count(func(session.Info) bool { return true })
	}()
	select {
	case <-answered:
		return nil
	case <-time.After(answerTime):
		return errors.New("the store or the register of sessions does not answer")
	}
}

// Status says in a line what the gateway does at the moment, for a service manager.
func (g *Gateway) Status(ctx context.Context) string {
	sessions := sessionsByProtocol(&g.sessions)
	now := fmt.Sprintf("%d IMAP and %d SMTP sessions", sessions["imap"], sessions["smtp"])
	if g.stopping.Load() {
		return "Stopping: " + now + " left"
	}
	queued, err := g.queueByState(ctx)
	if err != nil {
		return fmt.Sprintf("Serving %s; the queue cannot be read", now)
	}
	total := 0
	for _, n := range queued {
		total += n
	}
	return fmt.Sprintf("Serving %s; %d messages in the queue", now, total)
}
