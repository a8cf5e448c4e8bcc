package audit

import "time"

// SignIn is an attempt to sign in that is decided, with the one answer that the client got. It is written before the client
// hears.
type SignIn struct {
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"` // why refused: one of [auth.Reason]
	Detail    string  `json:"detail,omitempty"` // the cause in words, such as upstream's reply
	Session   string  `json:"session"`
	Protocol  string  `json:"protocol"`
	Login     string  `json:"login"`           // by its name in the configuration; what the client typed where no login has that name
	Alias     string  `json:"alias,omitempty"` // what the client typed, where that is another name of the login
	Mailbox   string  `json:"mailbox,omitempty"`
	Account   string  `json:"account,omitempty"`
	Remote    string  `json:"remote"`
	Mechanism string  `json:"mechanism"` // PLAIN, LOGIN, or address for a client that is known by where it comes from (without_auth)
	TLS       string  `json:"tls,omitempty"`
	Client    string  `json:"client,omitempty"` // the name that the client gives itself, by EHLO or ID
	Password  string  `json:"password_id,omitempty"`
}

// SignInsRefused sums up the attempts of a flood that have no line of their own, at the end of a minute that had more guesses
// than have lines. Each got the answer of a wrong password.
type SignInsRefused struct {
	Since    time.Time      `json:"since"`    // when the minute began
	Until    time.Time      `json:"until"`    // when it ended
	Attempts int            `json:"attempts"` // how many are in this sum and in no line
	Reasons  map[string]int `json:"reasons"`  // how many of each of [auth.Reason]
	Logins   []Tally        `json:"logins"`   // the ten that were there most often
	Remotes  []Tally        `json:"remotes"`  // the ten addresses that were there most often
}

// Tally is how often a name was there.
type Tally struct {
	Name     string `json:"name"`
	Attempts int    `json:"attempts"`
}

// SessionBegin is an authenticated session that starts. It is written before the client hears that it is signed in.
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
	// Cause is logout, token-expired, upstream-closed, client-closed (of IMAP); quit, idle, stopped, client-closed (of SMTP, where quit is
	// also what a client gets that was sent away); fault (one of the gateway's own: please report it); or why somebody cut it off: revoked,
	// expired (its app password), locked (its login), lockdown, killed (by postern session kill), reconfigured (a reload took away what it
	// stood on), stopped.
	Cause    string `json:"cause"`
	Duration int64  `json:"duration_ms"`        // milliseconds
	Received int64  `json:"received"`           // bytes from the client after it signed in; of SMTP those of messages
	Sent     int64  `json:"sent"`               // bytes to the client after it signed in; of SMTP 0
	Messages int    `json:"messages,omitempty"` // messages that were submitted (of SMTP)
	Commands        // of IMAP
}

// Commands counts what a client commanded in an IMAP session, by kind. It says what was asked for, and not how many
// messages that was or whether upstream obeyed.
type Commands struct {
	Selects  int `json:"selects,omitempty"`  // of IMAP: SELECT, EXAMINE
	Fetches  int `json:"fetches,omitempty"`  // of IMAP: FETCH, UID FETCH
	Stores   int `json:"stores,omitempty"`   // of IMAP: STORE, UID STORE
	Deletes  int `json:"deletes,omitempty"`  // of these, those that set \Deleted
	Copies   int `json:"copies,omitempty"`   // of IMAP: COPY, UID COPY
	Moves    int `json:"moves,omitempty"`    // of IMAP: MOVE, UID MOVE
	Appends  int `json:"appends,omitempty"`  // of IMAP: APPEND, REPLACE
	Expunges int `json:"expunges,omitempty"` // of IMAP: EXPUNGE, UID EXPUNGE
	Refused  int `json:"refused,omitempty"`  // of IMAP: commands that a read-only password or the policy did not allow; in no other count
}

// SessionsCut are live sessions that somebody ends. Each of them has a session-end of its own.
type SessionsCut struct {
	What  string `json:"what"`            // all, login LOGIN or session ID
	Login string `json:"login,omitempty"` // of the sessions, where it is one
	Count int    `json:"count"`           // how many sessions
	By    string `json:"by"`
}

func (SignIn) Kind() string         { return "sign-in" }
func (SignInsRefused) Kind() string { return "sign-ins-refused" }
func (SessionBegin) Kind() string   { return "session-begin" }
func (SessionEnd) Kind() string     { return "session-end" }
func (SessionsCut) Kind() string    { return "sessions-cut" }

func (SignIn) Privileged() bool         { return false }
func (SignInsRefused) Privileged() bool { return false }
func (SessionBegin) Privileged() bool   { return false }
func (SessionEnd) Privileged() bool     { return false }
func (SessionsCut) Privileged() bool    { return true }
