// Package smtpproxy carries a submission (RFC 6409) from its greeting to its final reply.
//
// The proxy holds the whole dialogue with the client. Package auth decides about the sign-in; for a message the proxy
// signs in at the provider's submission server by XOAUTH2 and passes the envelope and the message on, in constant
// memory. One Received line goes in front, the sending policy and the listener's profile may edit the header, and the
// body's bytes stay as they are. What upstream answers is what the client hears, word for word; where upstream gives no
// answer, or none for good, the message goes to the queue, or the client hears of it as temporary, as the policy wants.
//
// Connections to upstream belong to mailboxes and not to sessions: one that a message has used serves the next message of
// the mailbox, a client's or the queue's, and is closed when it has been idle for a few seconds. Exchange allows a
// mailbox three at a time, and a device that stays connected must not hold one of them.
package smtpproxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/front"
	"postern/internal/queue"
	"postern/internal/session"
)

// MaxSize is the largest message in bytes, as Exchange Online announces it (reference B.4).
const MaxSize = 157286400

// Gate decides about attempts to sign in. Its errors are always *auth.Refusal.
type Gate interface {
	SignIn(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error)
	SignInByAddress(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error)
}

// Tokens gives upstream access tokens; see [token.Source.Use].
type Tokens interface {
	Use(ctx context.Context, account token.Account, do func(context.Context, token.Access) error) error
}

// Recorder writes the audit log.
type Recorder interface {
	Record(audit.Event) error
}

// Upstream is where a provider takes mail: a submission server with STARTTLS.
type Upstream struct {
	Address string // host:port
	TLS     *tls.Config
}

// Config is what a proxy is made of. Every field is required but Now.
type Config struct {
	Domain   string // the gateway's name in greetings and Received lines
	Gate     Gate
	Tokens   Tokens
	Audit    Recorder
	Queue    *queue.Queue
	Sessions *session.Register
	// Upstream gives the upstream that a provider has at the moment.
	Upstream func(provider string) (Upstream, bool)
	Log      *slog.Logger
	Now      func() time.Time // the clock; nil means time.Now
}

// Proxy serves submissions. It is safe for concurrent use.
type Proxy struct {
	Config
	pool     pool
	patience time.Duration // for upstream's last word, where a message can be queued
}

// New makes a proxy.
func New(config Config) *Proxy {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Proxy{Config: config, patience: finalPatience}
}

// Door is what a listener grants its clients beyond the RFCs. The zero value grants nothing.
type Door struct {
	// Profile says which slips are forgiven.
	Profile Profile
	// WithoutAuth: a client that sends MAIL without a sign-in may be known by its address.
	WithoutAuth bool
}

// Close takes leave of upstream. It is for the end, when no message is on its way any more.
func (p *Proxy) Close() { p.pool.close() }

// Leave takes leave of the upstream that a provider had until now: at once on connections that no message uses, and after
// the message on the others.
func (p *Proxy) Leave(provider string) { p.pool.end(provider) }

// Serve holds the dialogue with one client until its connection ends, and closes it. When ctx ends, the client is told
// so at the next command; a message on its way is finished first.
func (p *Proxy) Serve(ctx context.Context, conn *front.Conn, door Door) {
	d := newDialogue(p, conn, door)
	defer conn.Close()
	d.run(ctx)
}
