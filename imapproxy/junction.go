package imapproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/relay"
	"postern/internal/session"
)

// junction is a client's connection together with its mailbox upstream, from the moment that the gate lets it be
// opened until both are closed.
type junction struct {
	dialogue *dialogue
	live     *session.Live // its place in the register; nil before it has one

	mu       sync.Mutex
	upstream *mailbox // nil before it is open
	cause    string   // why somebody else ended the session; empty while nobody has
}

// open takes a place in the register and opens the mailbox that the grant is for.
func (j *junction) open(ctx context.Context, grant auth.Grant) error {
	d := j.dialogue
	upstream, err := d.proxy.upstream(grant)
	if err != nil {
		return err
	}
	mailbox := upstreamMailbox{grant.Account.Provider, grant.User}
	if err := d.proxy.backoff.check(mailbox); err != nil {
		return err
	}
	limits := session.Limits{Login: grant.Policy.Limits.Connections, Mailbox: upstream.Sessions}
	live, err := d.proxy.Sessions.Add(limits, session.Info{
		ID:       d.conn.Session,
		Protocol: string(auth.IMAP),
		Login:    grant.Login,
		Mailbox:  grant.Mailbox,
		Account:  grant.Account.String(),
		Password: grant.Password,
		Remote:   d.conn.Remote,
		Started:  d.proxy.Now(),
		Expires:  grant.Expires,
		Grant:    &grant,
	}, j.cut)
	if err != nil {
		return auth.TooMany(err)
	}
	j.live = live
	err = d.proxy.Tokens.Use(ctx, grant.Account, func(ctx context.Context, access token.Access) error {
		upstream, err := d.proxy.upstream(grant) // as it is now that there is a token: a reload may have come between
		if err != nil {
			return err
		}
		opened, err := openMailbox(ctx, upstream, grant.User, access.Token)
		if err != nil {
			return err
		}
		return j.keep(opened)
	})
	d.proxy.backoff.note(mailbox, err)
	return err
}

// upstream gives where the mailbox of a grant is.
func (p *Proxy) upstream(grant auth.Grant) (Upstream, error) {
	upstream, ok := p.Upstream(grant.Account.Provider)
	if !ok {
		return Upstream{}, fmt.Errorf("provider %q has no IMAP upstream", grant.Account.Provider)
	}
	return upstream, nil
}

// keep takes the open mailbox, unless the session has been cut off while it was being opened.
func (j *junction) keep(m *mailbox) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.upstream = m
	if j.cause != "" {
		return errors.New("the session was cut off: " + j.cause)
	}
	return nil
}

// cut ends the session for a cause of somebody else's, without waiting for its end. It closes the sockets below TLS,
// for closing TLS would wait for a peer that does not read.
func (j *junction) cut(cause string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cause == "" {
		j.cause = cause
	}
	closeSocket(j.dialogue.conn.Conn)
	if j.upstream != nil {
		closeSocket(j.upstream.conn)
	}
}

// run sends the last line of the dialogue, joins the two connections, and returns. Once both have ended, that is recorded,
// and then ended is called.
func (j *junction) run(ok string, grant auth.Grant, ended func()) {
	d := j.dialogue
	started := d.proxy.Now()
	if err := d.send(ok); err != nil {
		j.end(audit.SessionEnd{Cause: j.endCause(relay.Result{End: relay.ClientEnded})}, grant, started)
		ended()
		return
	}
	fromClient, fromUpstream, counts := j.filters(grant)
	relay.Start(
		relay.Side{Conn: d.conn.Conn, Ahead: d.in.Drain(), Filter: fromClient},
		relay.Side{Conn: j.upstream.conn, Ahead: j.upstream.in.Drain(), Filter: fromUpstream},
		func(result relay.Result) {
			defer ended()
			defer j.survive()
			j.complain(result.Err)
			j.end(audit.SessionEnd{Cause: j.endCause(result), Received: result.Received, Sent: result.Sent, Commands: *counts}, grant, started)
		})
}

// survive has a panic at the end of a session end nothing else (threat model I-32).
func (j *junction) survive() {
	if failure := recover(); failure != nil {
		j.complain(&relay.Fault{Panic: failure, Stack: debug.Stack()})
	}
}

// complain tells the log what broke a session.
func (j *junction) complain(err error) {
	var fault *relay.Fault
	if errors.As(err, &fault) {
		j.dialogue.log.Error("session ended by a fault of the gateway's own; please report it", "panic", fault.Panic, "stack", string(fault.Stack))
	} else if err != nil {
		j.dialogue.log.Debug("relay broke", "error", err)
	}
}

// end closes what is open and records the end of the session.
func (j *junction) end(ending audit.SessionEnd, grant auth.Grant, started time.Time) {
	defer j.close()
	d := j.dialogue
	duration := d.proxy.Now().Sub(started)
	ending.Duration = duration.Milliseconds()
	ending.Session, ending.Protocol, ending.Login, ending.Mailbox = d.conn.Session, string(auth.IMAP), grant.Login, grant.Mailbox
	if err := d.proxy.Audit.Record(ending); err != nil {
		d.log.Error("the end of a session is not in the audit log", "error", err)
	}
	d.log.Info("session ended", "login", grant.Login, "cause", ending.Cause, "duration", duration,
		"received", ending.Received, "sent", ending.Sent)
}

// filters gives what stands between the two sides of a session, and where it counts the client's commands: a tap, or a
// guard where the grant does not allow everything; and before what either has in upstream's direction, an offer, unless
// all that upstream has is offered.
func (j *junction) filters(grant auth.Grant) (fromClient, fromUpstream relay.Filter, counts *audit.Commands) {
	rules := rulesOf(grant)
	if rules != nil {
		g := newGuard(rules)
		fromClient, fromUpstream, counts = g, g.replies, &g.counts
	} else {
		t := newTap()
		fromClient, fromUpstream, counts = t, t.answers, &t.counts
	}
	if listed := j.upstream.capabilities; !slices.Equal(compose(listed, rules), listed) {
		fromUpstream = &offer{next: fromUpstream, rules: rules}
	}
	j.upstream.capabilities = nil
	return fromClient, fromUpstream, counts
}

// endCause says in a word why the session ended.
func (j *junction) endCause(result relay.Result) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var fault *relay.Fault
	switch {
	case j.cause != "":
		return j.cause
	case errors.As(result.Err, &fault):
		return "fault"
	case bytes.Contains(result.Tail, []byte("AccessTokenExpired")): // reference B.2, session end
		return "token-expired"
	case saidGoodbye(result.Tail):
		return "logout"
	case result.End == relay.UpstreamEnded:
		return "upstream-closed"
	}
	return "client-closed"
}

// saidGoodbye reports whether upstream's last line is the tagged answer to a LOGOUT: an untagged BYE came before it.
func saidGoodbye(tail []byte) bool {
	bye := bytes.LastIndex(tail, []byte("* BYE "))
	if bye < 0 {
		return false
	}
	_, after, _ := bytes.Cut(tail[bye:], []byte("\r\n"))
	return bytes.Contains(after, []byte(" OK "))
}

// close closes the mailbox and gives the place in the register back.
func (j *junction) close() {
	j.mu.Lock()
	upstream := j.upstream
	j.mu.Unlock()
	if upstream != nil {
		_ = upstream.conn.Close()
	}
	if j.live != nil {
		j.live.Remove()
	}
}

// closeSocket closes a connection below its TLS.
func closeSocket(conn io.Closer) {
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = encrypted.NetConn()
	}
	_ = conn.Close()
}
