package queue

import (
	"context"
	"time"

	"postern/internal/audit"
	"postern/internal/store"
)

// Follow waits for what becomes of a message that was in flight when it was accepted, see [Queue.Accept], and keeps it.
// await may not outlive its context.
func (q *Queue) Follow(id string, await func(context.Context) Result) {
	began := q.now()
	q.work.Go(func() {
		defer q.taken.unset(q.taken.messages, id)
		ctx, cancel := context.WithTimeout(q.cut, deliverTimeout)
		defer cancel()
		result := await(ctx)
		var row store.QueuedMessage
		var err error
		q.insist(id, func() error {
			row, err = q.config.Store.QueuedMessage(context.Background(), id)
			return err
		})
		if err != nil {
			return // it is gone, or the queue is stopping
		}
		m, err := messageOf(row)
		if err != nil {
			q.setAside(row, err)
			return
		}
		q.heedResult(m, q.config.Identities.Limits(m.Submitter.Login), result)
		q.conclude(row, m, openRecipients(row), began, result)
	})
}

// fate sorts recipients by what became of them in a try.
type fate struct {
	delivered, refused, waiting []int
	changes                     map[int]store.QueuedRecipient
}

// sort gives the fate of the recipients of a try.
func sortRecipients(open []int, result Result) fate {
	f := fate{changes: make(map[int]store.QueuedRecipient)}
	for _, number := range open {
		reply, own := result.Recipients[number]
		if !own {
			reply = result.Final
		}
		r := store.QueuedRecipient{State: store.RecipientWaiting, Reply: reply.Text}
		switch class := Classify(reply); class {
		case Delivered:
			r.State = store.RecipientDelivered
			f.delivered = append(f.delivered, number)
		case Refused:
			r.State = store.RecipientRefused
			f.refused = append(f.refused, number)
		default:
			f.waiting = append(f.waiting, number)
			if reply.Code == 0 {
				r.Reply = word(result)
			}
		}
		f.changes[number] = r
	}
	return f
}

// conclude keeps the end of a try: it records what was delivered, reports what was refused, plans the next try of the
// rest, or gives up. A message is done when there is nothing left to try and everybody knows who has to.
func (q *Queue) conclude(row store.QueuedMessage, m *Message, open []int, began time.Time, result Result) {
	now := q.now()
	f := sortRecipients(open, result)
	if len(f.delivered) > 0 {
		q.record(audit.MessageDelivered{ID: m.ID, Session: m.Session, Login: m.Submitter.Login, Mailbox: m.Submitter.Mailbox,
			Sender: m.Sender, Recipients: m.addresses(f.delivered), Reply: result.Final.Text, Tries: row.Tries + 1, Queued: now.Sub(m.Accepted).Milliseconds()})
	}
	wait := delay(m.ID, row.Tries+1)
	taken := now.Sub(began)
	p := store.Progress{
		Try:   store.Try{Began: began, Ended: now, Outcome: outcome(f), Reply: word(result)},
		State: store.Waiting, Reason: word(result), NextTry: now.Add(wait), Wait: wait + taken, Counts: true, Recipients: f.changes,
	}
	reason := word(result)
	if len(f.waiting) > 0 && row.Waited+taken+wait > patience {
		for _, number := range f.waiting {
			f.changes[number] = store.QueuedRecipient{State: store.RecipientRefused, Reply: f.changes[number].Reply}
		}
		f.refused, f.waiting = append(f.refused, f.waiting...), nil
		reason = "given up: " + reason
	}
	told := q.reportFailure(row, m, f, &p, reason, now)
	switch {
	case len(f.waiting) > 0:
		q.warn(row, m, f, &p, now)
	case told:
		p.Done = true
	default: // nobody can be told, so an administrator has to be shown
		p.State, p.Reason = store.Held, "undeliverable, and it has no sender to tell: "+reason
		q.record(audit.MessageHeld{ID: m.ID, Login: m.Submitter.Login, Mailbox: m.Submitter.Mailbox, State: string(p.State), Reason: p.Reason})
	}
	q.advance(m.ID, p)
}

// outcome names what a try came to.
func outcome(f fate) string {
	switch {
	case len(f.waiting) == 0 && len(f.refused) == 0:
		return "delivered"
	case len(f.delivered) > 0:
		return "delivered in part"
	case len(f.waiting) == 0:
		return "refused"
	}
	return "deferred"
}

// reportFailure has the sender told of the recipients that were refused, and reports whether everybody is told who has
// to be. A null sender is never told (RFC 5321 section 6.1), nor one that does not want to be (RFC 3461 section 4.1).
func (q *Queue) reportFailure(row store.QueuedMessage, m *Message, f fate, p *store.Progress, reason string, now time.Time) bool {
	earlier := false // one of them was refused in an earlier try, and nobody could be told
	for _, r := range row.Recipients {
		earlier = earlier || r.State == store.RecipientRefused
	}
	silent := m.Sender == "" || m.Report
	if len(f.refused) == 0 {
		return !silent || !earlier
	}
	q.record(audit.MessageBounced{ID: m.ID, Session: m.Session, Login: m.Submitter.Login, Mailbox: m.Submitter.Mailbox, Sender: m.Sender,
		Recipients: m.addresses(f.refused), Reason: reason, Tries: row.Tries + 1, Queued: now.Sub(m.Accepted).Milliseconds()})
	if silent {
		return false
	}
	var told []int
	for _, number := range f.refused {
		if m.Recipients[number].wants("FAILURE") {
			told = append(told, number)
		}
	}
	return len(told) == 0 || q.report(row, m, failed, told, f.changes, p, now)
}

// warn has the sender told, once, that a message is still waiting (RFC 5321 section 4.5.4.1): at the try that is nearest to
// warnAfter.
func (q *Queue) warn(row store.QueuedMessage, m *Message, f fate, p *store.Progress, now time.Time) {
	if row.Warned || m.Sender == "" || m.Report || row.Waited+p.Wait-p.NextTry.Sub(now)/2 <= warnAfter {
		return
	}
	var told []int
	for _, number := range f.waiting {
		if m.Recipients[number].wants("DELAY") {
			told = append(told, number)
		}
	}
	p.Warned = true
	if len(told) == 0 || !q.report(row, m, delayed, told, f.changes, p, now) {
		return
	}
	q.record(audit.MessageDelayed{ID: m.ID, Login: m.Submitter.Login, Mailbox: m.Submitter.Mailbox, Sender: m.Sender,
		Recipients: m.addresses(told), Reason: word(Result{Final: Reply{Code: 1, Text: p.Reason}}), Tries: row.Tries + 1})
}

// report adds a report to what a try changes. It reports false, and says so in the log, when none can be made: the
// message then stays in the queue for an administrator.
func (q *Queue) report(row store.QueuedMessage, m *Message, kind reportKind, numbers []int, changes map[int]store.QueuedRecipient, p *store.Progress, now time.Time) bool {
	report, err := q.newReport(row, m, kind, numbers, changes, p.NextTry, now)
	if err != nil {
		q.log.Error("no report can be made", "message", m.ID, "error", err)
		return false
	}
	p.Reports = append(p.Reports, report)
	return true
}

// addresses gives the addresses of recipients by their numbers.
func (m *Message) addresses(numbers []int) []string {
	list := make([]string, len(numbers))
	for i, number := range numbers {
		list[i] = m.Recipients[number].Address
	}
	return list
}
