package gateway

import (
	"container/heap"
	"container/list"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"postern/internal/config"
)

// admission keeps the connections of all listeners within the limits (threat model I-28, I-29).
//
// A client that has not signed in is a stranger. Strangers may be as many as a limit of their own; one more takes the
// place of another, so that those who fill the places cannot keep honest clients out: the source that has most strangers
// loses its oldest. The same happens where all places are taken. Only where nobody is a stranger, or the source itself
// has all that one source may have, is the new client turned away.
//
// It decides at once and without waiting for anybody. It is safe for concurrent use.
type admission struct {
	limits config.ConnectionLimits
	log    *slog.Logger
	now    func() time.Time

	mu        sync.Mutex
	places    int
	strangers int
	sources   map[netip.Prefix]*source
	greedy    greediest // the sources that have strangers

	turnedAway int       // since the last line about it in the log
	logged     time.Time // when that was
}

// source is where connections come from: an address, or a network that is one customer's.
type source struct {
	network   netip.Prefix
	places    int
	strangers list.List // of *place, the oldest first
	index     int       // in greedy
}

// place is one connection's place among the limits.
type place struct {
	admission *admission
	source    *source
	hangUp    func()
	entered   time.Time
	stranger  *list.Element // in source.strangers; nil once the client has signed in
	left      bool
}

// turnedAwayLog is how often the log tells of limits that are reached: a flood is not to fill it.
const turnedAwayLog = 10 * time.Second

func newAdmission(limits config.ConnectionLimits, log *slog.Logger, now func() time.Time) *admission {
	return &admission{limits: limits, log: log, now: now, sources: make(map[netip.Prefix]*source)}
}

// setLimits has other limits hold from now on. Connections that are over them stay.
func (a *admission) setLimits(limits config.ConnectionLimits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = limits
}

// sourceOf gives the network that an address counts for: itself, or its /64 for IPv6, where one customer has at least
// that much and could come from another address each time.
func sourceOf(address netip.Addr) netip.Prefix {
	bits := 64
	if address.Unmap().Is4() {
		address, bits = address.Unmap(), 32
	}
	network, _ := address.WithZone("").Prefix(bits)
	return network
}

// enter gives a connection its place; the error names the limit that is in the way. hangUp is called when a stranger has
// to give way: from any goroutine, and it must not wait.
func (a *admission) enter(address netip.Addr, hangUp func()) (*place, error) {
	p, displaced, err := a.decide(sourceOf(address), hangUp)
	if displaced != nil {
		displaced.hangUp()
	}
	return p, err
}

func (a *admission) decide(network netip.Prefix, hangUp func()) (entered, displaced *place, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := a.sources[network]
	if from != nil && from.places >= a.limits.PerSource {
		return nil, nil, a.turnAway(network, "connections_per_source", a.limits.PerSource)
	}
	if a.places >= a.limits.Connections || a.strangers >= a.limits.BeforeSignIn {
		if len(a.greedy) == 0 {
			return nil, nil, a.turnAway(network, "connections", a.limits.Connections)
		}
		displaced = a.greedy[0].strangers.Front().Value.(*place)
		a.note(displaced.source.network, "connections_before_sign_in", "a connection that had not signed in gave way")
		a.remove(displaced)
		from = a.sources[network] // its last one may have been the displaced
	}
	if from == nil {
		from = &source{network: network}
		a.sources[network] = from
	}
	return a.add(from, hangUp), displaced, nil
}

func (a *admission) add(from *source, hangUp func()) *place {
	p := &place{admission: a, source: from, hangUp: hangUp, entered: a.now()}
	p.stranger = from.strangers.PushBack(p)
	from.places++
	a.places++
	a.strangers++
	if from.strangers.Len() == 1 {
		heap.Push(&a.greedy, from)
	} else {
		heap.Fix(&a.greedy, from.index)
	}
	return p
}

// signedIn makes a stranger a client that is known.
func (p *place) signedIn() {
	p.admission.mu.Lock()
	defer p.admission.mu.Unlock()
	p.admission.know(p)
}

// know takes a place out of the strangers'. The caller holds the lock.
func (a *admission) know(p *place) {
	if p.stranger == nil {
		return
	}
	p.source.strangers.Remove(p.stranger)
	p.stranger = nil
	a.strangers--
	if p.source.strangers.Len() == 0 {
		heap.Remove(&a.greedy, p.source.index)
	} else {
		heap.Fix(&a.greedy, p.source.index)
	}
}

// leave gives the place back. A second call does nothing.
func (p *place) leave() {
	p.admission.mu.Lock()
	defer p.admission.mu.Unlock()
	p.admission.remove(p)
}

// remove takes a place away. The caller holds the lock.
func (a *admission) remove(p *place) {
	if p.left {
		return
	}
	p.left = true
	a.know(p)
	a.places--
	if p.source.places--; p.source.places == 0 {
		delete(a.sources, p.source.network)
	}
}

// turnAway gives the error for a client that has no place. The caller holds the lock.
func (a *admission) turnAway(network netip.Prefix, limit string, n int) error {
	a.note(network, limit, "a connection was turned away")
	return fmt.Errorf("limits.%s, which is %d, is reached", limit, n)
}

// note puts a limit that was reached into the log, now and then. The caller holds the lock.
func (a *admission) note(network netip.Prefix, limit, message string) {
	a.turnedAway++
	if now := a.now(); a.logged.IsZero() || now.Sub(a.logged) >= turnedAwayLog {
		a.log.Warn(message, "limit", "limits."+limit, "source", network.String(), "times", a.turnedAway)
		a.turnedAway, a.logged = 0, now
	}
}

// greediest is a heap of sources: first the one that has most strangers, and among equals the one whose oldest has been
// there longest.
type greediest []*source

func (g greediest) Len() int { return len(g) }

func (g greediest) Less(i, j int) bool {
	if a, b := g[i].strangers.Len(), g[j].strangers.Len(); a != b {
		return a > b
	}
	return g[i].oldest().Before(g[j].oldest())
}

func (g greediest) Swap(i, j int) {
	g[i], g[j] = g[j], g[i]
	g[i].index, g[j].index = i, j
}

func (g *greediest) Push(s any) {
	s.(*source).index = len(*g)
	*g = append(*g, s.(*source))
}

func (g *greediest) Pop() any {
	last := len(*g) - 1
	s := (*g)[last]
	(*g)[last] = nil
	*g = (*g)[:last]
	return s
}

// oldest gives when the oldest stranger came. A source without any is on its way out of the heap: it is the last.
func (s *source) oldest() time.Time {
	if front := s.strangers.Front(); front != nil {
		return front.Value.(*place).entered
	}
	return time.Time{}
}
