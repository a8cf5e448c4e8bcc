package smtpproxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/diagnosis"
	"postern/internal/relay"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/wire"
)

const (
	// openTimeout bounds the whole of opening a connection to upstream, its sign-in included.
	openTimeout = time.Minute
	// replyTimeout is for the reply to a command (RFC 5321 section 4.5.3.2.2 and .3).
	replyTimeout = 5 * time.Minute
	// blockTimeout is for the writing of a block of the message (section 4.5.3.2.5).
	blockTimeout = 3 * time.Minute
	// finalTimeout is for the reply to the end of the message (section 4.5.3.2.6).
	finalTimeout = 10 * time.Minute
	// maxReplyLine and maxReplyLines bound a reply: RFC 5321 section 4.5.3.1.5 has 512 octets for a line, and
	// Exchange's diagnostics are longer.
	maxReplyLine  = 4096
	maxReplyLines = 100
)

// errUpstream is the kind of all that upstream says or does wrong, but for the refusal of a token.
var errUpstream = errors.New("upstream trouble")

// submission is a connection to upstream that is signed in and ready for a transaction.
type submission struct {
	conn       net.Conn
	in         *wire.Reader
	extensions map[string]string // keyword of EHLO → its parameters
	// told is what upstream was told in confidence and may say again: the token, alone and in its message. It goes no
	// further.
	told   []secret.Text
	pause  *time.Timer // ends it when it waits in the pool for too long
	pauses int         // how often it has waited there
	era    int         // of its provider's upstream when it was opened; see [pool.era]
}

// openSubmission connects to upstream, upgrades to TLS, and signs in as user with an access token.
//
// Errors: one that wraps token.ErrRefused when upstream would not take the token; an *auth.Refusal when the tenant
// forbids it; anything else is temporary. The caller closes what it gets.
func openSubmission(ctx context.Context, upstream Upstream, domain, user string, access secret.Text) (*submission, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", upstream.Address)
	if err != nil {
		return nil, fmt.Errorf("SMTP: %w", err)
	}
	conn = relay.Wrap(conn)
	// A deadline in the past wakes every read and write that ctx no longer waits for.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	s := &submission{conn: conn, in: wire.NewReader(conn, maxReplyLine)}
	err = s.open(ctx, upstream.TLS, domain, user, access)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("SMTP at %s: %w", upstream.Address, err)
	}
	return s, nil
}

// open holds the dialogue from the greeting to the sign-in.
func (s *submission) open(ctx context.Context, config *tls.Config, domain, user string, access secret.Text) error {
	greeting, err := s.readReply()
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return fmt.Errorf("%w: greeting: %s", errUpstream, greeting.text())
	}
	if err := s.hello(domain); err != nil {
		return err
	}
	if _, ok := s.extensions["STARTTLS"]; !ok {
		return fmt.Errorf("%w: no STARTTLS on offer", errUpstream)
	}
	if err := s.startTLS(ctx, config); err != nil {
		return err
	}
	if err := s.hello(domain); err != nil {
		return err
	}
	return s.authenticate(user, access)
}

// hello says EHLO and takes the extensions.
func (s *submission) hello(domain string) error {
	r, err := s.command("EHLO " + domain)
	if err != nil {
		return err
	}
	if r.code != 250 {
		return fmt.Errorf("%w: EHLO: %s", errUpstream, r.text())
	}
	s.extensions = make(map[string]string)
	for _, line := range r.lines[1:] {
		keyword, parameters, _ := strings.Cut(line, " ")
		s.extensions[strings.ToUpper(keyword)] = parameters
	}
	return nil
}

// startTLS upgrades the connection; what upstream sent behind its reply is no part of what follows (RFC 3207 section
// 4.2).
func (s *submission) startTLS(ctx context.Context, config *tls.Config) error {
	r, err := s.command("STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return fmt.Errorf("%w: STARTTLS: %s", errUpstream, r.text())
	}
	s.in.Drain()
	encrypted := relay.Client(s.conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	s.conn = encrypted
	s.in = wire.NewReader(encrypted, maxReplyLine)
	return nil
}

// authenticate signs in by XOAUTH2, with the initial response in the command (RFC 4954; reference B.1).
func (s *submission) authenticate(user string, access secret.Text) error {
	client := sasl.NewXOAUTH2Client(user, access)
	mechanism, initial, err := client.Start()
	if err != nil {
		return err
	}
	message := base64.StdEncoding.EncodeToString(initial)
	s.told = []secret.Text{access, secret.New(message)}
	r, err := s.command("AUTH " + mechanism + " " + message)
	if err == nil && r.code == 334 {
		// Google's way: a description of the error, which wants an empty response before the refusal.
		r, err = s.command("")
	}
	if err != nil || r.code == 235 {
		return err
	}
	return &refusedSignIn{r, signInRefused(r, user)}
}

// signInRefused says what the refusal of a sign-in is to the gateway.
func signInRefused(r reply, user string) error {
	switch {
	case r.code/100 == 4:
		return fmt.Errorf("%w: AUTH: %s", errUpstream, r.text())
	case r.enhanced() == "5.7.3", r.enhanced() == "":
		d, _ := diagnosis.SMTP(r.text(), diagnosis.Subject{Mailbox: user})
		return fmt.Errorf("%w: AUTH: %s: %s", token.ErrRefused, r.text(), d)
	}
	refusal := &auth.Refusal{Kind: auth.Blocked, Reason: auth.Misconfigured, Err: errors.New("AUTH: " + r.text()),
		Say: "Exchange Online does not let the gateway send for this mailbox: ask your administrator to look at Postern's log"}
	if d, known := diagnosis.SMTP(r.text(), diagnosis.Subject{Mailbox: user}); known {
		refusal.Say, refusal.Err = d.Short, fmt.Errorf("AUTH: %s: %s", r.text(), d)
	}
	return refusal
}

// write sends a block of the message.
func (s *submission) write(p []byte) (int, error) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(blockTimeout))
	return relay.WriteBlock(s.conn, p)
}

// command sends a line and reads the reply.
func (s *submission) command(line string) (reply, error) {
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return reply{}, err
	}
	return s.readReply()
}

// timedCommand is command with a time limit of its own.
func (s *submission) timedCommand(line string) (reply, error) {
	_ = s.conn.SetDeadline(time.Now().Add(replyTimeout))
	return s.command(line)
}

// complete is timedCommand for a command that one reply completes; see [final].
func (s *submission) complete(line string) (reply, error) { return final(s.timedCommand(line)) }

// final holds a reply for wrong that completes nothing: a client to which a 3yz is handed on waits for ever.
func final(r reply, err error) (reply, error) {
	if err == nil && r.code/100 == 3 {
		err = fmt.Errorf("%w: an intermediate reply out of turn: %s", errUpstream, r.text())
	}
	return r, err
}

// readReply reads a whole reply and checks its form: what is handed on to clients must be one.
func (s *submission) readReply() (reply, error) {
	r := reply{upstream: true}
	for len(r.lines) < maxReplyLines {
		raw, err := s.in.ReadLine()
		if err != nil {
			return reply{}, fmt.Errorf("reading upstream's reply: %w", err)
		}
		code, text, last, ok := parseReplyLine(string(raw))
		if !ok || r.code != 0 && code != r.code {
			return reply{}, fmt.Errorf("%w: malformed reply", errUpstream)
		}
		for _, told := range s.told {
			text = told.Redact(text)
		}
		r.code = code
		r.lines = append(r.lines, text)
		if last {
			return r, nil
		}
	}
	return reply{}, fmt.Errorf("%w: a reply of more than %d lines", errUpstream, maxReplyLines)
}

// parseReplyLine reads one line of a reply (RFC 5321 section 4.2). Control characters are not taken. Text beyond ASCII,
// which RFC 6531 section 3.7.4.3 has only where a client asked, becomes question marks: for the sake of a text, no
// message that upstream accepted may seem lost, or the client sends it twice.
func parseReplyLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 {
		return 0, "", false, false
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 200 || code > 599 {
		return 0, "", false, false
	}
	if len(line) == 3 {
		return code, "", true, true
	}
	text = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, line[4:])
	if line[3] != ' ' && line[3] != '-' || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
		return 0, "", false, false
	}
	return code, text, line[3] == ' ', true
}

// quit takes leave and closes the connection. It does not wait for the answer.
func (s *submission) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(s.conn, "QUIT\r\n")
	_ = s.conn.Close()
}

// hangUp closes the connection at once, in the middle of whatever it was.
func (s *submission) hangUp() { closeSocket(s.conn) }
