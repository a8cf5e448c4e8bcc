package smtpproxy

import (
	"context"
	"errors"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/queue"
)

// A message goes to upstream while it comes, or into the queue. What a policy calls delivery says which:
//
//	direct  upstream has the last word, and without one the client hears of it as temporary
//	queue   every message is queued, which is answered quickest
//	auto    upstream has the last word if it has one in time; otherwise the message is queued
//
// With auto a message is spooled while it goes upstream, and may change over to the queue at any moment until its end:
// at MAIL, when the mailbox's limits are spent or upstream cannot be reached; at RCPT or DATA, when upstream says 4yz; in
// the middle, when upstream is lost; and at the end, when upstream says nothing, or nothing for good.
const (
	direct   = "direct"
	queued   = "queue"
	autoMode = "auto"
)

// finalPatience is how long a client waits for upstream's last word before its message is queued. Devices give up after
// half a minute or a minute, and send again what has been delivered.
const finalPatience = 20 * time.Second

// delivery gives the way that the policy wants.
func (d *dialogue) delivery() string {
	switch way := d.grant.Policy.Send.Delivery; way {
	case direct, queued:
		return way
	}
	return autoMode
}

// submitter is the session's identity as the queue knows it.
func (d *dialogue) submitter() queue.Submitter {
	account := d.grant.Account
	return queue.Submitter{Login: d.grant.Login, Password: d.grant.Password, Mailbox: d.grant.Mailbox, User: d.grant.User,
		Provider: account.Provider, Grant: string(account.Grant), Account: account.Name}
}

// key is what the session's connections to upstream are signed in as.
func (d *dialogue) key() mailboxKey { return mailboxKey{d.grant.Account, d.grant.User} }

// setOut chooses the way of a message, goes it as far as MAIL, and answers.
func (d *dialogue) setOut(ctx context.Context, t *transaction, parameters []parameter) error {
	d.newest = t
	way := d.delivery()
	switch {
	case way == queued:
		return d.postpone(t, "the policy has every message queued", replySenderOK)
	case way == autoMode && d.proxy.Queue.Backlog(d.submitter()):
		return d.postpone(t, "messages of the mailbox are waiting already", replySenderOK)
	}
	permit, wait, err := d.proxy.Queue.Admit(ctx, d.submitter())
	switch {
	case err != nil:
		d.log.Error("the limits of a mailbox cannot be read", "error", err)
		return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: string(auth.StoreUnavailable), Detail: err.Error()}, replyTrouble)
	case wait.Any() && way == autoMode:
		return d.postpone(t, wait.Words(), replySenderOK)
	case wait.Any():
		return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "limit", Detail: wait.Words()}, waitReply(wait))
	}
	t.permit = permit
	r, err := d.openTransaction(ctx, t, parameters)
	switch {
	case err != nil && way == autoMode && queueable(err):
		return d.postpone(t, err.Error(), replySenderOK)
	case err != nil:
		d.letGo(t)
		d.log.Info("message refused", "sender", t.sender, "error", err)
		refusal, reason := upstreamReply(err)
		return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: string(reason), Detail: err.Error()}, refusal)
	case !r.positive() && d.postponable(r):
		return d.postpone(t, r.text(), replySenderOK)
	case !r.positive():
		d.letGo(t)
		return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "sender-refused"}, r)
	}
	d.transaction = t
	return d.send(r)
}

// waitReply tells a client why its message cannot go at the moment.
func waitReply(wait queue.Wait) reply { return say(451, "4.7.1 Try again later: "+wait.Words()) }

// queueable reports whether a message is queued for which upstream could not be opened. What only the owner of the
// account can mend is told to the client instead (design, section 4).
func queueable(err error) bool { return auth.RefusalOf(err).Reason != auth.SignInNeeded }

// postponable reports whether a reply of upstream's sends the message to the queue: all that are not for good, and those
// that say so and are not.
func (d *dialogue) postponable(r reply) bool {
	if r.code/100 == 4 || r.code/100 == 5 {
		d.proxy.Queue.Heed(context.Background(), d.submitter(), r.forQueue())
	}
	return d.delivery() == autoMode && queue.Classify(r.forQueue()).Temporary()
}

// postpone turns a message to the queue, and answers what upstream would have. Whatever upstream knows of it is
// forgotten.
func (d *dialogue) postpone(t *transaction, why string, r reply) error {
	d.turnToQueue(t, why)
	d.transaction = t
	return d.send(r)
}

func (d *dialogue) turnToQueue(t *transaction, why string) {
	d.log.Info("message goes to the queue", "sender", t.sender, "reason", why)
	t.why = why
	d.letGo(t)
}

// letGo ends what a message has of upstream before its content is there: the connection is reset for the next one, if it
// still works, and the permit given back.
func (d *dialogue) letGo(t *transaction) {
	if t.upstream != nil {
		if r, err := t.upstream.timedCommand("RSET"); err == nil && r.positive() {
			d.release()
		}
		t.upstream = nil
	}
	d.link.drop()
	if t.permit != nil {
		t.permit.Unused()
		t.permit = nil
	}
}

// lostUpstream ends what a message has of an upstream that is gone in the middle of it.
func (d *dialogue) lostUpstream(t *transaction) {
	d.link.drop()
	t.upstream = nil
	if t.permit != nil {
		t.permit.Unused()
		t.permit = nil
	}
}

// release gives the session's connection to upstream back, for the mailbox's next message.
func (d *dialogue) release() {
	if s := d.link.detach(); s != nil {
		d.proxy.pool.put(d.key(), s)
	}
}

// enqueue puts a message into the queue and tells the client. It is on the disk before the client hears of it, or nothing
// of it is kept.
func (d *dialogue) enqueue(t *transaction, size int64) error {
	m := t.message(d)
	if err := d.proxy.Queue.Accept(context.Background(), m, t.spool, t.why, false); err != nil {
		d.log.Error("a message cannot be queued", "error", err)
		return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "queue-unavailable", Size: size, Detail: err.Error()}, queueReply(err))
	}
	return d.tellQueued(t, size, m)
}

func (d *dialogue) tellQueued(t *transaction, size int64, m *queue.Message) error {
	d.tally.messages++
	return d.finish(t, audit.Message{Outcome: audit.Allowed, Reason: "queued", Size: size, Detail: t.why, Queue: m.ID},
		say(250, "2.0.0 Ok: queued as "+m.ID))
}

// queueReply gives the reply to a message that the queue does not take. The client keeps it.
func queueReply(err error) reply {
	if errors.Is(err, queue.ErrFull) {
		return say(452, "4.3.1 Too many messages are waiting already, try again later")
	}
	return say(452, "4.3.1 The message cannot be stored at the moment, try again later")
}

// message gives a transaction as the queue keeps it.
func (t *transaction) message(d *dialogue) *queue.Message {
	m := &queue.Message{Submitter: d.submitter(), Session: d.conn.Session, Sender: t.sender, Recipients: t.envelope}
	for _, p := range t.parameters {
		switch p.keyword {
		case "BODY":
			m.Body = p.value
		case "SMTPUTF8":
			m.UTF8 = true
		case "RET":
			m.Ret = p.value
		case "ENVID":
			m.EnvID = p.value
		}
	}
	return m
}

// awaitFinal waits for upstream's last word. With auto it does not wait long: then the message is queued, and when the
// word comes the queue is told.
func (d *dialogue) awaitFinal(t *transaction, size int64) error {
	upstream := t.upstream
	_ = upstream.conn.SetDeadline(time.Now().Add(finalTimeout))
	word := make(chan finalWord, 1)
	go func() {
		r, err := final(upstream.readReply())
		word <- finalWord{r, err}
	}()
	if d.delivery() != autoMode || t.spool == nil {
		return d.conclude(t, size, <-word)
	}
	timer := time.NewTimer(d.proxy.patience)
	defer timer.Stop()
	select {
	case w := <-word:
		return d.conclude(t, size, w)
	case <-timer.C:
	}
	return d.followLater(t, size, upstream, word)
}

// followLater queues a message that upstream has and has not answered for, and lets the queue wait for the answer. If the
// queue does not take it, the client has to wait.
func (d *dialogue) followLater(t *transaction, size int64, upstream *submission, word <-chan finalWord) error {
	t.why = "upstream takes its time, and its answer is still awaited"
	m := t.message(d)
	if err := d.proxy.Queue.Accept(context.Background(), m, t.spool, t.why, true); err != nil {
		d.log.Error("a message cannot be queued", "error", err)
		t.spool.Close()
		t.spool = nil
		return d.conclude(t, size, <-word)
	}
	permit, recipients := t.permit, len(t.recipients)
	d.link.detach()
	t.upstream, t.permit = nil, nil
	d.proxy.Queue.Follow(m.ID, func(ctx context.Context) queue.Result {
		defer context.AfterFunc(ctx, upstream.hangUp)()
		w := <-word
		permit.Sent(recipients)
		upstream.quit()
		return w.result()
	})
	return d.tellQueued(t, size, m)
}

// finalWord is upstream's reply to a whole message, or why there is none.
type finalWord struct {
	reply
	err error
}

func (w finalWord) result() queue.Result {
	if w.err != nil {
		return queue.Result{Reached: true, Sent: true, Err: w.err}
	}
	return queue.Result{Reached: true, Sent: true, Final: w.forQueue()}
}

// conclude hands back upstream's final reply, or queues the message if there was none or not the last one.
func (d *dialogue) conclude(t *transaction, size int64, w finalWord) error {
	t.permit.Sent(len(t.recipients))
	t.permit = nil
	if w.err != nil || w.code == 421 {
		d.link.drop()
	} else {
		d.release()
	}
	t.upstream = nil
	switch {
	case w.err != nil && t.spool == nil:
		d.log.Info("upstream gave no final reply", "error", w.err)
		return d.fail(t, size, faultUpstream)
	case w.err != nil:
		t.why = "upstream gave no final reply: " + w.err.Error()
		return d.enqueue(t, size)
	case w.positive():
		d.proxy.Queue.Heed(context.Background(), d.submitter(), w.forQueue())
		d.tally.messages++
		return d.finish(t, audit.Message{Outcome: audit.Allowed, Size: size}, w.reply)
	case d.postponable(w.reply) && t.spool != nil:
		t.why = w.text()
		return d.enqueue(t, size)
	}
	return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "upstream-refused", Size: size}, w.reply)
}

// forQueue gives a reply as the queue reads it.
func (r reply) forQueue() queue.Reply {
	return queue.Reply{Code: r.code, Enhanced: r.enhanced(), Text: r.text()}
}

// accountOf gives the account that a message of the queue was submitted for.
func accountOf(s queue.Submitter) token.Account {
	return token.Account{Provider: s.Provider, Grant: token.Grant(s.Grant), Name: s.Account}
}
