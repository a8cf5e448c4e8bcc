// Package session is the register of live sessions: who is signed in now, counted by login, and the way to cut each of
// them off.
//
// A session is in the register from the moment the client is told that it is signed in until its connection is gone.
// The register holds no connection; it calls the function that a session left with it.
package session

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Info is what the register knows of a session.
type Info struct {
	ID       string // the connection's id, as in the log and the audit
	Protocol string
	Login    string // canonical
	Mailbox  string
	Account  string
	Password string // id of the app password
	Remote   netip.AddrPort
	Started  time.Time
}

// Register holds the live sessions of a gateway. The zero value is empty and ready. It is safe for concurrent use.
type Register struct {
	mu      sync.Mutex
	live    map[*Live]struct{}
	byLogin map[string]int // login → number of its sessions
}

// Live is a session in the register.
type Live struct {
	Info
	register *Register
	cut      func(cause string)
}

// Add puts a session into the register. cut must make the session end soon without blocking; it may be called at any
// time until Remove has returned, more than once, and from any goroutine. cause is for the audit.
func (r *Register) Add(info Info, cut func(cause string)) *Live {
	live, _ := r.AddWithin(0, info, cut)
	return live
}

// AddWithin is Add for a login that may have at most limit sessions; zero means any number. It reports false, and
// registers nothing, when the login has that many already.
func (r *Register) AddWithin(limit int, info Info, cut func(cause string)) (*Live, bool) {
	live := &Live{Info: info, register: r, cut: cut}
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit > 0 && r.byLogin[info.Login] >= limit {
		return nil, false
	}
	if r.live == nil {
		r.live = make(map[*Live]struct{})
		r.byLogin = make(map[string]int)
	}
	r.live[live] = struct{}{}
	r.byLogin[info.Login]++
	return live, true
}

// Remove takes the session out of the register. A second call does nothing.
func (l *Live) Remove() {
	r := l.register
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.live[l]; !ok {
		return
	}
	delete(r.live, l)
	if r.byLogin[l.Login]--; r.byLogin[l.Login] == 0 {
		delete(r.byLogin, l.Login)
	}
}

// List gives the live sessions, the oldest first.
func (r *Register) List() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Info, 0, len(r.live))
	for live := range r.live {
		list = append(list, live.Info)
	}
	slices.SortFunc(list, func(a, b Info) int { return a.Started.Compare(b.Started) })
	return list
}

// Cut ends every session that match picks, and gives their number. It does not wait for their ends.
func (r *Register) Cut(cause string, match func(Info) bool) int {
	r.mu.Lock()
	var picked []*Live
	for live := range r.live {
		if match(live.Info) {
			picked = append(picked, live)
		}
	}
	r.mu.Unlock()
	for _, live := range picked {
		live.cut(cause)
	}
	return len(picked)
}
