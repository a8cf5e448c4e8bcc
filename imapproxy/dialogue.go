package imapproxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/front"
	"postern/internal/wire"
)

// maxRefusals is how many refused attempts to sign in one connection may have.
const maxRefusals = 3

// errDone ends the dialogue: the connection is to be closed without another word.
var errDone = errors.New("dialogue is over")

// dialogue is one client's connection until it has signed in.
type dialogue struct {
	proxy *Proxy
	conn  *front.Conn
	in    *wire.Reader
	log   *slog.Logger

	client   string // what the client called itself by ID; a stranger's words
	bad      int    // commands that made no sense
	refusals int    // attempts to sign in that were refused

	session func(ended func()) // goes on with the session of a client that has signed in; nil before
}

func newDialogue(p *Proxy, conn *front.Conn) *dialogue {
	return &dialogue{
		proxy: p,
		conn:  conn,
		in:    wire.NewReader(conn, maxLine),
		log:   p.Log.With("session", conn.Session, "protocol", "imap", "remote", conn.Remote.String()),
	}
}

// run greets the client and answers its commands until it has signed in and out again, or gives up.
func (d *dialogue) run(ctx context.Context) {
	// A stop wakes a dialogue that waits for a command, and never the session behind it. The deadline is set on the layer
	// of now, below a TLS that comes later: STARTTLS changes d.conn under a stop's eyes.
	socket := d.conn.Conn
	var wake sync.Once
	unwatch := context.AfterFunc(ctx, func() { wake.Do(func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) }) })
	defer func() {
		unwatch()
		wake.Do(func() {}) // waits for one that has begun, so that it does not hit the relay
	}()
	err := d.send("* OK [CAPABILITY " + d.capabilities() + "] Postern is ready")
	for err == nil {
		err = d.next(ctx)
	}
	switch {
	case errors.Is(err, errDone):
	case ctx.Err() != nil:
		_ = d.send("* BYE The gateway is stopping, try again in a moment")
	case isTimeout(err):
		_ = d.send("* BYE Too slow to sign in")
	case errors.Is(err, errLiteralTooBig):
		_ = d.send("* BYE [TOOBIG] Literal too long")
	default:
		d.log.Debug("connection ended before sign-in", "error", err)
	}
}

// next reads and answers one command.
func (d *dialogue) next(ctx context.Context) error {
	_ = d.conn.SetReadDeadline(d.conn.Accepted.Add(front.SignInTimeout))
	if ctx.Err() != nil { // the deadline just set has undone the one that a stop had set
		return ctx.Err()
	}
	line, err := d.in.ReadLine()
	switch {
	case errors.Is(err, wire.ErrLineTooLong):
		return d.reject("*", "Line too long")
	case errors.Is(err, wire.ErrBareLineEnd):
		return d.reject("*", "Lines end in CRLF")
	case err != nil:
		return err
	case front.IsForeign(line):
		return errDone // no word to it
	}
	p := &parser{rest: line, literal: d.readLiteral}
	tag, err := p.tag()
	if err != nil {
		tag = "*"
	} else if name, nameErr := p.command(); nameErr != nil {
		err = nameErr
	} else {
		err = d.dispatch(ctx, tag, name, p)
	}
	if syntax := syntaxError(""); errors.As(err, &syntax) {
		if err := p.skipLiterals(); err != nil {
			return err
		}
		return d.reject(tag, syntax.Error())
	}
	return err
}

// dispatch answers one command.
func (d *dialogue) dispatch(ctx context.Context, tag, name string, p *parser) error {
	switch name {
	case "CAPABILITY":
		return d.capability(tag, p)
	case "NOOP":
		return d.noop(tag, p)
	case "LOGOUT":
		return d.logout(tag, p)
	case "ID":
		return d.id(tag, p)
	case "STARTTLS":
		return d.startTLS(ctx, tag, p)
	case "LOGIN":
		return d.login(ctx, tag, p)
	case "AUTHENTICATE":
		return d.authenticate(ctx, tag, p)
	}
	return syntaxError("Unknown command, or one that needs a sign-in first")
}

// reject answers a command that makes no sense. After too many of them the client is sent away.
func (d *dialogue) reject(tag, text string) error {
	d.bad++
	if d.bad >= front.MaxBadCommands {
		return d.bye("Too many bad commands")
	}
	return d.send(tag + " BAD " + text)
}

// bye ends the dialogue with a word.
func (d *dialogue) bye(text string) error {
	if err := d.send("* BYE " + text); err != nil {
		return err
	}
	return errDone
}

// send writes lines to the client, in one write.
func (d *dialogue) send(lines ...string) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(front.HandshakeTimeout))
	_, err := io.WriteString(d.conn, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// readLiteral lets the client send a literal and reads it with the line behind it.
func (d *dialogue) readLiteral(size int, waits bool) (literal, rest []byte, err error) {
	if waits {
		if err := d.send("+ Ready for " + strconv.Itoa(size) + " bytes"); err != nil {
			return nil, nil, err
		}
	}
	if literal, err = d.in.ReadLiteral(size); err != nil {
		return nil, nil, err
	}
	rest, err = d.in.ReadLine()
	if errors.Is(err, wire.ErrLineTooLong) || errors.Is(err, wire.ErrBareLineEnd) {
		err = syntaxError("Invalid line")
	}
	return literal, rest, err
}

func (d *dialogue) capability(tag string, p *parser) error {
	if err := p.end(); err != nil {
		return err
	}
	return d.send("* CAPABILITY "+d.capabilities(), tag+" OK CAPABILITY completed")
}

func (d *dialogue) noop(tag string, p *parser) error {
	if err := p.end(); err != nil {
		return err
	}
	return d.send(tag + " OK NOOP completed")
}

func (d *dialogue) logout(tag string, p *parser) error {
	if err := p.end(); err != nil {
		return err
	}
	if err := d.send("* BYE Goodbye", tag+" OK LOGOUT completed"); err != nil {
		return err
	}
	return errDone
}

// id takes what the client says of itself (RFC 2971), for the audit, and names the gateway without a version.
func (d *dialogue) id(tag string, p *parser) error {
	fields, err := p.idFields()
	if err != nil {
		return err
	}
	d.client = strings.TrimSpace(fields["name"] + " " + fields["version"])
	return d.send(`* ID ("name" "Postern")`, tag+" OK ID completed")
}

// startTLS upgrades the connection (RFC 9051 section 6.2.1). Nothing that came before the handshake counts after it:
// bytes behind the command are thrown away, and what the client said of itself is forgotten.
func (d *dialogue) startTLS(ctx context.Context, tag string, p *parser) error {
	if err := p.end(); err != nil {
		return err
	}
	config := d.conn.StartTLS
	if config == nil {
		return d.reject(tag, "STARTTLS is not offered here")
	}
	d.in.Drain()
	if err := d.send(tag + " OK Begin TLS negotiation now"); err != nil {
		return err
	}
	if err := d.conn.Handshake(ctx, config); err != nil {
		d.log.Debug("no TLS", "error", err)
		return errDone // in the middle of a handshake there is no IMAP to be said
	}
	d.in = wire.NewReader(d.conn, maxLine)
	d.client = ""
	return nil
}

// isTimeout reports whether err is a deadline that has passed.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
