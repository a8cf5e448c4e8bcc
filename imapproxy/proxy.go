// Package imapproxy carries an IMAP connection from its greeting to the byte relay.
//
// Until a client has signed in, the proxy holds the dialogue itself and understands nothing but what leads there:
// CAPABILITY, NOOP, ID, LOGOUT, STARTTLS, LOGIN and AUTHENTICATE. Package auth decides; for an allowed attempt the
// proxy opens the mailbox upstream by XOAUTH2 and makes sure that it is really open. Only then does the client get its
// OK, and from there on the two connections are joined by package relay: no command and no response is parsed or
// written again, and every extension that upstream has works.
//
// A tap counts the client's commands on their way. For a session that may not do everything, a guard stands in its
// place, which reads each command and refuses what the grant does not allow.
//
// Nothing that a client sends before its sign-in succeeded reaches upstream; what it sent right behind its LOGIN
// arrives once, whole and in order.
package imapproxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/front"
	"postern/internal/session"
)

// Gate decides about attempts to sign in. Its errors are always *auth.Refusal.
type Gate interface {
	SignIn(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error)
}

// Tokens gives upstream access tokens; see [token.Source.Use].
type Tokens interface {
	Use(ctx context.Context, account token.Account, do func(context.Context, token.Access) error) error
}

// Recorder writes the audit log.
type Recorder interface {
	Record(audit.Event) error
}

// Upstream is where a provider's mailboxes are: an IMAP server with implicit TLS.
type Upstream struct {
	Address  string // host:port
	TLS      *tls.Config
	Sessions int // how many it lets one mailbox have at once; 0 means any number
}

// Config is what a proxy is made of. Every field is required but Now.
type Config struct {
	Gate     Gate
	Tokens   Tokens
	Audit    Recorder
	Sessions *session.Register
	// Upstream gives the upstream that a provider has at the moment.
	Upstream func(provider string) (Upstream, bool)
	Log      *slog.Logger
	Now      func() time.Time // the clock; nil means time.Now
}

// Proxy serves IMAP connections. It is safe for concurrent use.
type Proxy struct {
	Config
	backoff *backoff
}

// New makes a proxy.
func New(config Config) *Proxy {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Proxy{Config: config, backoff: newBackoff(config.Now)}
}

// Serve holds the dialogue with one client. For a client that signs in it gives the function that begins its session:
// called on a goroutine of its own, it does without the stack that the handshake and the dialogue have grown, and returns
// soon; ended is called when the session is over. For a client that does not sign in, Serve closes the connection and
// gives nil. When ctx ends, a client that has not signed in is told so; a session that has begun is cut by the register
// of sessions.
func (p *Proxy) Serve(ctx context.Context, conn *front.Conn) (session func(ended func())) {
	d := newDialogue(p, conn)
	d.run(ctx)
	if d.session == nil {
		_ = conn.Close()
	}
	return d.session
}
