package preflight

import (
	"slices"

	"postern/auth"
	"postern/auth/token"
)

// What follows is concluded from the answers to several steps: Exchange Online says the same of faults that are mended in
// different ways (reference B.2, D.3).

// closed are the diagnoses that mean that a mailbox does not open to a token that is genuine.
var closed = []string{"not-connected", "token-not-accepted"}

// opened reports whether a protocol got into the mailbox.
func (v *visit) opened() bool { return v.imap.ok || v.smtp.ok }

// shut reports whether a protocol was refused for want of a right, or of the mailbox.
func (v *visit) shut() bool {
	return v.imap.tried && slices.Contains(closed, v.imap.name) || v.smtp.tried && slices.Contains(closed, v.smtp.name)
}

// principal says which object id Exchange has to know the application by: the enterprise application's, which is the oid of its
// token, and not that of the app registration.
func (v *visit) principal() {
	id := v.claims.ObjectID
	switch {
	case id == "":
		v.skip(checkPrincipal, "the token does not show the enterprise application's object id")
	case v.opened():
		v.ok(checkPrincipal, "Exchange knows the enterprise application %s", id)
	case v.shut() && len(v.lacking()) == 0:
		v.add(checkPrincipal, Warning, "compare: New-ServicePrincipal has to have had this object id, and not that of the app registration; "+
			"where it had another, Remove-ServicePrincipal, and New-ServicePrincipal -AppId "+v.settings.ClientID+" -ObjectId "+id,
			"Get-ServicePrincipal -Identity "+id+" | fl AppId,ObjectId", "the enterprise application's object id is %s; whether Exchange knows it does not show", id)
	default:
		v.skip(checkPrincipal, "the enterprise application's object id is %s; whether Exchange knows it does not show", id)
	}
}

// lacking gives the permissions that the token needs and is known not to have.
func (v *visit) lacking() (missing []string) {
	if !v.readable {
		return nil
	}
	for _, need := range v.needs() {
		if !v.claims.has(need) && need != "SMTP.SendAsApp" {
			missing = append(missing, need)
		}
	}
	return missing
}

// mailbox says whether the right on the mailbox is there.
func (v *visit) mailbox() {
	switch {
	case v.opened() && v.imap.tried && !v.imap.ok && v.imap.name == "not-connected" && v.smtp.ok && len(v.lacking()) == 0:
		v.halfOpen()
	case v.opened() && v.shut():
		v.skip(checkMailbox, "one protocol gets in and the other does not; see above")
	case v.opened():
		v.ok(checkMailbox, "%s opens to %s", v.login.Mailbox, v.login.Account)
	case v.shut() && len(v.lacking()) > 0:
		v.skip(checkMailbox, "the token lacks permissions; mend that first")
	case v.shut():
		v.add(checkMailbox, Failed, "an Exchange administrator gives the right; it counts after up to two hours", v.giveRight(),
			"%s has no right on %s, or there is no such mailbox", v.login.Account, v.login.Mailbox)
	default:
		v.skip(checkMailbox, "it was not tried, or the answer does not show it")
	}
}

// halfOpen is a mailbox that sends and does not open by IMAP.
func (v *visit) halfOpen() {
	if v.login.Account.Grant == token.Application && !v.claims.has("SMTP.SendAsApp") {
		// By a group (App RBAC) SMTP needs no right on the mailbox, so that it proves none.
		v.add(checkMailbox, Failed, "IMAP needs a right on the mailbox, also where a group allows SMTP", v.giveRight(),
			"%s may send, and IMAP does not open: a right on %s is missing, or IMAP is switched off", v.login.Account, v.login.Mailbox)
		return
	}
	who := v.login.Mailbox
	if v.login.Account.Grant == token.Delegated {
		who = v.login.Account.Name
	}
	if who != v.login.User(auth.IMAP) {
		v.add(checkMailbox, Failed, "give the person the right; where they have it, switch IMAP on for them", v.giveRight(),
			"%s may send and does not open %s by IMAP", v.login.Account, v.login.Mailbox)
		return
	}
	v.add(checkMailbox, Failed, "switch IMAP on; it counts after up to two hours", "Set-CASMailbox "+who+" -ImapEnabled $true",
		"%s may send, and does not open by IMAP: IMAP is switched off for it", who)
}

// giveRight is the command that gives the right on the mailbox.
func (v *visit) giveRight() string {
	return "Add-MailboxPermission -Identity " + v.login.Mailbox + " -User " + v.trustee() + " -AccessRights FullAccess"
}
