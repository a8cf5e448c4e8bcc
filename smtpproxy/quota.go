package smtpproxy

import (
	"context"
	"fmt"

	"postern/auth"
	"postern/internal/audit"
)

// spend counts the message's recipients against the policy's limit of a day. The reply has the code 0 if they fit.
func (d *dialogue) spend(ctx context.Context, t *transaction) (reply, error) {
	most := d.grant.Policy.Limits.RecipientsPerDay
	until, err := d.proxy.Queue.AdmitRecipients(ctx, d.grant.Login, len(t.recipients), most)
	switch {
	case err != nil:
		return replyTrouble, err
	case !until.IsZero():
		return say(452, fmt.Sprintf("4.5.3 The policy allows %d recipients in 24 hours; try again after %s UTC", most, until.UTC().Format("15:04"))), nil
	}
	return reply{}, nil
}

// widen counts the message's recipients against what is left of the mailbox's day upstream, where it is on its way there.
func (d *dialogue) widen(ctx context.Context, t *transaction) (answered bool, err error) {
	if t.permit == nil {
		return false, nil
	}
	wait, err := t.permit.Widen(ctx, len(t.recipients))
	switch {
	case err != nil:
		d.log.Error("the limits of a mailbox cannot be read", "error", err)
		d.abandon()
		return true, d.finish(t, audit.Message{Outcome: audit.Refused, Reason: string(auth.StoreUnavailable), Detail: err.Error()}, replyTrouble)
	case wait.Any() && d.delivery() == autoMode:
		d.turnToQueue(t, wait.Words())
	case wait.Any():
		d.abandon()
		return true, d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "limit", Detail: wait.Words()}, waitReply(wait))
	}
	return false, nil
}
