package smtpproxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/internal/audit"
	"postern/internal/diagnosis"
	"postern/internal/queue"
)

// maxRecipients is how many recipients one message may have: Exchange's largest limit (reference C).
const maxRecipients = 1000

// receivedRoom is what a declared size grows by, in bytes, for the Received line that is added.
const receivedRoom = 1024

// transaction is a mail transaction (RFC 5321 section 3.3).
type transaction struct {
	sender     string            // as the sending policy has it
	parameters []parameter       // of MAIL
	utf8       bool              // SMTPUTF8 was asked for
	eightBit   bool              // 8-bit characters were announced
	recipients []string          // that were accepted
	envelope   []queue.Recipient // the same, with what was asked for each
	refused    reply             // the last refusal of a recipient; its code is 0 when there was none

	upstream *submission   // nil where the message goes to the queue
	permit   *queue.Permit // for upstream; nil without one
	why      string        // why it goes to the queue; empty where it does not
	spool    *queue.Spool  // takes the content; nil where the message cannot go to the queue
}

// mail answers MAIL: it sees to a connection to upstream and hands the command on.
func (d *dialogue) mail(ctx context.Context, rest string) error {
	switch {
	case d.hello == "":
		return d.reject(say(503, "5.5.1 EHLO first"))
	case !d.conn.MaySignIn():
		return d.send(replyTLSFirst)
	case d.grant == nil && !d.knownByAddress():
		return d.send(replyAuthFirst)
	case d.transaction != nil, d.chunks != nil:
		return d.reject(replySequence)
	}
	if d.grant == nil {
		if known, err := d.byAddress(ctx); err != nil || !known {
			return err
		}
	}
	sender, parameters, ok := parsePath(rest, "FROM:", d.door.Profile)
	if !ok {
		return d.reject(replySyntax)
	}
	if r := checkMailParameters(parameters, d.maxSize()); r.code != 0 {
		return d.send(r)
	}
	t := &transaction{sender: sender, eightBit: announcesEightBit(parameters)}
	allowed, f := sendersOf(d.grant).envelope(sender)
	if f != nil {
		return d.fail(t, 0, f)
	}
	t.sender = allowed
	if !t.eightBit && d.door.Profile.Undeclared8Bit {
		parameters = announceEightBit(parameters)
	}
	t.parameters = parameters
	for _, p := range parameters {
		t.utf8 = t.utf8 || p.keyword == "SMTPUTF8"
	}
	return d.setOut(ctx, t, parameters)
}

// knownByAddress reports whether the client need not sign in to be somebody.
func (d *dialogue) knownByAddress() bool {
	return d.door.WithoutAuth && (d.extended || d.door.Profile.HELOOnly)
}

// checkMailParameters gives the reply to parameters that cannot be granted; code 0 when all can.
func checkMailParameters(parameters []parameter, maxSize int64) reply {
	for _, p := range parameters {
		switch p.keyword {
		case "SIZE":
			size, err := strconv.ParseUint(p.value, 10, 63)
			if err != nil {
				return replySyntax
			}
			if size > uint64(maxSize) {
				return replyTooBig
			}
		case "BODY":
			if body := strings.ToUpper(p.value); body != "7BIT" && body != "8BITMIME" {
				return say(555, "5.5.4 Unsupported BODY type")
			}
		case "SMTPUTF8", "RET", "ENVID", "AUTH":
		default:
			return say(555, "5.5.4 Unsupported MAIL parameter")
		}
	}
	return reply{}
}

// announcesEightBit reports whether MAIL said that the message may have 8-bit characters: in its body (RFC 6152), or in its
// header and so anywhere (RFC 6531 section 3.6).
func announcesEightBit(parameters []parameter) bool {
	return slices.ContainsFunc(parameters, func(p parameter) bool {
		return p.keyword == "BODY" && strings.EqualFold(p.value, "8BITMIME") || p.keyword == "SMTPUTF8"
	})
}

// announceEightBit makes up for what the client did not say.
func announceEightBit(parameters []parameter) []parameter {
	kept := slices.DeleteFunc(slices.Clone(parameters), func(p parameter) bool { return p.keyword == "BODY" })
	return append(kept, parameter{"BODY", "8BITMIME"})
}

// openTransaction sends MAIL to upstream: over a connection that waits for the mailbox's next message, if it still works,
// or over a new one.
func (d *dialogue) openTransaction(ctx context.Context, t *transaction, parameters []parameter) (reply, error) {
	for kept := d.proxy.pool.take(d.key()); kept != nil; kept = d.proxy.pool.take(d.key()) {
		if !d.link.put(kept) {
			return reply{}, errCutOff
		}
		r, err := kept.mail(t.sender, parameters)
		if err == nil && r.code != 421 {
			t.upstream = kept
			return r, nil
		}
		d.link.drop() // upstream had closed it meanwhile
	}
	opened, err := d.proxy.open(ctx, d.key())
	if err != nil {
		return reply{}, err
	}
	if !d.link.put(opened) {
		return reply{}, errCutOff
	}
	t.upstream = opened
	r, err := opened.mail(t.sender, parameters)
	if err != nil {
		t.upstream = nil
		d.link.drop()
		return reply{}, err
	}
	return r, nil
}

// errCutOff is a session that somebody has ended meanwhile.
var errCutOff = fmt.Errorf("%w: the session was cut off", errUpstream)

// mailCommand writes MAIL for upstream, with the parameters that it knows. AUTH= (RFC 4954 section 5) is the gateway's
// own business with upstream and is not handed on.
func mailCommand(s *submission, sender string, parameters []parameter) string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + sender + ">")
	for _, p := range parameters {
		extension := map[string]string{"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN"}[p.keyword]
		if _, offered := s.extensions[extension]; !offered {
			continue
		}
		value := p.value
		if p.keyword == "SIZE" {
			size, _ := strconv.ParseUint(value, 10, 63)
			value = strconv.FormatUint(size+receivedRoom, 10)
		}
		b.WriteString(" " + p.keyword)
		if value != "" {
			b.WriteString("=" + value)
		}
	}
	return b.String()
}

// rcpt answers RCPT: it hands the command on, or accepts it for the queue.
func (d *dialogue) rcpt(rest string) error {
	t := d.transaction
	if t == nil {
		return d.outOfTurn()
	}
	address, parameters, ok := parsePath(rest, "TO:", d.door.Profile)
	if !ok || address == "" {
		return d.reject(replySyntax)
	}
	if len(t.recipients) >= maxRecipients {
		return d.send(say(452, "4.5.3 Too many recipients"))
	}
	if patterns := d.grant.Policy.Send.Recipients; len(patterns) > 0 && !matchesAddress(patterns, address) {
		t.refused = replyRecipientForbidden
		return d.send(t.refused)
	}
	recipient := queue.Recipient{Address: address}
	for _, p := range parameters {
		if p.keyword != "NOTIFY" && p.keyword != "ORCPT" {
			return d.send(say(555, "5.5.4 Unsupported RCPT parameter"))
		}
		if p.value == "" { // RFC 3461 section 4: both have one
			return d.reject(replySyntax)
		}
		if p.keyword == "NOTIFY" {
			recipient.Notify = p.value
		} else {
			recipient.ORcpt = p.value
		}
	}
	return d.addRecipient(t, recipient)
}

// addRecipient has upstream decide about a recipient, unless the message goes to the queue.
func (d *dialogue) addRecipient(t *transaction, recipient queue.Recipient) error {
	r := replyRecipientOK
	if t.why == "" {
		var err error
		r, err = t.upstream.rcpt(recipient)
		switch lost := err != nil || r.code == 421; {
		case lost && d.delivery() == autoMode:
			d.lostUpstream(t)
			d.turnToQueue(t, "upstream was lost before the message")
			r = replyRecipientOK
		case lost:
			return d.lose(err)
		case !r.positive() && d.postponable(r):
			d.turnToQueue(t, r.text())
			r = replyRecipientOK
		}
	}
	if r.positive() {
		t.recipients = append(t.recipients, recipient.Address)
		t.envelope = append(t.envelope, recipient)
	} else {
		t.refused = r
	}
	return d.send(r)
}

// rcptCommand writes RCPT for upstream, with what it knows of RFC 3461.
func rcptCommand(s *submission, recipient queue.Recipient) string {
	command := "RCPT TO:<" + recipient.Address + ">"
	if _, offered := s.extensions["DSN"]; !offered {
		return command
	}
	if recipient.Notify != "" {
		command += " NOTIFY=" + recipient.Notify
	}
	if recipient.ORcpt != "" {
		command += " ORCPT=" + recipient.ORcpt
	}
	return command
}

// lose ends a transaction whose upstream is gone.
func (d *dialogue) lose(err error) error {
	d.log.Info("upstream lost", "error", err)
	t := d.transaction
	d.transaction = nil
	d.lostUpstream(t)
	lost := audit.Message{Outcome: audit.Refused, Reason: "upstream-unavailable"}
	if err != nil {
		lost.Detail = err.Error()
	}
	return d.finish(t, lost, replyUpstreamBroken)
}

// abandon ends a transaction that the client did not bring to an end (RFC 5321 section 4.1.1.5), and makes upstream
// ready for the next.
func (d *dialogue) abandon() {
	d.dropChunks(audit.Message{Reason: "given-up"}, replyTrouble)
	if t := d.transaction; t != nil {
		d.forget()
		d.letGo(t)
	}
}

// forget ends a transaction on this side. One that came to nothing because upstream refused its recipients is a
// message refused.
func (d *dialogue) forget() {
	t := d.transaction
	d.transaction = nil
	if t != nil && t.refused.code != 0 && len(t.recipients) == 0 {
		d.record(t, audit.Message{Outcome: audit.Refused, Reason: "recipients-refused"}, t.refused)
	}
}

// finish records what became of a message and tells the client. What upstream said comes first, word for word; where it is
// known what that means, the audit log has it whole. To a refusal that somebody has to mend, the client gets it in one
// line more.
func (d *dialogue) finish(t *transaction, m audit.Message, r reply) error {
	meant, known := d.translate(t, r)
	if known {
		m.Detail = meant.String()
	}
	d.record(t, m, r)
	if known && meant.Fix != "" && r.code/100 == 5 {
		r = r.and(meant.Short)
	}
	return d.send(r)
}

// translate gives what a refusal of upstream's means.
func (d *dialogue) translate(t *transaction, r reply) (diagnosis.Diagnosis, bool) {
	if !r.upstream {
		return diagnosis.Diagnosis{}, false
	}
	return diagnosis.SMTP(r.text(), diagnosis.Subject{Mailbox: d.grant.Mailbox, Sender: t.sender})
}

// record writes the one audit line of a message. It is written when the outcome is known and before the client hears
// of it. Should it fail, the client is told the truth all the same: upstream has the message or has it not, and a
// client that hears otherwise sends it twice. That the log cannot be written then stops the next sign-in.
func (d *dialogue) record(t *transaction, m audit.Message, r reply) {
	m.Session, m.Login, m.Mailbox = d.conn.Session, d.grant.Login, d.grant.Mailbox
	m.Sender, m.Recipients, m.Reply = t.sender, t.recipients, r.text()
	if m.Recipients == nil {
		m.Recipients = []string{}
	}
	if err := d.proxy.Audit.Record(m); err != nil {
		d.log.Error("a message is not in the audit log", "outcome", m.Outcome, "error", err)
	}
}
