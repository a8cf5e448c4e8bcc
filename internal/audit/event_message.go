package audit

// Message is a submitted message and what became of it. It is written before the client hears.
type Message struct {
	Outcome Outcome `json:"outcome"`
	// Reason is queued (allowed: it waits in the queue), limit, queue-unavailable, sender-refused, recipients-refused, upstream-refused
	// (the reply says how), upstream-unavailable, too-big, bare-line-end, client-lost, given-up (the client dropped a message that had come in
	// part), sender-forbidden (by the sending policy), header-too-big, loop, undeclared-8bit, utf8-header (upstream does not offer SMTPUTF8), or
	// one of [auth.Reason] where there was no token.
	Reason     string   `json:"reason,omitempty"`
	Detail     string   `json:"detail,omitempty"` // the cause in words: what a refusal of upstream's means and what mends it, where that is known
	Session    string   `json:"session"`
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"` // those that upstream or the queue took
	Size       int64    `json:"size"`       // bytes
	Reply      string   `json:"reply,omitempty"`
	Queue      string   `json:"queue_id,omitempty"` // its id in the queue, where it waits there
}

// MessageDelivered is a message of the queue that upstream has taken, for these recipients.
type MessageDelivered struct {
	ID         string   `json:"queue_id"`
	Session    string   `json:"session,omitempty"` // in which it was submitted
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	Reply      string   `json:"reply"` // upstream's
	Tries      int      `json:"tries"`
	Queued     int64    `json:"queued_ms"`
}

// MessageBounced is a message of the queue that will not reach these recipients. Its sender is told, if there is one that
// may be told.
type MessageBounced struct {
	ID         string   `json:"queue_id"`
	Session    string   `json:"session,omitempty"` // in which it was submitted
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	Reason     string   `json:"reason"` // upstream's word, or why it was given up
	Tries      int      `json:"tries"`
	Queued     int64    `json:"queued_ms"`
}

// MessageDelayed is a message of the queue whose sender is told that it has to wait.
type MessageDelayed struct {
	ID         string   `json:"queue_id"`
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"` // for whom it waits
	Reason     string   `json:"reason"`     // why it waits
	Tries      int      `json:"tries"`
}

// MessageHeld is a message of the queue that is not tried for now: an administrator holds it, its login may not send any
// more, nobody can be told that it is undeliverable, or it is damaged.
type MessageHeld struct {
	ID      string `json:"queue_id"`
	Login   string `json:"login"`
	Mailbox string `json:"mailbox"`
	State   string `json:"state"`        // held, barred or damaged
	Reason  string `json:"reason"`       // why, in words
	By      string `json:"by,omitempty"` // the administrator who holds it
}

// MessageReleased is a message of the queue that is tried again from now on.
type MessageReleased struct {
	ID    string `json:"queue_id"`
	Login string `json:"login"`
	By    string `json:"by"` // the administrator, or postern when the login may send again
}

// MessageDropped is a message of the queue that an administrator removes. Nobody is told.
type MessageDropped struct {
	ID      string `json:"queue_id"`
	Login   string `json:"login"`
	Mailbox string `json:"mailbox"`
	Sender  string `json:"sender"`
	By      string `json:"by"`
}

func (Message) Kind() string          { return "message" }
func (MessageDelivered) Kind() string { return "message-delivered" }
func (MessageBounced) Kind() string   { return "message-bounced" }
func (MessageDelayed) Kind() string   { return "message-delayed" }
func (MessageHeld) Kind() string      { return "message-held" }
func (MessageReleased) Kind() string  { return "message-released" }
func (MessageDropped) Kind() string   { return "message-dropped" }

func (Message) Privileged() bool          { return false }
func (MessageDelivered) Privileged() bool { return false }
func (MessageBounced) Privileged() bool   { return false }
func (MessageDelayed) Privileged() bool   { return false }
func (MessageHeld) Privileged() bool      { return false }
func (MessageReleased) Privileged() bool  { return false }
func (MessageDropped) Privileged() bool   { return true }
