package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
	"postern/internal/wire"
)

const (
	// idleBeforeLogin and idleAfterLogin are when a silent client is let go (reference C).
	idleBeforeLogin = time.Minute
	idleAfterLogin  = 30 * time.Minute
	// maxBad is how many BADs a client gets before it is let go (reference B.2).
	maxBad = 3
	// tokenCheck is how often a session looks whether its token is still good.
	tokenCheck = 500 * time.Millisecond
)

// errBye ends a session: its BYE is sent.
var errBye = errors.New("session over")

// imapSession is one IMAP connection.
type imapSession struct {
	server *Server
	conn   net.Conn
	in     *wire.Reader
	out    *bufio.Writer
	bad    int

	// Known once the client has signed in.
	token    secret.Text
	claims   tenant.Claims
	verified time.Time // when the token was last looked at
	mailbox  string    // the address of the open mailbox; empty when the token is good and opens nothing
	signedIn bool
	selected *selection // nil in the authenticated state
	expiry   *time.Timer
	mu       sync.Mutex // held while the session writes, so that its end does not come in the middle of a response
	ended    bool
}

// serveIMAP serves one connection.
func (s *Server) serveIMAP(conn net.Conn) {
	i := &imapSession{server: s, conn: conn, in: wire.NewReader(conn, maxCommand), out: bufio.NewWriterSize(conn, 64<<10)}
	defer func() {
		if i.expiry != nil {
			i.expiry.Stop()
		}
	}()
	reply, drop := s.strike(tenant.IMAPConnect)
	switch {
	case drop:
		return
	case reply != "":
		_ = i.line("%s", reply)
		_ = i.flush()
		return
	}
	err := i.line("* OK The Microsoft Exchange IMAP4 service is ready. [%s]", hostToken())
	for err == nil {
		if err = i.flush(); err == nil {
			err = i.next()
		}
	}
	_ = i.flush()
}

// line writes a line into the buffer; flush sends it. Both do nothing once the session has ended.
func (i *imapSession) line(format string, arguments ...any) error {
	_, err := fmt.Fprintf(i.out, format+"\r\n", arguments...)
	return err
}

func (i *imapSession) flush() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return errBye
	}
	_ = i.conn.SetWriteDeadline(time.Now().Add(5 * time.Minute))
	return i.out.Flush()
}

// end ends the session from outside with a BYE, between two responses.
func (i *imapSession) end(words string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.ended = true
	_ = i.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(i.conn, "* BYE "+words+"\r\n")
	_ = i.conn.Close()
}

// expired is how Exchange ends a session whose token has expired (reference B.2).
const expired = "Session invalidated - AccessTokenExpired"

// next reads and answers one command.
func (i *imapSession) next() error {
	limit := idleBeforeLogin
	if i.signedIn {
		limit = idleAfterLogin
	}
	_ = i.conn.SetReadDeadline(time.Now().Add(limit))
	c, err := readCommand(i.in, func() error {
		if err := i.line("+ Ready for additional command text."); err != nil {
			return err
		}
		return i.flush()
	})
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return i.line("* BYE Connection is closed. 13")
	case errors.Is(err, wire.ErrLineTooLong), errors.Is(err, wire.ErrBareLineEnd):
		return i.refuse("*", "Command Error. 10")
	case errors.Is(err, errArgument):
		return i.refuse(c.tagOrStar(), "Command Error. 10")
	case err != nil:
		return err
	}
	if err := i.checkToken(); err != nil {
		return err
	}
	err = i.dispatch(c)
	switch {
	case errors.Is(err, errArgument):
		return i.refuse(c.tag, errArgument.Error())
	case errors.Is(err, errState):
		return i.refuse(c.tag, "Command received in Invalid state.")
	}
	return err
}

func (c *command) tagOrStar() string {
	if c == nil || c.tag == "" {
		return "*"
	}
	return c.tag
}

// checkToken ends the session when its token is not good any more.
func (i *imapSession) checkToken() error {
	if !i.signedIn || time.Since(i.verified) < tokenCheck {
		return nil
	}
	i.verified = time.Now()
	if _, err := i.server.config.Tokens.Verify(i.token); err != nil {
		i.end(expired)
		return errBye
	}
	return nil
}

// refuse answers BAD; after a few of them the connection is closed.
func (i *imapSession) refuse(tag, text string) error {
	if err := i.line("%s BAD %s", tag, text); err != nil {
		return err
	}
	if i.bad++; i.bad >= maxBad {
		_ = i.line("* BYE Connection closed. 14")
		return errors.Join(i.flush(), errBye)
	}
	return nil
}

// errState is a command that the session's state does not allow.
var errState = errors.New("invalid state")

// handler answers a command.
type handler func(i *imapSession, c *command) error

var (
	anyState = map[string]handler{
		"CAPABILITY": (*imapSession).capability, "NOOP": (*imapSession).noop, "LOGOUT": (*imapSession).logout, "ID": (*imapSession).id,
	}
	notAuthenticated = map[string]handler{
		"AUTHENTICATE": (*imapSession).authenticate, "LOGIN": (*imapSession).login,
	}
	authenticated = map[string]handler{
		"NAMESPACE": (*imapSession).namespace, "SELECT": (*imapSession).selectFolder, "EXAMINE": (*imapSession).selectFolder,
		"CREATE": (*imapSession).create, "DELETE": (*imapSession).delete, "RENAME": (*imapSession).rename,
		"SUBSCRIBE": (*imapSession).subscribe, "UNSUBSCRIBE": (*imapSession).subscribe,
		"LIST": (*imapSession).list, "LSUB": (*imapSession).list, "STATUS": (*imapSession).status,
		"APPEND": (*imapSession).append, "IDLE": (*imapSession).idle,
	}
	inFolder = map[string]handler{
		"CHECK": (*imapSession).check, "CLOSE": (*imapSession).closeFolder, "UNSELECT": (*imapSession).closeFolder,
		"EXPUNGE": (*imapSession).expunge, "SEARCH": (*imapSession).search, "FETCH": (*imapSession).fetch,
		"STORE": (*imapSession).storeFlags, "COPY": (*imapSession).copy, "MOVE": (*imapSession).copy, "UID": (*imapSession).uid,
	}
)

// dispatch answers a command in the state that the session is in.
func (i *imapSession) dispatch(c *command) error {
	if handle, ok := anyState[c.name]; ok {
		return handle(i, c)
	}
	if handle, ok := notAuthenticated[c.name]; ok {
		if i.signedIn {
			return errState
		}
		return handle(i, c)
	}
	handle, ok := authenticated[c.name]
	inside, needsFolder := inFolder[c.name]
	switch {
	case !ok && !needsFolder:
		return i.refuse(c.tag, "Command Error. 12")
	case !i.signedIn:
		return errState
	case i.mailbox == "":
		return i.refuse(c.tag, "User is authenticated but not connected.")
	}
	if done, err := i.commandFault(c); done || err != nil {
		return err
	}
	if needsFolder {
		if i.selected == nil {
			return errState
		}
		handle = inside
	}
	return handle(i, c)
}

// commandFault lets a fault that was ordered for a command strike, and reports whether it has answered the command.
func (i *imapSession) commandFault(c *command) (answered bool, err error) {
	reply, drop := i.server.strike(tenant.IMAPCommand, i.mailbox, c.name)
	switch {
	case drop:
		return true, errBye
	case strings.HasPrefix(reply, "*"):
		return true, errors.Join(i.line("%s", reply), i.flush(), errBye)
	case reply != "":
		return true, i.line("%s %s", c.tag, reply)
	}
	return false, nil
}

// completed ends a command well, after what else there is to tell.
func (i *imapSession) completed(c *command) error {
	if err := i.tellNews(c.name != "FETCH" && c.name != "STORE" && c.name != "SEARCH"); err != nil {
		return err
	}
	return i.line("%s OK %s completed.", c.tag, c.name)
}

func (i *imapSession) capability(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	basic, move, backend := "AUTH=PLAIN AUTH=XOAUTH2", "", ""
	if i.server.config.BasicDisabled {
		basic = "AUTH=XOAUTH2 LOGINDISABLED"
	}
	if i.signedIn {
		move, backend = " MOVE", " CLIENTACCESSRULES CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE"
	}
	if err := i.line("* CAPABILITY IMAP4 IMAP4rev1 %s SASL-IR UIDPLUS%s ID UNSELECT%s CHILDREN IDLE NAMESPACE LITERAL+", basic, move, backend); err != nil {
		return err
	}
	return i.line("%s OK CAPABILITY completed.", c.tag)
}

func (i *imapSession) noop(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	return i.completed(c)
}

// logout's words are unverified (reference B.2).
func (i *imapSession) logout(c *command) error {
	_ = i.line("* BYE Microsoft Exchange Server IMAP4 server signing off.")
	_ = i.line("%s OK LOGOUT completed.", c.tag)
	return errors.Join(i.flush(), errBye)
}

func (i *imapSession) id(c *command) error {
	if err := i.line(`* ID ("name" "Microsoft.Exchange.Imap4.Imap4Server" "version" "15.20")`); err != nil {
		return err
	}
	return i.line("%s OK ID completed.", c.tag)
}

func (i *imapSession) namespace(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	if err := i.line(`* NAMESPACE (("" "/")) NIL NIL`); err != nil {
		return err
	}
	return i.completed(c)
}
