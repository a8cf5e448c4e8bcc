// Package session is the register of live sessions: who is signed in now, counted by login and by mailbox, and the way
// to cut each of them off.
//
// A session is in the register from before the client is told that it is signed in until its connection is gone. The
// register holds no connection; it calls the function that a session left with it.
package session

import (
	"fmt"
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
	Expires  time.Time // when the app password expires, and the session has to end; the zero time means never
	// Grant is the *auth.Grant that the session was let in with, for whoever judges whether it may go on. The register does
	// not look at it.
	Grant any
}

// Limits bound how many sessions there may be at once: of one login, and of one protocol for one mailbox. Zero means
// any number.
type Limits struct{ Login, Mailbox int }

// Register holds the live sessions of a gateway. The zero value is empty and ready. It is safe for concurrent use.
type Register struct {
	mu        sync.Mutex
	live      map[*Live]struct{}
	byLogin   map[string]int // login → number of its sessions
	byMailbox map[opened]int // mailbox → number of its sessions
}

// opened is a mailbox as one protocol opens it.
type opened struct{ protocol, mailbox string }

func (i Info) opened() opened { return opened{i.Protocol, i.Mailbox} }

// Live is a session in the register.
type Live struct {
	Info
	register *Register
	cut      func(cause string)
}

// Add puts a session into the register. cut must make the session end soon without blocking; it may be called at any
// time until Remove has returned, more than once, and from any goroutine. cause is for the audit.
//
// The error says which limit is reached; nothing is registered then.
func (r *Register) Add(limits Limits, info Info, cut func(cause string)) (*Live, error) {
	live := &Live{Info: info, register: r, cut: cut}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.byLogin[info.Login]; limits.Login > 0 && n >= limits.Login {
		return nil, fmt.Errorf("login %s has %d sessions already, as many as its policy allows", info.Login, n)
	}
	if n := r.byMailbox[info.opened()]; limits.Mailbox > 0 && n >= limits.Mailbox {
		return nil, fmt.Errorf("mailbox %s has %d %s sessions already, as many as its provider allows", info.Mailbox, n, info.Protocol)
	}
	if r.live == nil {
		r.live = make(map[*Live]struct{})
		r.byLogin = make(map[string]int)
		r.byMailbox = make(map[opened]int)
	}
	r.live[live] = struct{}{}
	r.byLogin[info.Login]++
	r.byMailbox[info.opened()]++
	return live, nil
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
	if r.byMailbox[l.opened()]--; r.byMailbox[l.opened()] == 0 {
		delete(r.byMailbox, l.opened())
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

// Count gives the number of sessions that match picks.
func (r *Register) Count(match func(Info) bool) int { return len(r.pick(match)) }

// Expire has every session end at the time that expires gives for it; the zero time for never. expires must not use the
// register.
func (r *Register) Expire(expires func(Info) time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for live := range r.live {
		live.Expires = expires(live.Info)
	}
}

// Cut ends every session that match picks, and gives their number. It does not wait for their ends. match must not use
// the register.
func (r *Register) Cut(cause string, match func(Info) bool) int {
	picked := r.pick(match)
	for _, live := range picked {
		live.cut(cause)
	}
	return len(picked)
}

func (r *Register) pick(match func(Info) bool) []*Live {
	r.mu.Lock()
	defer r.mu.Unlock()
	var picked []*Live
	for live := range r.live {
		if match(live.Info) {
			picked = append(picked, live)
		}
	}
	return picked
}
