package smtpproxy

import (
	"context"
	"strconv"
	"strings"
)

// maxHello is the longest name in bytes that a client may give itself (RFC 5321 section 4.5.3.1.2).
const maxHello = 255

// greet answers EHLO and HELO. Both begin the session anew (RFC 5321 section 4.1.4).
func (d *dialogue) greet(verb, name string) error {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxHello || !isASCIIText(name) {
		return d.reject(replySyntax)
	}
	d.abandon()
	d.hello, d.extended = name, verb == "EHLO"
	welcome := d.proxy.Domain + " Hello [" + d.conn.Remote.Addr().String() + "]"
	if !d.extended {
		return d.send(say(250, welcome))
	}
	return d.send(reply{code: 250, lines: append([]string{welcome}, d.extensions()...)})
}

// extensions gives what works on this connection now.
func (d *dialogue) extensions() []string {
	list := []string{"SIZE " + strconv.FormatInt(d.maxSize(), 10), "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING", "SMTPUTF8"}
	if d.conn.StartTLS != nil && d.grant == nil {
		list = append(list, "STARTTLS")
	}
	if d.conn.MaySignIn() && d.grant == nil {
		list = append(list, "AUTH PLAIN LOGIN")
	}
	return list
}

// startTLS upgrades the connection (RFC 3207). Nothing that came before the handshake counts after it (section 4.2):
// bytes behind the command are thrown away and the client must greet again.
func (d *dialogue) startTLS(ctx context.Context, rest string) error {
	switch {
	case rest != "":
		return d.reject(replyNoParameters)
	case d.conn.StartTLS == nil:
		return d.reject(say(503, "5.5.1 STARTTLS is not offered here"))
	case d.grant != nil:
		return d.reject(replySequence)
	}
	d.in.Drain()
	if err := d.send(say(220, "2.0.0 Ready to start TLS")); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	if err := d.conn.Handshake(ctx, d.conn.StartTLS); err != nil {
		d.log.Debug("STARTTLS came to nothing", "error", err)
		return errDone // in the middle of a handshake there is no reply to be sent
	}
	d.layer()
	d.hello, d.extended = "", false
	return nil
}

// isASCIIText reports whether s is printable ASCII.
func isASCIIText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
