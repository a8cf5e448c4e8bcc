package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
)

const (
	// denialTime is how long the answer to a denied attempt takes, whatever the reason, so that its time says nothing
	// (threat model I-26).
	denialTime = time.Second
	// denialJitter is the most that chance adds to denialTime.
	denialJitter = 250 * time.Millisecond
	// maxRecorded is how much of a text that a stranger chose goes into the audit log, in bytes.
	maxRecorded = 256
)

// Passwords verifies app passwords. Verify does the same work for every login and secret.
type Passwords interface {
	Verify(ctx context.Context, login string, attempt secret.Text) (apppassword.Verdict, error)
}

// Locks says which logins an administrator has locked.
type Locks interface {
	Locked(ctx context.Context, login string) (bool, error)
}

// Recorder writes the audit log.
type Recorder interface {
	Record(audit.Event) error
}

// GateConfig is what a gate is made of.
type GateConfig struct {
	Directory *Directory // required
	Passwords Passwords  // required
	Locks     Locks      // required
	Audit     Recorder   // required
	// Stamp notes the use of a password, without waiting; required.
	Stamp func(apppassword.Use)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait waits for a denied attempt's time to be over or ctx to end; nil means to really wait.
	Wait func(ctx context.Context, d time.Duration)
}

// Gate decides about attempts to sign in. It is safe for concurrent use.
type Gate struct {
	directory atomic.Pointer[Directory]
	passwords Passwords
	locks     Locks
	audit     Recorder
	stamp     func(apppassword.Use)
	now       func() time.Time
	wait      func(context.Context, time.Duration)
}

// NewGate makes a gate.
func NewGate(c GateConfig) *Gate {
	g := &Gate{passwords: c.Passwords, locks: c.Locks, audit: c.Audit, stamp: c.Stamp, now: c.Now, wait: c.Wait}
	g.directory.Store(c.Directory)
	if g.now == nil {
		g.now = time.Now
	}
	if g.wait == nil {
		g.wait = wait
	}
	return g
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// SignIn decides about an attempt. For an allowed one it calls open, which does what the client will be told has been
// done: it opens the mailbox, say; nil opens nothing. Then it records one event with the outcome of the whole, and
// returns. The error is a *[Refusal] always; what open has opened is its caller's to close, also after a refusal.
//
// The answer to a denied attempt takes a constant time and a bit of chance, whatever the reason.
func (g *Gate) SignIn(ctx context.Context, attempt Attempt, open func(context.Context, Grant) error) (Grant, error) {
	began := g.now()
	grant, refusal := g.decide(ctx, attempt)
	if refusal == nil && open != nil {
		if err := open(ctx, grant); err != nil {
			refusal = RefusalOf(err)
		}
	}
	if err := g.audit.Record(event(attempt, grant, refusal)); err != nil {
		refusal = &Refusal{Kind: Unavailable, Reason: AuditUnavailable, Err: errors.Join(err, asError(refusal))}
	}
	if refusal != nil {
		if refusal.Kind == Denied {
			g.wait(ctx, began.Add(denialTime+rand.N(denialJitter)).Sub(g.now()))
		}
		return Grant{}, refusal
	}
	g.stamp(apppassword.Use{ID: grant.Password, At: began, From: attempt.Remote.Addr(), Client: cut(attempt.Client)})
	return grant, nil
}

// asError keeps a nil refusal from becoming an error that is not nil.
func asError(refusal *Refusal) error {
	if refusal == nil {
		return nil
	}
	return refusal
}

// decide applies the policy. The secret is always checked, so that an unknown login costs what a known one does.
func (g *Gate) decide(ctx context.Context, attempt Attempt) (Grant, *Refusal) {
	mapping, known := g.directory.Load().Lookup(attempt.Login)
	verdict, err := g.passwords.Verify(ctx, Canonical(attempt.Login), attempt.Secret)
	if err != nil {
		return Grant{}, &Refusal{Kind: Unavailable, Reason: StoreUnavailable, Err: err}
	}
	// Asked at each sign-in, also where the answer does not matter: a lock counts at once, and shows in no time.
	locked, err := g.locks.Locked(ctx, Canonical(attempt.Login))
	if err != nil {
		return Grant{}, &Refusal{Kind: Unavailable, Reason: StoreUnavailable, Err: err}
	}
	if !known {
		return Grant{}, denied(UnknownLogin)
	}
	grant := Grant{
		Login:    mapping.Login,
		Mailbox:  mapping.Mailbox,
		User:     mapping.user(attempt.Protocol),
		Account:  mapping.Account,
		Password: verdict.Password.ID,
		Expires:  verdict.Password.Expires,
		ReadOnly: verdict.Password.ReadOnly || mapping.Policy.IMAP.ReadOnly,
		Folders:  mapping.Policy.IMAP.Folders,
		Policy:   mapping.Policy,
	}
	reason := why(attempt, mapping.Policy, verdict)
	if locked && verdict.Status == apppassword.Valid { // of a wrong password the log says that, as it does of any login's
		reason = LoginLocked
	}
	if reason != "" {
		return grant, denied(reason)
	}
	return grant, nil
}

func denied(reason Reason) *Refusal { return &Refusal{Kind: Denied, Reason: reason} }

// why gives the first reason to deny an attempt of a known login; empty when there is none.
func why(attempt Attempt, policy *config.Policy, verdict apppassword.Verdict) Reason {
	password, protocol := verdict.Password, string(attempt.Protocol)
	switch {
	case verdict.Status == apppassword.Revoked:
		return PasswordRevoked
	case verdict.Status == apppassword.Expired:
		return PasswordExpired
	case verdict.Status != apppassword.Valid:
		return WrongPassword
	case attempt.Identity != "" && Canonical(attempt.Identity) != Canonical(attempt.Login):
		return IdentityForbidden // RFC 4616: obeyed or refused; nobody here acts as somebody else
	case !slices.Contains(policy.Protocols, protocol), !slices.Contains(password.Protocols, protocol):
		return ProtocolForbidden
	case attempt.Protocol != IMAP && password.ReadOnly: // whoever may only read may not send
		return ProtocolForbidden
	case !within(policy.Networks, attempt.Remote.Addr()), !within(password.Networks, attempt.Remote.Addr()):
		return NetworkForbidden
	case attempt.TLS != 0 && attempt.TLS < tls.VersionTLS12 && !password.LegacyTLS:
		return LegacyTLS
	}
	return ""
}

// within reports whether an address is in one of the networks; no networks at all mean every address.
func within(networks []netip.Prefix, address netip.Addr) bool {
	if len(networks) == 0 {
		return true
	}
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// event is the audit's line of an attempt.
func event(attempt Attempt, grant Grant, refusal *Refusal) audit.SignIn {
	e := audit.SignIn{
		Outcome:   audit.Allowed,
		Session:   attempt.Session,
		Protocol:  string(attempt.Protocol),
		Login:     cut(Canonical(attempt.Login)),
		Mailbox:   grant.Mailbox,
		Remote:    attempt.Remote.String(),
		Mechanism: attempt.Mechanism,
		Client:    cut(attempt.Client),
		Password:  grant.Password,
	}
	if grant.Mailbox != "" {
		e.Account = grant.Account.String()
	}
	if attempt.TLS != 0 {
		e.TLS = tls.VersionName(attempt.TLS)
	}
	if refusal != nil {
		e.Outcome, e.Reason = audit.Refused, string(refusal.Reason)
		if refusal.Err != nil {
			e.Detail = refusal.Err.Error()
		}
	}
	return e
}

// cut bounds a text that a stranger chose.
func cut(s string) string { return s[:min(len(s), maxRecorded)] }
