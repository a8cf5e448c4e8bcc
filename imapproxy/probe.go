package imapproxy

import (
	"context"
	"errors"
	"io"
	"time"

	"postern/auth/token"
	"postern/internal/secret"
)

// Probe opens a mailbox as for a client, and closes it again: the dialogue up to the probe's answer, nothing of which alters
// the mailbox. said is what upstream answered against it, printable and of one line; it is empty where all is well, or where
// no answer came. The error is that of opening a mailbox, and wraps [token.ErrRefused] when upstream would not take the token.
func Probe(ctx context.Context, upstream Upstream, user string, access secret.Text) (said string, err error) {
	m, err := openMailbox(ctx, upstream, user, access)
	if err != nil {
		var answered interface{ saidLine() string }
		if errors.As(err, &answered) {
			said = answered.saidLine()
		}
		return said, err
	}
	_ = m.conn.SetDeadline(time.Now().Add(time.Second)) // LOGOUT is a courtesy
	_, _ = io.WriteString(m.conn, "A4 LOGOUT\r\n")
	_, _ = m.readLine()
	return "", m.conn.Close()
}

// refusedToken is upstream's refusal of a token.
type refusedToken struct{ said, user string }

func (e *refusedToken) Error() string {
	return token.ErrRefused.Error() + ": " + translated(e.said, e.user)
}
func (e *refusedToken) Unwrap() error    { return token.ErrRefused }
func (e *refusedToken) saidLine() string { return printable(e.said) }
