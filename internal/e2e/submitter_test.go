package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"
)

// submitter is a client of the submission service that a test may run many of: what goes wrong is an error, and not the
// end of the test.
type submitter struct {
	conn *tls.Conn
	in   *bufio.Reader
}

// dialSubmitter connects with implicit TLS and says hello. All that it does has to be over within a time.
func dialSubmitter(g *gateway, trust *tls.Config, limit time.Duration) (*submitter, error) {
	dialer := net.Dialer{Timeout: limit}
	conn, err := tls.DialWithDialer(&dialer, "tcp", g.SMTPS, trust)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	c := &submitter{conn, bufio.NewReader(conn)}
	if err := c.hear("220"); err != nil {
		return c, err
	}
	return c, c.say("EHLO client.example", "250")
}

// signIn signs in with AUTH PLAIN.
func (c *submitter) signIn(user login) error {
	return c.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user.Login+"\x00"+user.Password)), "235")
}

// submit sends a message from a login's mailbox: From is put in front of it. It is nil when the message was answered 250.
func (c *submitter) submit(user login, to, message string) error {
	for _, step := range [][2]string{{"MAIL FROM:<" + user.Mailbox + ">", "250"}, {"RCPT TO:<" + to + ">", "250"}, {"DATA", "354"},
		{"From: " + user.Mailbox + "\r\n" + message + ".", "250"}} {
		if err := c.say(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

// say sends a line, and hears a reply that begins with want.
func (c *submitter) say(line, want string) error {
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		return err
	}
	return c.hear(want)
}

func (c *submitter) hear(want string) error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", want, err)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("heard %q, want %s", strings.TrimSpace(line), want)
		}
		return nil
	}
}
