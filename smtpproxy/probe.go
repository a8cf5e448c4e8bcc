package smtpproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"postern/internal/secret"
)

// Message is a message for [Probe] to send.
type Message struct {
	From, To string // of the envelope
	Content  []byte // with CRLF at the end of every line, and no line that is longer than a standard allows
}

// Probe signs in to upstream as for a client, sends a message if there is one, and takes leave. said is the reply with which
// upstream refused, in one line, or, when a message was taken, that with which it took it; it is empty otherwise. The error is
// that of opening a connection, and wraps [token.ErrRefused] when upstream would not take the token.
func Probe(ctx context.Context, upstream Upstream, domain, user string, access secret.Text, m *Message) (said string, err error) {
	s, err := openSubmission(ctx, upstream, domain, user, access)
	if err != nil {
		var refused *refusedSignIn
		if errors.As(err, &refused) {
			said = refused.reply.text()
		}
		return said, err
	}
	defer s.quit()
	if m == nil {
		return "", nil
	}
	return s.sendWhole(m)
}

// refusedSignIn is an error with the reply that led to it.
type refusedSignIn struct {
	reply reply
	error
}

func (e *refusedSignIn) Unwrap() error { return e.error }

// sendWhole sends one message, and gives the reply that ended it.
func (s *submission) sendWhole(m *Message) (said string, err error) {
	for _, step := range []struct {
		line string
		want int
	}{{"MAIL FROM:<" + m.From + ">", 250}, {"RCPT TO:<" + m.To + ">", 250}, {"DATA", 354}} {
		r, err := s.timedCommand(step.line)
		if err != nil {
			return "", err
		}
		if r.code != step.want {
			return r.text(), fmt.Errorf("%w: %s", errUpstream, r.text())
		}
	}
	_ = s.conn.SetDeadline(time.Now().Add(blockTimeout))
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), m.Content...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if _, err := s.conn.Write(stuffed); err != nil {
		return "", err
	}
	if _, err := io.WriteString(s.conn, ".\r\n"); err != nil {
		return "", err
	}
	_ = s.conn.SetDeadline(time.Now().Add(replyTimeout))
	r, err := s.readReply()
	switch {
	case err != nil:
		return "", err
	case !r.positive():
		return r.text(), fmt.Errorf("%w: %s", errUpstream, r.text())
	}
	return r.text(), nil
}
