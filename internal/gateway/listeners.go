package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"postern/internal/config"
	"postern/internal/handover"
	"postern/internal/session"
)

// listeners are those for mail clients. They follow the configuration: an address that stays in it is never closed,
// whatever else changes about it. The zero value has none; its fields are to be set before it is used.
type listeners struct {
	service   func(config.Listener) *service // says how a listener serves its clients
	sockets   *handover.Sockets
	admission *admission
	sessions  *session.Register
	log       *slog.Logger
	ctx       context.Context // ends when every dialogue has to come to an end

	running sync.WaitGroup // accept loops

	mu      sync.Mutex
	open    []*listener // in the order of the configuration
	retired []*listener // gone from it, with connections that are left
}

// listenerKey tells listeners apart. An address with port 0 may be there several times, for a free port each.
type listenerKey struct {
	address string
	nth     int // of those with the address
}

func listenerKeys(all []config.Listener) []listenerKey {
	seen := make(map[string]int)
	keys := make([]listenerKey, len(all))
	for i, c := range all {
		keys[i] = listenerKey{c.Address, seen[c.Address]}
		seen[c.Address]++
	}
	return keys
}

// part opens the addresses that are new, so that one that is taken is an error.
func (ls *listeners) part(before, next *generation) (change, error) {
	gone := make(map[listenerKey]*listener)
	for i, key := range listenerKeys(before.config.Listeners) {
		gone[key] = ls.open[i] // nobody but a reload changes the list, and there is one at a time
	}
	var after, opened []*listener
	c := change{discard: func() {
		for _, l := range opened {
			_ = l.Close()
		}
	}}
	for i, key := range listenerKeys(next.config.Listeners) {
		wanted := next.config.Listeners[i]
		l := gone[key]
		if l == nil {
			var err error
			if l, err = listen(ls.sockets, wanted.Address, ls.service(wanted), ls.admission, ls.log, time.Now); err != nil {
				c.discard()
				return change{}, fmt.Errorf("listener %s: %w", wanted.Address, err)
			}
			opened = append(opened, l)
		}
		delete(gone, key)
		after = append(after, l)
		c.serves = append(c.serves, fmt.Sprintf("%s %s %s", wanted.Protocol, wanted.TLS, l.Addr()))
	}
	c.commit = func() { ls.commit(next, after, opened, gone) }
	return c, nil
}

// commit has the listeners serve as the next generation says, runs those that were opened, and closes those that are gone.
func (ls *listeners) commit(next *generation, after, opened []*listener, gone map[listenerKey]*listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open = after
	for i, l := range after {
		l.serveAs(ls.service(next.config.Listeners[i]), ls.sessions)
	}
	for _, l := range opened {
		ctx, cancel := context.WithCancel(ls.ctx)
		l.retire = cancel
		ls.running.Go(func() { l.run(ctx) })
	}
	ls.retired = slices.DeleteFunc(ls.retired, func(l *listener) bool { return l.connections() == 0 })
	for _, l := range gone {
		_ = l.Close()
		l.retire()
		if l.service.Load().config.WithoutAuth {
			l.cutByAddress(ls.sessions)
		}
		ls.retired = append(ls.retired, l)
	}
}

// all gives every listener that may have connections.
func (ls *listeners) all() []*listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Concat(ls.open, ls.retired)
}

// current gives the listeners of the configuration, in its order.
func (ls *listeners) current() []*listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Clone(ls.open)
}

// close stops accepting. Connections go on.
func (ls *listeners) close() {
	for _, l := range ls.all() {
		_ = l.Close()
	}
}

// drained waits until no connection is left.
func (ls *listeners) drained() {
	ls.running.Wait() // else a connection could be taken after the look
	for _, l := range ls.all() {
		l.wait.Wait()
	}
}
