package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"postern/internal/store"
)

// Limits are what a login's messages may use. They come from its provider and its policy.
type Limits struct {
	Connections      int // of the mailbox at once
	PerMinute        int // messages of the mailbox in any 60 seconds; 0 for no limit
	RecipientsPerDay int // of the mailbox in 24 hours; 0 for no limit
	LoginPerMinute   int // messages of the login in any 60 seconds; 0 for no limit
}

// Wait says why a message cannot go to upstream at the moment, and when to ask again. The zero value is no wait.
type Wait struct {
	Limit  store.Limit
	Until  time.Time // the zero time when it is another message's end that has to be waited for
	Reason string    // upstream's own words
}

// Any reports whether there is anything to wait for.
func (w Wait) Any() bool { return w.Limit != store.Unlimited }

// Words says it to people.
func (w Wait) Words() string {
	until := ""
	if !w.Until.IsZero() {
		until = ", until " + w.Until.UTC().Format("15:04:05") + " UTC"
	}
	switch w.Limit {
	case store.ConnectionLimit:
		return "the connections to upstream that the mailbox may have are all in use"
	case store.MessageLimit:
		return "the mailbox's messages of this minute are spent" + until
	case store.LoginLimit:
		return "the login's messages of this minute are spent" + until
	case store.RecipientLimit:
		return "the mailbox's recipients of this day are spent" + until
	case store.UpstreamSlowdown:
		return fmt.Sprintf("upstream has asked to go slower (%s)%s", w.Reason, until)
	}
	return ""
}

// Permit is the leave to have one message on its way to upstream. It must be given back, by Sent or by Unused.
type Permit struct {
	queue      *Queue
	submission store.Submission
	limits     store.SubmissionLimits
	over       atomic.Bool
}

// Admit gives the leave to have a message of a submitter on its way to upstream, or says what to wait for. It counts
// messages from the queue and those that go straight through alike, over a restart, and for all processes that share the
// store (threat model I-08).
func (q *Queue) Admit(ctx context.Context, s Submitter) (*Permit, Wait, error) {
	return q.admit(ctx, s.limited(), s.Login, q.config.Identities.Limits(s.Login), 1)
}

func (q *Queue) admit(ctx context.Context, mailbox, login string, l Limits, recipients int) (*Permit, Wait, error) {
	if !q.node.lives() {
		return nil, Wait{}, errNotAlive
	}
	p := &Permit{queue: q, limits: storeLimits(l), submission: store.Submission{ID: rand.Text(), Mailbox: mailbox, Login: login, Node: q.node.id, Recipients: recipients}}
	q.taken.set(q.taken.permits, p.submission.ID)
	verdict, err := q.config.Store.BeginSubmission(ctx, p.submission, p.limits, q.now())
	if err != nil || verdict.Limit != store.Unlimited {
		q.taken.unset(q.taken.permits, p.submission.ID)
	}
	if err != nil {
		return nil, Wait{}, q.doubtful(err)
	}
	if verdict.Limit != store.Unlimited {
		return nil, Wait{verdict.Limit, verdict.Until, verdict.Reason}, nil
	}
	return p, Wait{}, nil
}

func storeLimits(l Limits) store.SubmissionLimits {
	return store.SubmissionLimits{Connections: l.Connections, PerMinute: l.PerMinute, RecipientsPerDay: l.RecipientsPerDay, LoginPerMinute: l.LoginPerMinute}
}

// Widen has a message that was admitted be for so many recipients, or says what to wait for: all of them are to fit into what is
// left of the mailbox's day. The permit is to be given back either way.
func (p *Permit) Widen(ctx context.Context, recipients int) (Wait, error) {
	verdict, err := p.queue.config.Store.WidenSubmission(ctx, p.submission, recipients, p.limits, p.queue.now())
	if err != nil {
		return Wait{}, err
	}
	p.submission.Recipients = max(p.submission.Recipients, recipients)
	return Wait{verdict.Limit, verdict.Until, verdict.Reason}, nil
}

// Sent gives the permit back for a message that upstream may have counted, with so many recipients.
func (p *Permit) Sent(recipients int) {
	p.submission.Recipients = recipients
	p.giveBack(func(ctx context.Context) error {
		return p.queue.config.Store.EndSubmission(ctx, p.submission, p.queue.now())
	})
}

// Unused gives the permit back when no message has reached upstream.
func (p *Permit) Unused() {
	p.giveBack(func(ctx context.Context) error { return p.queue.config.Store.CancelSubmission(ctx, p.submission) })
}

// giveBack gives the permit back once. When the store does not take it, the permit stays in use until it does.
func (p *Permit) giveBack(do func(context.Context) error) {
	if p.over.Swap(true) {
		return
	}
	err := p.queue.doubtful(do(context.Background()))
	p.queue.taken.unset(p.queue.taken.permits, p.submission.ID)
	if err != nil {
		p.queue.log.Error("a place for messages is not free again yet", "mailbox", p.submission.Mailbox, "error", err)
	}
	// Whatever waits for a permit has a drain that does. Without one there is nothing to look for.
	p.queue.freed(p.submission.Mailbox)
}

// AdmitRecipients counts recipients that a login has had accepted against its policy's limit of a day. If there are too
// many it gives when there is room again.
func (q *Queue) AdmitRecipients(ctx context.Context, login string, recipients, most int) (until time.Time, err error) {
	if most == 0 {
		return time.Time{}, nil
	}
	return q.config.Store.AdmitRecipients(ctx, login, recipients, most, q.now())
}

const (
	// crowdedPause, hurriedPause and slowedPause are how long a mailbox rests after upstream's words of that kind. Upstream
	// counts other programs of the same mailbox, too, so they come even where the limits are kept.
	crowdedPause = 20 * time.Second
	hurriedPause = time.Minute
	slowedPause  = 5 * time.Minute
	spentPause   = 30 * time.Minute
	// longestPause is the longest rest: it doubles while upstream goes on complaining.
	longestPause = time.Hour
	// recovery is how long upstream has to be content before a mailbox gets one more connection again.
	recovery = 2 * time.Minute
)

// Heed takes upstream's reply to a message as what it says about the mailbox's pace: one that complains lowers it, one
// that does not lets it recover.
func (q *Queue) Heed(ctx context.Context, s Submitter, r Reply) {
	q.heed(ctx, s.limited(), q.config.Identities.Limits(s.Login), r)
}

// Backlog reports whether messages of the submitter's mailbox wait for its limits. A new one has to get in line: it would
// take the place of one that was there before.
func (q *Queue) Backlog(s Submitter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.drains[s.limited()]
	return d != nil && d.waiting.Load()
}

func (q *Queue) heed(ctx context.Context, mailbox string, l Limits, r Reply) {
	class := Classify(r)
	pause := map[Class]time.Duration{Crowded: crowdedPause, Hurried: hurriedPause, Slowed: slowedPause, Spent: spentPause}[class]
	if pause == 0 && class != Delivered {
		return
	}
	now := q.now()
	if pause == 0 {
		pace, err := q.config.Store.Pace(ctx, mailbox)
		if err != nil || pace.Connections == 0 || now.Sub(pace.Changed) < recovery {
			return
		}
	}
	err := q.config.Store.ChangePace(ctx, mailbox, func(p store.Pace) store.Pace {
		if pause == 0 {
			return recovered(p, l, now)
		}
		return lowered(p, l, class, pause, r, now)
	})
	if err != nil {
		q.log.Error("the pace of a mailbox is not changed", "mailbox", mailbox, "error", err)
		return
	}
	if pause > 0 {
		q.log.Info("upstream wants a mailbox to go slower", "mailbox", mailbox, "reply", r.Text)
	}
}

// lowered gives the pace after a complaint.
func lowered(p store.Pace, l Limits, class Class, pause time.Duration, r Reply, now time.Time) store.Pace {
	if p.Connections == 0 {
		p.Connections = max(1, l.Connections)
	} else if rest := p.NotBefore.Sub(p.Changed); now.Before(p.NotBefore.Add(recovery)) && now.After(p.NotBefore) {
		pause = min(max(pause, 2*rest), longestPause)
	}
	if class == Crowded || class == Slowed {
		p.Connections = max(1, p.Connections-1)
	}
	if until := now.Add(pause); until.After(p.NotBefore) {
		p.NotBefore = until
	}
	p.Changed, p.Reason = now, r.Text
	return p
}

// recovered gives the pace after upstream has been content for a while; none at all when that is the limits' again.
func recovered(p store.Pace, l Limits, now time.Time) store.Pace {
	p.Connections++
	p.Changed = now
	if p.Connections >= l.Connections {
		p.Connections = 0
	}
	return p
}
