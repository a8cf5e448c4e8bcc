package auth

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/config"
)

// sendersByWidth are the values of Send.From, from the narrowest to the widest for somebody who has a grant of the wider.
var sendersByWidth = []string{config.RefuseSender, config.RewriteSender, config.PassSender}

// Upholds reports whether a session that was let in with a grant, under an earlier configuration perhaps, may go on under
// this one: its login is still for the same mailbox by the same account, its policy still allows the protocol and the
// address, and allows no less than what the session was given. expires is when it has to end; the zero time means never.
//
// What has become wider counts from the next sign-in on, and is no reason to end a session.
func (d *Directory) Upholds(protocol Protocol, from netip.Addr, grant *Grant, now time.Time) (expires time.Time, ok bool) {
	mapping, known := d.Lookup(grant.Login)
	if !known || mapping.Login != grant.Login {
		return time.Time{}, false
	}
	evidence := grant.Evidence
	if grant.Password == "" { // it is known by its address
		holder, held := d.LookupAddress(from)
		if !held || holder.Login != grant.Login {
			return time.Time{}, false
		}
		evidence.Method, evidence.At = config.CommandLine, now
	}
	fresh := mapping.grant(protocol)
	mfa := mapping.Policy.MFA
	if fresh.Mailbox != grant.Mailbox || fresh.User != grant.User || fresh.Account != grant.Account ||
		!slices.Contains(mapping.Policy.Protocols, string(protocol)) || !within(mapping.Policy.Networks, from) ||
		!mfa.Accepts(evidence.Method) || mfa.Aged(evidence.At, now) || fresh.narrows(protocol, grant) {
		return time.Time{}, false
	}
	expires = grant.Expires
	if aged := evidence.At.Add(time.Duration(mfa.MaxAge)); mfa.MaxAge > 0 && grant.Password != "" && (expires.IsZero() || aged.Before(expires)) {
		expires = aged
	}
	return expires, true
}

// narrows reports whether a grant allows less than another one of the same login.
func (g Grant) narrows(protocol Protocol, other *Grant) bool {
	if protocol == IMAP {
		return g.ReadOnly && !other.ReadOnly || narrower(g.Folders, other.Folders)
	}
	is, was := g.Policy.Send, other.Policy.Send
	return lacks(g.Addresses, other.Addresses) || narrower(is.Recipients, was.Recipients) ||
		widthOf(is.From) < widthOf(was.From) || is.MaxSize > 0 && (was.MaxSize == 0 || is.MaxSize < was.MaxSize) ||
		is.Delivery != was.Delivery
}

// widthOf gives the place of a sending rule among sendersByWidth.
func widthOf(from string) int {
	if from == "" {
		from = config.PassSender
	}
	return slices.Index(sendersByWidth, from)
}

// narrower reports whether a list of what is allowed leaves out something of another; an empty list allows everything.
func narrower(is, was []string) bool {
	return len(is) > 0 && (len(was) == 0 || lacks(is, was))
}

// lacks reports whether a list has not all of another, in whatever case.
func lacks(is, was []string) bool {
	return slices.ContainsFunc(was, func(w string) bool {
		return !slices.ContainsFunc(is, func(i string) bool { return strings.EqualFold(i, w) })
	})
}
