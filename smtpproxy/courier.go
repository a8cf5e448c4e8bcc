package smtpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/queue"
)

// courier takes messages of the queue to upstream, over connections of the proxy's pool.
type courier struct {
	proxy *Proxy

	ctx       context.Context
	message   *queue.Message
	upstream  *submission
	reachable bool // upstream has answered a command of this message
}

// Send tries to deliver a message of the queue; see [queue.Courier].
func (p *Proxy) Send(ctx context.Context, m *queue.Message, recipients []int, content io.Reader) queue.Result {
	c := &courier{proxy: p, ctx: ctx, message: m}
	key := mailboxKey{accountOf(m.Submitter), m.Submitter.User}
	r, err := c.begin(key)
	if err != nil {
		return queue.Result{Reached: c.reachable, Err: err}
	}
	stop := context.AfterFunc(ctx, c.upstream.hangUp)
	result := c.transact(r, recipients, content)
	if !stop() || result.Err != nil || result.Final.Code == 421 {
		c.upstream.hangUp()
	} else {
		p.pool.put(key, c.upstream)
	}
	return result
}

// begin gives upstream's reply to MAIL, over a connection of the pool if one still works, or over a new one.
func (c *courier) begin(key mailboxKey) (reply, error) {
	for kept := c.proxy.pool.take(key); kept != nil; kept = c.proxy.pool.take(key) {
		r, err := kept.mail(c.message.Sender, c.parameters())
		if err == nil && r.code != 421 {
			c.upstream, c.reachable = kept, true
			return r, nil
		}
		kept.hangUp() // upstream had closed it meanwhile
	}
	opened, err := c.proxy.open(c.ctx, key)
	if err != nil {
		return reply{}, err
	}
	c.upstream, c.reachable = opened, true
	defer context.AfterFunc(c.ctx, opened.hangUp)()
	r, err := opened.mail(c.message.Sender, c.parameters())
	if err != nil {
		opened.hangUp()
		return reply{}, err
	}
	return r, nil
}

// parameters are those of MAIL, as the client gave them.
func (c *courier) parameters() []parameter {
	list := []parameter{{"SIZE", strconv.FormatInt(c.message.Size, 10)}}
	for _, p := range []parameter{{"BODY", c.message.Body}, {"RET", c.message.Ret}, {"ENVID", c.message.EnvID}} {
		if p.value != "" {
			list = append(list, p)
		}
	}
	if c.message.UTF8 {
		list = append(list, parameter{keyword: "SMTPUTF8"})
	}
	return list
}

// transact hands over recipients and content after MAIL.
func (c *courier) transact(r reply, recipients []int, content io.Reader) queue.Result {
	result := queue.Result{Reached: true, Recipients: make(map[int]queue.Reply)}
	if !r.positive() {
		result.Final = r.forQueue()
		return c.reset(result)
	}
	for _, number := range recipients {
		recipient := c.message.Recipients[number]
		r, err := c.upstream.rcpt(recipient)
		if err != nil {
			result.Err = err
			return result
		}
		if !r.positive() {
			result.Recipients[number] = r.forQueue()
		}
		if r.code == 421 {
			result.Final = r.forQueue()
			return result
		}
	}
	if len(result.Recipients) == len(recipients) {
		return c.reset(result)
	}
	return c.data(result, content)
}

// reset ends a transaction that upstream does not want, and keeps what it said.
func (c *courier) reset(result queue.Result) queue.Result {
	if r, err := c.upstream.timedCommand("RSET"); err != nil || !r.positive() {
		c.upstream.hangUp()
	}
	return result
}

// data hands over the content and takes upstream's last word.
func (c *courier) data(result queue.Result, content io.Reader) queue.Result {
	r, err := c.upstream.timedCommand("DATA")
	switch {
	case err != nil:
		result.Err = err
		return result
	case r.code != 354 && r.code < 400:
		result.Err = fmt.Errorf("%w: DATA: %s", errUpstream, r.text())
		return result
	case r.code != 354:
		result.Final = r.forQueue()
		return c.reset(result)
	}
	if c.message.UTF8 && !c.upstream.takesUTF8() {
		content = &asciiHeader{content: content}
	}
	if err := c.copy(content); err != nil {
		c.upstream.hangUp() // what was sent must not be taken for whole
		result.Err = err
		if f := (*fault)(nil); errors.As(err, &f) {
			result.Final = f.reply.forQueue()
		}
		return result
	}
	result.Sent = true
	_ = c.upstream.conn.SetDeadline(time.Now().Add(finalTimeout))
	r, err = final(c.upstream.readReply())
	if err != nil {
		result.Err = err
		return result
	}
	result.Final = r.forQueue()
	return result
}

// copy writes the content. Its last portion is held back until the content has ended without an error: with the end of
// the message in it, it makes a damaged message a whole one.
func (c *courier) copy(content io.Reader) error {
	held := blocks.Get().(*[blockSize]byte)
	next := blocks.Get().(*[blockSize]byte)
	defer func() { blocks.Put(held); blocks.Put(next) }()
	waiting := 0
	for {
		n, err := io.ReadFull(content, next[:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if _, err := c.upstream.write(held[:waiting]); err != nil {
			return fmt.Errorf("writing to upstream: %w", err)
		}
		held, next, waiting = next, held, n
		if err != nil {
			_, err := c.upstream.write(held[:waiting])
			return err
		}
	}
}

// open opens a connection to upstream, signed in.
func (p *Proxy) open(ctx context.Context, key mailboxKey) (*submission, error) {
	var opened *submission
	err := p.Tokens.Use(ctx, key.account, func(ctx context.Context, access token.Access) (err error) {
		era := p.pool.era(key.account.Provider)
		upstream, ok := p.Upstream(key.account.Provider)
		if !ok {
			return fmt.Errorf("provider %q: %w", key.account.Provider, errNoUpstream)
		}
		if opened, err = openSubmission(ctx, upstream, p.Domain, key.user, access.Token); err == nil {
			opened.era = era
		}
		return err
	})
	if err != nil {
		return nil, refusalError(err)
	}
	return opened, nil
}

// refusalError gives an error that says all that is known of a refusal: its own text has the cause alone.
func refusalError(err error) error {
	var refusal *auth.Refusal
	if errors.As(err, &refusal) && refusal.Say != "" {
		return fmt.Errorf("%w (%s)", err, refusal.Say)
	}
	return err
}
