package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
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

// A node is believed dead when its sign of life has not changed for lifetime, by the steady clock of whoever looks: what the signs say
// about the time on the wall is not compared. A clock that is set, here or elsewhere, has nobody taken for dead (threat model I-48).

// errNotAlive is a node that could not say that it lives: others take it for dead, and it must not send.
var errNotAlive = errors.New("the store has not heard from this gateway for too long: nothing may be sent until it does")

// node is this process among those that deliver from the store.
type node struct {
	id     string
	host   string
	pid    int
	now    func() time.Time
	steady func() time.Time
	until  atomic.Int64              // its last sign of life, as the store has it: when it ends, in milliseconds
	spoke  atomic.Pointer[time.Time] // when that was, by the steady clock; nil before the first

	looking sync.Mutex      // one look at the others follows the other
	heard   map[string]sign // id of another node → its last sign of life
}

// sign is a sign of life of another node.
type sign struct {
	until time.Time // as the store has it
	seen  time.Time // when it was first seen, by the steady clock
}

func newNode(now, steady func() time.Time) *node {
	host, _ := os.Hostname()
	return &node{id: rand.Text(), host: host, pid: os.Getpid(), now: now, steady: steady, heard: make(map[string]sign)}
}

// lives reports whether others still believe that this node lives, with a bit to spare.
func (n *node) lives() bool {
	spoke := n.spoke.Load()
	return spoke != nil && n.steady().Sub(*spoke) < lifetime-lifetime/5
}

// beat says that the node lives.
func (n *node) beat(ctx context.Context, s *store.Store) error {
	spoke, until := n.steady(), n.now().Add(lifetime)
	row := n.row()
	row.AliveUntil = until
	if err := s.KeepAlive(ctx, row); err != nil {
		return err
	}
	n.until.Store(until.UnixMilli())
	n.spoke.Store(&spoke)
	return nil
}

// row is the node as the store has it.
func (n *node) row() store.Node {
	return store.Node{ID: n.id, Host: n.host, PID: n.pid, AliveUntil: time.UnixMilli(n.until.Load())}
}

// dead reports whether another node is dead: nothing new has been heard of it for its lifetime, or its process on this machine is
// no more.
func (n *node) dead(other store.Node) bool {
	if other.ID == n.id {
		return false
	}
	if other.Host == n.host && other.PID != n.pid && errors.Is(syscall.Kill(other.PID, 0), syscall.ESRCH) {
		return true
	}
	now := n.steady()
	last, heard := n.heard[other.ID]
	if !heard || !last.until.Equal(other.AliveUntil) {
		n.heard[other.ID] = sign{other.AliveUntil, now}
		return false
	}
	return now.Sub(last.seen) > lifetime
}

// forget forgets the nodes that are not there any more.
func (n *node) forget(but []store.Node) {
	maps.DeleteFunc(n.heard, func(id string, _ sign) bool {
		return !slices.ContainsFunc(but, func(other store.Node) bool { return other.ID == id })
	})
}

// bury frees what dead nodes have left.
func (q *Queue) bury(ctx context.Context) error {
	q.node.looking.Lock()
	defer q.node.looking.Unlock()
	nodes, err := q.config.Store.Nodes(ctx)
	if err != nil {
		return err
	}
	q.node.forget(nodes)
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
