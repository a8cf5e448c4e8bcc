package queue

import (
	"strconv"
	"strings"
)

// Reply is what upstream said, in one line. The zero value is no reply at all.
type Reply struct {
	Code     int
	Enhanced string // enhanced status code (RFC 3463); may be empty
	Text     string // all of it, code included
}

// Class says what a reply means for a message.
type Class int

const (
	// Deferred: later (4yz), or no reply at all.
	Deferred Class = iota
	// Delivered: upstream has taken responsibility (2yz).
	Delivered
	// Refused: never (5yz).
	Refused
	// Crowded: the mailbox has too many connections.
	Crowded
	// Hurried: the mailbox has sent too many messages in a minute.
	Hurried
	// Slowed: upstream wants to be left alone by this mailbox.
	Slowed
	// Spent: a quota of a day is used up. Upstream calls it permanent, and it passes (reference B.4).
	Spent
	// Unready: the tenant or the mailbox is not set up for it, which is not the message's fault.
	Unready
)

// Classify reads a reply of reference B.4.
func Classify(r Reply) Class {
	switch r.Code / 100 {
	case 2:
		return Delivered
	case 5:
		return classifyPermanent(r)
	}
	switch text := r.Text; {
	case strings.Contains(text, "thread limit exceeded"), strings.Contains(text, "oncurrent connections"):
		return Crowded
	case r.Code == 421 && strings.Contains(text, "submission rate"):
		return Hurried
	case serverBusy(r.Enhanced):
		return Slowed
	}
	return Deferred
}

// classifyPermanent tells the quotas, and what is wrong with the tenant, from real refusals.
func classifyPermanent(r Reply) Class {
	switch r.Enhanced {
	case "5.1.90", "5.7.232", "5.7.233":
		return Spent
	case "5.7.57", "5.7.30": // not signed in, as upstream sees it
		return Unready
	}
	if strings.Contains(r.Text, "SubmissionQuotaExceeded") || strings.Contains(r.Text, "Submission quota exceeded") {
		return Spent
	}
	return Refused
}

// serverBusy reports the throttles by reputation: 4.7.500 to 4.7.699 and 4.7.850 to 4.7.899.
func serverBusy(enhanced string) bool {
	detail, ok := strings.CutPrefix(enhanced, "4.7.")
	n, err := strconv.Atoi(detail)
	return ok && err == nil && (n >= 500 && n <= 699 || n >= 850 && n <= 899)
}

// Temporary reports whether a message that got such a reply is to be tried again.
func (c Class) Temporary() bool { return c != Delivered && c != Refused }

func (c Class) String() string {
	return [...]string{"deferred", "delivered", "refused", "crowded", "hurried", "slowed", "spent", "unready"}[c]
}
