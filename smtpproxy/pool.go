package smtpproxy

import (
	"sync"
	"time"

	"postern/auth/token"
)

// idleUpstream is how long a connection to upstream may wait for its mailbox's next message. Exchange allows a mailbox
// three at a time (reference C).
const idleUpstream = 15 * time.Second

// mailboxKey is what a connection to upstream is signed in as.
type mailboxKey struct {
	account token.Account
	user    string
}

// pool keeps the connections to upstream that no message uses, for the next message of the same mailbox, whoever sends
// it. There are never more of them than messages were on their way at the same time, which the queue's permits bound.
type pool struct {
	mu     sync.Mutex
	idle   map[mailboxKey][]*submission
	eras   map[string]int // provider → how often its upstream has become another
	closed bool
}

// take gives an idle connection, the one that was used last; nil when there is none.
func (p *pool) take(key mailboxKey) *submission {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	s := list[len(list)-1]
	p.set(key, list[:len(list)-1])
	s.pause.Stop()
	return s
}

// put takes a connection that is ready for a transaction.
func (p *pool) put(key mailboxKey, s *submission) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || s.era != p.eras[key.account.Provider] {
		go s.quit()
		return
	}
	p.set(key, append(p.idle[key], s))
	s.pauses++
	pause := s.pauses
	s.pause = time.AfterFunc(idleUpstream, func() {
		if p.remove(key, s, pause) {
			s.quit()
		}
	})
}

// remove takes a connection out that is still in its nth pause, and reports whether it was there. The timer of an earlier
// pause may have been too late to be stopped.
func (p *pool) remove(key mailboxKey, s *submission, pause int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, idle := range p.idle[key] {
		if idle == s && s.pauses == pause {
			p.set(key, append(p.idle[key][:i], p.idle[key][i+1:]...))
			return true
		}
	}
	return false
}

// set keeps a list. The caller has the lock.
func (p *pool) set(key mailboxKey, list []*submission) {
	if len(list) == 0 {
		delete(p.idle, key)
		return
	}
	if p.idle == nil {
		p.idle = make(map[mailboxKey][]*submission)
	}
	p.idle[key] = list
}

// era gives the number of upstreams that a provider has had before the present one. A connection of an earlier one is not
// kept for another message.
func (p *pool) era(provider string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.eras[provider]
}

// end has a provider's upstream be another from now on.
func (p *pool) end(provider string) {
	p.mu.Lock()
	if p.eras == nil {
		p.eras = make(map[string]int)
	}
	p.eras[provider]++
	p.mu.Unlock()
	p.leave(func(key mailboxKey) bool { return key.account.Provider == provider })
}

// leave takes leave of upstream on the connections that wait for mailboxes that match picks.
func (p *pool) leave(match func(mailboxKey) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, list := range p.idle {
		if !match(key) {
			continue
		}
		for _, s := range list {
			s.pause.Stop()
			s.quit()
		}
		delete(p.idle, key)
	}
}

// close takes leave of upstream on all connections, and on those that are put back later.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.leave(func(mailboxKey) bool { return true })
}
