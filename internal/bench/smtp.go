package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"
)

// credentials are what a client signs in with to have its messages delivered in one way, and its mailbox: the gateway's logins
// differ in their policies. Without a login it does not sign in.
type credentials struct{ login, password, mailbox string }

// submissions gives a measurement of messages that are delivered in one way, and of what one of them costs.
func submissions(delivery, load, unit string, measure func(*target, credentials, time.Duration) (n int, err error)) measurement {
	name := "SMTP " + delivery + ", " + load
	delivers := func(t *target) bool { _, does := t.deliveries[delivery]; return does }
	return measurement{names: []string{name, name + ": CPU of one"}, units: []string{unit, "µs"}, of: delivers, measure: func(t *target, s settings) ([]float64, error) {
		before, began := t.cpu(), time.Now()
		n, err := measure(t, t.deliveries[delivery], s.span)
		rate := float64(n) / time.Since(began).Seconds()
		if unit == "MB/s" {
			rate *= bigSize / 1e6
		}
		return []float64{rate, perUnit(t, before, float64(n)) * 1e6}, err
	}}
}

// reply reads an SMTP reply.
func (c *client) reply(code string) error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("reply %q", line)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

func (c *client) exchange(line, code string) error {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return err
	}
	return c.reply(code)
}

// submitter opens a submission session.
func (t *target) submitter(as credentials) (*client, error) {
	c, err := t.dial(t.smtp)
	if err != nil {
		return nil, err
	}
	if err := c.reply("220"); err != nil {
		return nil, err
	}
	if err := c.exchange("EHLO bench", "250"); err != nil || as.login == "" {
		return c, err
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + as.login + "\x00" + as.password))
	return c, c.exchange("AUTH PLAIN "+plain, "235")
}

func (c *client) submit(as credentials, message string) error {
	for _, step := range [][2]string{{"MAIL FROM:<" + as.mailbox + ">", "250"}, {"RCPT TO:<" + as.mailbox + ">", "250"}, {"DATA", "354"}, {message, "250"}} {
		if err := c.exchange(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

const (
	smallSize = 4 << 10
	bigSize   = 30 << 20
)

// message makes a message from a mailbox of a size, its end included.
func message(from string, size int) string {
	return "From: " + from + "\r\n\r\n" + strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop\r\n", size/64) + "."
}

// atOnce is how many clients there are at the same time.
const atOnce = 32

// newConnections submits a message over each of many connections.
func newConnections(t *target, as credentials, span time.Duration) (int, error) {
	text := message(as.mailbox, smallSize)
	return parallel(atOnce, span, func() error {
		c, err := t.submitter(as)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		if err := c.submit(as, text); err != nil {
			return err
		}
		return c.exchange("QUIT", "221")
	})
}

// keptConnections submits messages over as many connections, each message behind the one before it.
func keptConnections(t *target, as credentials, span time.Duration) (int, error) {
	text := message(as.mailbox, smallSize)
	idle := make(chan *client, atOnce)
	for range atOnce {
		c, err := t.submitter(as)
		if err != nil {
			return 0, err
		}
		defer c.conn.Close()
		idle <- c
	}
	return parallel(atOnce, span, func() error {
		c := <-idle
		defer func() { idle <- c }()
		return c.submit(as, text)
	})
}

func oneConnection(t *target, as credentials, span time.Duration) (int, error) {
	return submitOver(t, as, span, message(as.mailbox, smallSize))
}

func bigMessages(t *target, as credentials, span time.Duration) (int, error) {
	return submitOver(t, as, span, message(as.mailbox, bigSize))
}

// submitOver sends a message again and again over one connection.
func submitOver(t *target, as credentials, span time.Duration, text string) (int, error) {
	c, err := t.submitter(as)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	return parallel(1, span, func() error { return c.submit(as, text) })
}
