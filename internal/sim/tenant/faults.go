package tenant

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Point is a place at which a fault can strike.
type Point string

const (
	TokenEndpoint Point = "token" // matched by account (user principal name) or client id

	IMAPConnect Point = "imap-connect"
	IMAPAuth    Point = "imap-auth"    // matched by mailbox
	IMAPCommand Point = "imap-command" // after sign-in; matched by mailbox or by the command's name

	SMTPConnect Point = "smtp-connect"
	SMTPAuth    Point = "smtp-auth" // matched by mailbox, as all that follow
	SMTPMail    Point = "smtp-mail"
	SMTPRcpt    Point = "smtp-rcpt" // matched by the recipient, too
	SMTPData    Point = "smtp-data"
	SMTPEnd     Point = "smtp-end"  // at the end of the message
	SMTPSent    Point = "smtp-sent" // once the message is stored and before the reply: the place for a Drop
)

// Fault is something that goes wrong on order.
type Fault struct {
	Point Point  `json:"point"`
	Match string `json:"match,omitempty"` // for whom; empty for everybody
	Times int    `json:"times,omitempty"` // how often; 0 until it is cleared

	Delay time.Duration `json:"delay,omitempty"` // wait, then go on with what follows
	Drop  bool          `json:"drop,omitempty"`  // close the connection without a word
	Reply string        `json:"reply,omitempty"` // IMAP: what follows the tag, or a line that begins with "*"; SMTP: the whole reply; token: the body

	// Of the token endpoint.
	Status     int    `json:"status,omitempty"`      // HTTP status
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
	AADSTS     int    `json:"aadsts,omitempty"`      // an error of Entra's, in Entra's form
	Claims     string `json:"claims,omitempty"`      // a claims challenge with it
	OtherHost  bool   `json:"other_host,omitempty"`  // echo the scopes with the other Outlook host
}

// Faults are the faults that were ordered. The zero value has none. It is safe for concurrent use.
type Faults struct {
	mu  sync.Mutex
	all []*Fault
}

// Add orders a fault.
func (f *Faults) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, &fault)
}

// Clear takes all orders back.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = nil
}

// Take gives the fault that strikes at a point for one of the names, and counts it.
func (f *Faults) Take(point Point, names ...string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.all {
		matches := fault.Match == "" || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, fault.Match) })
		if fault.Point != point || !matches {
			continue
		}
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.all = slices.Delete(f.all, i, i+1)
			}
		}
		return *fault, true
	}
	return Fault{}, false
}
