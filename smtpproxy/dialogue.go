package smtpproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/front"
	"postern/internal/session"
	"postern/internal/wire"
)

const (
	// maxLine is the longest command line in bytes: RFC 4954 section 4 asks for room for 12288 octets of AUTH.
	maxLine = 12288
	// commandTimeout is how long a signed-in client may take for its next command (RFC 5321 section 4.5.3.2.7).
	commandTimeout = 5 * time.Minute
	// writeTimeout bounds the writing of a reply.
	writeTimeout = time.Minute
	// maxRefusals is how many refused attempts to sign in one connection may have.
	maxRefusals = 3
)

// errDone ends the dialogue: the connection is to be closed without another word.
var errDone = errors.New("dialogue is over")

// dialogue is one client's connection.
type dialogue struct {
	proxy *Proxy
	door  Door
	conn  *front.Conn
	in    *wire.Reader
	out   *bufio.Writer
	log   *slog.Logger

	hello    string // what the client called itself; empty before EHLO or HELO
	extended bool   // it said EHLO
	bareLF   bool   // the last line of it ended in LF alone
	bad      int    // commands that made no sense
	refusals int    // attempts to sign in that were refused

	// Known once the client has signed in.
	grant   *auth.Grant
	link    *link         // the connection to upstream
	live    *session.Live // the session's place in the register
	started time.Time
	tally   tally

	transaction *transaction // nil outside of one, and once its content comes
	newest      *transaction // the last one that has set out; nil before the first
	chunks      *chunked     // nil unless content comes by BDAT
}

// tally is what the session's last audit line tells.
type tally struct {
	received int64 // bytes of messages
	messages int   // accepted
	cause    string
}

func newDialogue(p *Proxy, conn *front.Conn, door Door) *dialogue {
	d := &dialogue{proxy: p, conn: conn, door: door,
		log: p.Log.With("session", conn.Session, "protocol", "smtp", "remote", conn.Remote.String())}
	d.layer()
	return d
}

// layer reads and writes on the connection's present layer, with nothing left of the one before.
func (d *dialogue) layer() {
	d.in = wire.NewReader(d.conn, maxLine)
	d.out = bufio.NewWriterSize(d.conn, 512)
}

// run greets the client and answers its commands until either side is done.
func (d *dialogue) run(ctx context.Context) {
	// A stop wakes a dialogue that waits for a command; readBlock goes back to its message. The deadline is set on the
	// layer of now, below a TLS that comes later: STARTTLS changes d.conn under a stop's eyes.
	socket := d.conn.Conn
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })()
	d.tally.cause = "fault" // where a panic ends it
	defer d.end()
	err := d.send(say(220, d.proxy.Domain+" ESMTP Postern"))
	for err == nil {
		err = d.next(ctx)
	}
	switch {
	case errors.Is(err, errDone):
		d.tally.cause = "quit"
	case ctx.Err() != nil:
		d.tally.cause = "stopped"
		d.farewell(replyStopping)
	case errors.Is(err, io.EOF) && d.door.Profile.NoQuit:
		d.tally.cause = "quit"
	case isTimeout(err):
		d.tally.cause = "idle"
		d.farewell(replyTooSlow)
	default:
		d.tally.cause = "client-closed"
		d.log.Debug("connection ended", "error", err)
	}
}

// farewell sends a last reply to a client that may not be there any more.
func (d *dialogue) farewell(r reply) {
	_ = d.send(r)
	_ = d.flush()
}

// next reads and answers one command. Replies are held back while the client's next command is here already
// (RFC 2920 section 3.2).
func (d *dialogue) next(ctx context.Context) error {
	if !d.in.HasLine() {
		if err := d.flush(); err != nil {
			return err
		}
	}
	_ = d.conn.SetReadDeadline(d.deadline())
	if ctx.Err() != nil { // the deadline just set has undone the one that a stop had set
		return ctx.Err()
	}
	line, err := d.readLine()
	switch {
	case errors.Is(err, wire.ErrLineTooLong):
		return d.reject(replyLineTooLong)
	case errors.Is(err, wire.ErrBareLineEnd):
		return d.reject(say(500, "5.5.2 Lines end in CRLF"))
	case err != nil:
		return err
	case front.IsForeign(line):
		return errDone // no word to it
	}
	// RFC 5321 section 4.1.1: white space at the end is tolerated.
	verb, rest, _ := strings.Cut(strings.TrimRight(string(line), " \t"), " ")
	return d.dispatch(ctx, strings.ToUpper(verb), rest)
}

// readLine reads a line of the client's, as the listener's profile has them end.
func (d *dialogue) readLine() ([]byte, error) {
	if !d.door.Profile.LFCommands {
		return d.in.ReadLine()
	}
	line, bare, err := d.in.ReadLooseLine()
	d.bareLF = bare
	return line, err
}

// deadline is until when the next command may take.
func (d *dialogue) deadline() time.Time {
	if d.grant == nil {
		return d.conn.Accepted.Add(front.SignInTimeout)
	}
	return time.Now().Add(commandTimeout)
}

// dispatch answers one command.
func (d *dialogue) dispatch(ctx context.Context, verb, rest string) error {
	switch verb {
	case "EHLO", "HELO":
		return d.greet(verb, rest)
	case "STARTTLS":
		return d.startTLS(ctx, rest)
	case "AUTH":
		return d.auth(ctx, rest)
	case "MAIL":
		return d.mail(ctx, rest)
	case "RCPT":
		return d.rcpt(rest)
	case "DATA":
		return d.data(ctx, rest)
	case "BDAT":
		return d.bdat(ctx, rest)
	case "RSET":
		return d.rset(rest)
	case "NOOP": // RFC 5321 section 4.1.1.9: a string may follow, and is ignored
		return d.send(replyOK)
	case "VRFY":
		return d.send(say(252, "2.1.5 Cannot verify an address, but will take a message for it"))
	case "HELP":
		return d.send(say(214, "2.0.0 This is a submission server: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT"))
	case "QUIT":
		return d.quit(rest)
	}
	return d.reject(replyUnknown)
}

// reject answers a command that makes no sense. After too many of them the client is sent away.
func (d *dialogue) reject(r reply) error {
	if d.bad++; d.bad >= front.MaxBadCommands {
		d.farewell(replyTooManyBad)
		return errDone
	}
	return d.send(r)
}

// outOfTurn answers RCPT and DATA outside of a transaction. From a signed-in client they are no bad commands: it may have
// pipelined them behind a MAIL that was refused (RFC 2920 section 3.1).
func (d *dialogue) outOfTurn() error {
	if d.grant != nil {
		return d.send(replySequence)
	}
	return d.reject(replySequence)
}

// send puts a reply into the buffer to the client.
func (d *dialogue) send(r reply) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := d.out.WriteString(r.wire())
	return err
}

func (d *dialogue) flush() error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return d.out.Flush()
}

func (d *dialogue) rset(rest string) error {
	if rest != "" {
		return d.reject(replyNoParameters)
	}
	d.abandon()
	return d.send(replyOK)
}

func (d *dialogue) quit(rest string) error {
	if rest != "" {
		return d.reject(replyNoParameters)
	}
	d.farewell(say(221, "2.0.0 "+d.proxy.Domain+" closing the connection"))
	return errDone
}

// end closes what the session held and records its end.
func (d *dialogue) end() {
	d.dropChunks(audit.Message{Reason: "client-lost"}, replyTrouble)
	if t := d.transaction; t != nil {
		d.forget()
		d.lostUpstream(t)
	}
	if t := d.newest; t != nil { // what a panic has left it with: the mailbox would be short of a permit (threat model I-32)
		d.lostUpstream(t)
		t.closeSpool()
	}
	if d.live == nil {
		return
	}
	d.live.Remove()
	if cause := d.link.close(); cause != "" {
		d.tally.cause = cause
	}
	if d.started.IsZero() { // it was refused after it had got its place
		return
	}
	duration := d.proxy.Now().Sub(d.started)
	err := d.proxy.Audit.Record(audit.SessionEnd{
		Session:  d.conn.Session,
		Protocol: string(auth.SMTP),
		Login:    d.grant.Login,
		Mailbox:  d.grant.Mailbox,
		Cause:    d.tally.cause,
		Duration: duration.Milliseconds(),
		Received: d.tally.received,
		Messages: d.tally.messages,
	})
	if err != nil {
		d.log.Error("the end of a session is not in the audit log", "error", err)
	}
	d.log.Info("session ended", "cause", d.tally.cause, "duration", duration,
		"messages", d.tally.messages, "received", d.tally.received)
}

// isTimeout reports whether err is a deadline that has passed.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
