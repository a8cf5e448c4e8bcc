package auth

import (
	"context"
	"slices"

	"postern/internal/config"
)

// SignInByAddress decides about a client that shows nothing but where it comes from, on a listener that takes that for an
// identity. It is SignIn in all else: open, one event, and the time of a denial. The attempt has no login and no secret.
//
// The configuration's author has vouched for the address; that is the evidence behind it, as an administrator's word on
// the command line is. There is no app password that could be marked for TLS below 1.2: whoever lets a device in without
// one lets it in over any TLS, as it does in clear.
func (g *Gate) SignInByAddress(ctx context.Context, attempt Attempt, open func(context.Context, Grant) error) (Grant, error) {
	began := g.now()
	attempt.Mechanism = ByAddress
	mapping, known := g.directory.Load().LookupAddress(attempt.Remote.Addr())
	var grant Grant
	refusal := denied(UnknownAddress)
	if known {
		attempt.Login = mapping.Login
		grant = mapping.grant(attempt.Protocol)
		refusal = g.judgeAddress(ctx, attempt, mapping)
	}
	if err := g.settle(ctx, attempt, attempt.Login, grant, refusal, began, open); err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// judgeAddress holds a client that is known by its address against its policy.
func (g *Gate) judgeAddress(ctx context.Context, attempt Attempt, mapping Mapping) *Refusal {
	locked, lockdown, err := g.locks.Locked(ctx, mapping.Login, mapping.Policy.Name)
	switch policy := mapping.Policy; {
	case err != nil:
		return &Refusal{Kind: Unavailable, Reason: StoreUnavailable, Err: err}
	case shutOut(locked, lockdown) != "":
		return denied(shutOut(locked, lockdown))
	case !policy.MFA.Accepts(config.CommandLine):
		return denied(EvidenceMissing)
	case !slices.Contains(policy.Protocols, string(attempt.Protocol)):
		return denied(ProtocolForbidden)
	case !within(policy.Networks, attempt.Remote.Addr()):
		return denied(NetworkForbidden)
	}
	return nil
}

// grant gives what a login may do by a protocol, but for what an app password adds.
func (m Mapping) grant(protocol Protocol) Grant {
	return Grant{
		Login:     m.Login,
		Mailbox:   m.Mailbox,
		Addresses: m.senders(),
		User:      m.User(protocol),
		Account:   m.Account,
		ReadOnly:  m.Policy.IMAP.ReadOnly,
		Folders:   m.Policy.IMAP.Folders,
		Policy:    m.Policy,
	}
}
