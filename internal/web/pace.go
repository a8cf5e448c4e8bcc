package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What one source may ask for: an IPv4 address, or an IPv6 /64, where one customer has at least that much (threat model
// I-29). An office can be behind one address.
const (
	requestsPerSecond, requestsAtOnce = 50, 500
	// signInsPerMinute are the beginnings and ends of sign-ins, which have the provider asked and lines written.
	signInsPerMinute, signInsAtOnce = 300, 300
	// strangersPerMinute bounds, for all sources together, the answers from a provider that belong to no attempt: each
	// makes a line in the audit log.
	strangersPerMinute, strangersAtOnce = 60, 60
	// maxSources bounds how many sources are remembered.
	maxSources = 20_000
)

// pace keeps sources to their limits. It is safe for concurrent use.
type pace struct {
	now       func() time.Time
	strangers *rate.Limiter

	mu      sync.Mutex
	sources map[netip.Prefix]*steps
}

// steps is the pace of one source.
type steps struct{ requests, signIns *rate.Limiter }

func newPace(now func() time.Time) *pace {
	return &pace{now: now, strangers: rate.NewLimiter(strangersPerMinute/60., strangersAtOnce), sources: make(map[netip.Prefix]*steps)}
}

// of gives the pace of the source that an address counts for.
func (p *pace) of(from netip.Addr) *steps {
	bits := 64
	if from = from.Unmap().WithZone(""); from.Is4() {
		bits = 32
	}
	source, _ := from.Prefix(bits) // the zero address is a source as well
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.sources[source]
	if !known {
		p.makeRoom()
		s = &steps{
			requests: rate.NewLimiter(requestsPerSecond, requestsAtOnce),
			signIns:  rate.NewLimiter(signInsPerMinute/60., signInsAtOnce),
		}
		p.sources[source] = s
	}
	return s
}

// makeRoom forgets the sources that have been quiet, when there are too many; or else any. The caller holds the lock.
func (p *pace) makeRoom() {
	if len(p.sources) < maxSources {
		return
	}
	now := p.now()
	for source, s := range p.sources {
		if s.requests.TokensAt(now) >= requestsAtOnce && s.signIns.TokensAt(now) >= signInsAtOnce {
			delete(p.sources, source)
		}
	}
	for source := range p.sources {
		if len(p.sources) < maxSources*9/10 {
			return
		}
		delete(p.sources, source)
	}
}

// strangersAnswer reports whether one more answer that belongs to no attempt may be recorded.
func (p *pace) strangersAnswer() bool { return p.strangers.AllowN(p.now(), 1) }

// paced turns requests away that come too fast from one source.
func (p *Portal) paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.pace.of(remote(r)).requests.AllowN(p.now(), 1) {
			p.tooMany(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// signInPaced turns sign-ins away that come too fast from one source.
func (p *Portal) signInPaced(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.pace.of(remote(r)).signIns.AllowN(p.now(), 1) {
			p.tooMany(w, r)
			return
		}
		next(w, r)
	}
}

func (p *Portal) tooMany(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "60")
	p.problem(w, r, http.StatusTooManyRequests, "problem.too-many")
}
