package audit

import (
	"time"
)

// Event is one decision or action that the audit log keeps. Every kind of event is a type of the files event….go, so that
// they are the catalogue of all that the log can say.
//
// Events hold no secret: no field of theirs is a password, a token or a key.
type Event interface {
	// Kind is the event's name in the log, such as sign-in.
	Kind() string
	// Privileged events are synced to the disk before Record returns.
	Privileged() bool
}

// Outcome says how a decision went.
type Outcome string

const (
	Allowed Outcome = "allowed"
	Refused Outcome = "refused"
)

// SignIn is an attempt to sign in, with the one answer that the client got.
type SignIn struct {
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"` // why refused: a Reason of package auth
	Detail    string  `json:"detail,omitempty"` // the cause in words, such as upstream's reply
	Session   string  `json:"session"`
	Protocol  string  `json:"protocol"`
	Login     string  `json:"login"`
	Alias     string  `json:"alias,omitempty"` // what the client typed, where that is another name of the login
	Mailbox   string  `json:"mailbox,omitempty"`
	Account   string  `json:"account,omitempty"`
	Remote    string  `json:"remote"`
	Mechanism string  `json:"mechanism"`
	TLS       string  `json:"tls,omitempty"` // such as "TLS 1.3"; empty in clear
	Client    string  `json:"client,omitempty"`
	Password  string  `json:"password_id,omitempty"` // the id of the app password
}

// SignInsRefused sums up the attempts of a flood that have no line of their own. Each got the answer of a wrong password.
type SignInsRefused struct {
	Since    time.Time      `json:"since"`
	Until    time.Time      `json:"until"`
	Attempts int            `json:"attempts"`
	Reasons  map[string]int `json:"reasons"` // how many of each Reason of package auth
	// Logins and Remotes are the ten that were there most often.
	Logins  []Tally `json:"logins"`
	Remotes []Tally `json:"remotes"`
}

// Tally is how often a name was there.
type Tally struct {
	Name     string `json:"name"`
	Attempts int    `json:"attempts"`
}

// SessionBegin is an authenticated session that starts.
type SessionBegin struct {
	Session  string `json:"session"`
	Protocol string `json:"protocol"`
	Login    string `json:"login"`
	Mailbox  string `json:"mailbox"`
	Account  string `json:"account"`
	Remote   string `json:"remote"`
	TLS      string `json:"tls,omitempty"`
	Password string `json:"password_id"`
}

// SessionEnd is an authenticated session that ended.
type SessionEnd struct {
	Session  string `json:"session"`
	Protocol string `json:"protocol"`
	Login    string `json:"login"`
	Mailbox  string `json:"mailbox"`
	Cause    string `json:"cause"`       // client-closed, upstream-closed, token-expired, idle, stopped, revoked, …
	Duration int64  `json:"duration_ms"` // milliseconds
	Received int64  `json:"received"`    // bytes from the client after it signed in
	Sent     int64  `json:"sent"`        // bytes to the client after it signed in
	Messages int    `json:"messages,omitempty"`
	Commands        // of IMAP
}

// Commands counts what a client commanded in an IMAP session, by kind. It says what was asked for, and not how many
// messages that was or whether upstream obeyed.
type Commands struct {
	Selects  int `json:"selects,omitempty"`  // SELECT, EXAMINE
	Fetches  int `json:"fetches,omitempty"`  // FETCH, UID FETCH
	Stores   int `json:"stores,omitempty"`   // STORE, UID STORE
	Deletes  int `json:"deletes,omitempty"`  // of these, those that set \Deleted
	Copies   int `json:"copies,omitempty"`   // COPY, UID COPY
	Moves    int `json:"moves,omitempty"`    // MOVE, UID MOVE
	Appends  int `json:"appends,omitempty"`  // APPEND, REPLACE
	Expunges int `json:"expunges,omitempty"` // EXPUNGE, UID EXPUNGE
	Refused  int `json:"refused,omitempty"`  // commands that the session was not allowed; not counted above
}

// Message is a submitted message and what became of it.
type Message struct {
	Outcome    Outcome  `json:"outcome"`
	Reason     string   `json:"reason,omitempty"`
	Detail     string   `json:"detail,omitempty"` // the cause in words, such as upstream's reply
	Session    string   `json:"session"`
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"` // the reverse-path
	Recipients []string `json:"recipients"`
	Size       int64    `json:"size"`               // bytes
	Reply      string   `json:"reply,omitempty"`    // what the client was told
	Queue      string   `json:"queue_id,omitempty"` // the message's id in the queue, where it waits there
}

// MessageDelivered is a message of the queue that upstream has taken, for these recipients.
type MessageDelivered struct {
	ID         string   `json:"queue_id"`
	Session    string   `json:"session,omitempty"` // in which it was submitted
	Login      string   `json:"login"`
	Mailbox    string   `json:"mailbox"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	Reply      string   `json:"reply"`     // upstream's
	Tries      int      `json:"tries"`     // with this one
	Queued     int64    `json:"queued_ms"` // milliseconds since it was accepted
}

// MessageBounced is a message of the queue that will not reach these recipients. Its sender is told, if there is one that
// may be told.
type MessageBounced struct {
	ID         string   `json:"queue_id"`
	Session    string   `json:"session,omitempty"`
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
	Recipients []string `json:"recipients"`
	Reason     string   `json:"reason"`
	Tries      int      `json:"tries"`
}

// MessageHeld is a message of the queue that is not tried for now: an administrator holds it, its login may not send any
// more, nobody can be told that it is undeliverable, or it is damaged.
type MessageHeld struct {
	ID      string `json:"queue_id"`
	Login   string `json:"login"`
	Mailbox string `json:"mailbox"`
	State   string `json:"state"` // held, barred or damaged
	Reason  string `json:"reason"`
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

// TokenRefreshed is a new access token for an account.
type TokenRefreshed struct {
	Provider string    `json:"provider"`
	Grant    string    `json:"grant"`
	Account  string    `json:"account,omitempty"`
	Expires  time.Time `json:"expires"`
}

// TokenRefused is a request for an access token that failed.
type TokenRefused struct {
	Provider      string `json:"provider"`
	Grant         string `json:"grant"`
	Account       string `json:"account,omitempty"`
	Class         string `json:"class"`
	Code          string `json:"code,omitempty"`
	Suberror      string `json:"suberror,omitempty"`
	AADSTS        []int  `json:"aadsts,omitempty"`
	Advice        string `json:"advice,omitempty"`
	CorrelationID string `json:"correlation_id,omitempty"`
	TraceID       string `json:"trace_id,omitempty"`
}

// AccountEnrolled is a person's account whose tokens the gateway now keeps.
type AccountEnrolled struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Method   string `json:"method"` // device-code
	By       string `json:"by"`
}

// AccountRechecked is an account about which somebody has the provider asked again, whatever was refused before.
type AccountRechecked struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	By       string `json:"by"`
}

// EnrolmentRefused is a sign-in that was not accepted for the account it was meant for. Its tokens are discarded.
type EnrolmentRefused struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Reason   string `json:"reason"`
	SignedIn string `json:"signed_in,omitempty"` // who did sign in, as the provider calls them
	By       string `json:"by"`
}

// PasswordIssued is a new app password.
type PasswordIssued struct {
	ID        string     `json:"password_id"`
	Login     string     `json:"login"`
	Label     string     `json:"label"`
	Protocols []string   `json:"protocols"`
	Networks  []string   `json:"networks,omitempty"`
	LegacyTLS bool       `json:"legacy_tls,omitempty"`
	ReadOnly  bool       `json:"read_only,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Evidence  string     `json:"evidence"` // the method of the evidence behind it
	By        string     `json:"by"`
}

// PasswordRenewed is new evidence behind an app password, which stays as it is.
type PasswordRenewed struct {
	ID       string `json:"password_id"`
	Login    string `json:"login"`
	Evidence string `json:"evidence"` // the method of the new evidence
	By       string `json:"by"`
}

// PasswordRevoked is an app password that is no longer accepted.
type PasswordRevoked struct {
	ID    string `json:"password_id"`
	Login string `json:"login"`
	By    string `json:"by"`
}

// LoginLocked is a login that may not sign in any more, whatever its password.
type LoginLocked struct {
	Login  string `json:"login"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
}

// LoginUnlocked is a login that may sign in again.
type LoginUnlocked struct {
	Login string `json:"login"`
	By    string `json:"by"`
}

// SessionsCut are live sessions that somebody ends. Each of them has a session-end of its own.
type SessionsCut struct {
	What  string `json:"what"`            // all, login LOGIN or session ID
	Login string `json:"login,omitempty"` // of the sessions, where it is one
	Count int    `json:"count"`
	By    string `json:"by"`
}

// PortalSignIn is an attempt to sign in to the portal that came back from the provider.
type PortalSignIn struct {
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"` // why refused
	Detail   string  `json:"detail,omitempty"` // the provider's own word for it
	Provider string  `json:"provider"`
	Username string  `json:"username,omitempty"`
	TenantID string  `json:"tid,omitempty"`
	ObjectID string  `json:"oid,omitempty"`
	Role     string  `json:"role,omitempty"`
	Evidence string  `json:"evidence,omitempty"` // methods that the sign-in itself proved
	Remote   string  `json:"remote"`
}

// PortalSignOut is a person who signed out of the portal.
type PortalSignOut struct {
	Everywhere bool   `json:"everywhere,omitempty"` // in all browsers
	By         string `json:"by"`
}

// PortalRefused is a request to the portal that its sender's role does not allow.
type PortalRefused struct {
	Permission string `json:"permission"`
	Method     string `json:"method"`
	Path       string `json:"path"`
	By         string `json:"by"`
}

// EventsExported are lines of this log that somebody takes away.
type EventsExported struct {
	Count  int    `json:"count"`
	Filter string `json:"filter,omitempty"` // what they are, as the query of the page's address
	By     string `json:"by"`
}

// GatewayStarted is a gateway that accepts connections.
type GatewayStarted struct {
	Version   string   `json:"version"`
	Config    string   `json:"config"` // SHA-256 of the configuration file, in hex
	Listeners []string `json:"listeners"`
	// Asserted are the authentication contexts that the administrator says prove MFA, as provider:context.
	Asserted []string `json:"asserted_contexts,omitempty"`
}

// GatewayStopped is a gateway that came to an orderly end.
type GatewayStopped struct {
	Sessions int `json:"sessions"` // sessions that the stop cut off
}

func (SignIn) Kind() string           { return "sign-in" }
func (SignInsRefused) Kind() string   { return "sign-ins-refused" }
func (SessionBegin) Kind() string     { return "session-begin" }
func (SessionEnd) Kind() string       { return "session-end" }
func (Message) Kind() string          { return "message" }
func (MessageDelivered) Kind() string { return "message-delivered" }
func (MessageBounced) Kind() string   { return "message-bounced" }
func (MessageDelayed) Kind() string   { return "message-delayed" }
func (MessageHeld) Kind() string      { return "message-held" }
func (MessageReleased) Kind() string  { return "message-released" }
func (MessageDropped) Kind() string   { return "message-dropped" }
func (TokenRefreshed) Kind() string   { return "token-refreshed" }
func (TokenRefused) Kind() string     { return "token-refused" }
func (AccountEnrolled) Kind() string  { return "account-enrolled" }
func (AccountRechecked) Kind() string { return "account-rechecked" }
func (EnrolmentRefused) Kind() string { return "enrolment-refused" }
func (PasswordIssued) Kind() string   { return "password-issued" }
func (PasswordRenewed) Kind() string  { return "password-renewed" }
func (PasswordRevoked) Kind() string  { return "password-revoked" }
func (LoginLocked) Kind() string      { return "login-locked" }
func (LoginUnlocked) Kind() string    { return "login-unlocked" }
func (SessionsCut) Kind() string      { return "sessions-cut" }
func (PortalSignIn) Kind() string     { return "portal-sign-in" }
func (PortalSignOut) Kind() string    { return "portal-sign-out" }
func (PortalRefused) Kind() string    { return "portal-refused" }
func (EventsExported) Kind() string   { return "events-exported" }
func (GatewayStarted) Kind() string   { return "gateway-started" }
func (GatewayStopped) Kind() string   { return "gateway-stopped" }

func (SignIn) Privileged() bool           { return false }
func (SignInsRefused) Privileged() bool   { return false }
func (SessionBegin) Privileged() bool     { return false }
func (SessionEnd) Privileged() bool       { return false }
func (Message) Privileged() bool          { return false }
func (MessageDelivered) Privileged() bool { return false }
func (MessageBounced) Privileged() bool   { return false }
func (MessageDelayed) Privileged() bool   { return false }
func (MessageHeld) Privileged() bool      { return false }
func (MessageReleased) Privileged() bool  { return false }
func (MessageDropped) Privileged() bool   { return true }
func (TokenRefreshed) Privileged() bool   { return false }
func (TokenRefused) Privileged() bool     { return false }
func (AccountEnrolled) Privileged() bool  { return true }
func (AccountRechecked) Privileged() bool { return true }
func (EnrolmentRefused) Privileged() bool { return true }
func (PasswordIssued) Privileged() bool   { return true }
func (PasswordRenewed) Privileged() bool  { return true }
func (PasswordRevoked) Privileged() bool  { return true }
func (LoginLocked) Privileged() bool      { return true }
func (LoginUnlocked) Privileged() bool    { return true }
func (SessionsCut) Privileged() bool      { return true }
func (PortalSignIn) Privileged() bool     { return true }
func (PortalSignOut) Privileged() bool    { return true }
func (PortalRefused) Privileged() bool    { return true }
func (EventsExported) Privileged() bool   { return true }
func (GatewayStarted) Privileged() bool   { return true }
func (GatewayStopped) Privileged() bool   { return true }
