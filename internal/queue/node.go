package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"postern/internal/store"
)

const (
	// heartbeat is how often a node says that it lives, and lifetime how long that is believed.
	heartbeat = 3 * time.Second
	lifetime  = 15 * time.Second
)

// errNotAlive is a node that could not say that it lives: others take it for dead, and it must not send.
var errNotAlive = errors.New("the store has not heard from this gateway for too long: nothing may be sent until it does")

// node is this process among those that deliver from the store.
type node struct {
	id    string
	host  string
	pid   int
	now   func() time.Time
	until atomic.Int64 // when it counts as dead, in milliseconds
}

func newNode(now func() time.Time) *node {
	host, _ := os.Hostname()
	return &node{id: rand.Text(), host: host, pid: os.Getpid(), now: now}
}

// lives reports whether others still believe that this node lives, with a bit to spare.
func (n *node) lives() bool { return n.now().UnixMilli() < n.until.Load()-lifetime.Milliseconds()/5 }

// beat says that the node lives.
func (n *node) beat(ctx context.Context, s *store.Store) error {
	until := n.now().Add(lifetime)
	row := n.row()
	row.AliveUntil = until
	if err := s.KeepAlive(ctx, row); err != nil {
		return err
	}
	n.until.Store(until.UnixMilli())
	return nil
}

// row is the node as the store has it.
func (n *node) row() store.Node {
	return store.Node{ID: n.id, Host: n.host, PID: n.pid, AliveUntil: time.UnixMilli(n.until.Load())}
}

// dead reports whether another node is dead: it has not been heard of, or its process on this machine is no more. Of the
// future it cannot have been heard of, either: the clock was set back.
func (n *node) dead(other store.Node) bool {
	now := n.now()
	switch {
	case other.ID == n.id:
		return false
	case now.After(other.AliveUntil), other.AliveUntil.After(now.Add(2 * lifetime)):
		return true
	case other.Host != n.host:
		return false
	}
	return other.PID != n.pid && errors.Is(syscall.Kill(other.PID, 0), syscall.ESRCH)
}

// bury frees what dead nodes have left.
func (q *Queue) bury(ctx context.Context) error {
	nodes, err := q.config.Store.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, other := range nodes {
		if !q.node.dead(other) {
			continue
		}
		messages, err := q.config.Store.Bury(ctx, other, q.now())
		if err != nil {
			return err
		}
		q.log.Info("a gateway that delivered from this store is gone; its messages are taken over", "host", other.Host, "pid", other.PID, "messages", messages)
	}
	return nil
}
