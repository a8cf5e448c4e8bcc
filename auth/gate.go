package auth

import (
	"cmp"
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
	"postern/internal/throttle"
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

// Locks says whom an administrator keeps out: a login that is locked, and those for whom, or for whose policy, a lockdown
// is on.
type Locks interface {
	Locked(ctx context.Context, login, policy string) (locked, lockdown bool, err error)
}

// Guesses counts wrong secrets and holds off those who guess. Its answer says nothing of whether there is such a login.
type Guesses interface {
	Admit(login string, from netip.Addr, attempt secret.Text) (throttle.Check, bool)
}

// Recorder writes the audit log.
type Recorder interface {
	Record(audit.Event) error
}

// GateConfig is what a gate is made of.
type GateConfig struct {
	Directory *Directory // required
	Passwords Passwords  // required
	Guesses   Guesses    // required
	Locks     Locks      // required
	Audit     Recorder   // required
	// Stamp notes the use of a password, without waiting; required.
	Stamp func(apppassword.Use)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait waits for a denied attempt's time to be over or ctx to end; nil means to really wait.
	Wait func(ctx context.Context, d time.Duration)
}

// Gate decides about attempts to sign in. It is safe for concurrent use. Close it before the audit log.
type Gate struct {
	directory atomic.Pointer[Directory]
	passwords Passwords
	guesses   Guesses
	locks     Locks
	audit     *diary
	stamp     func(apppassword.Use)
	now       func() time.Time
	wait      func(context.Context, time.Duration)
}

// NewGate makes a gate.
func NewGate(c GateConfig) *Gate {
	g := &Gate{passwords: c.Passwords, guesses: c.Guesses, locks: c.Locks, stamp: c.Stamp, now: c.Now, wait: c.Wait}
	g.directory.Store(c.Directory)
	if g.now == nil {
		g.now = time.Now
	}
	g.audit = &diary{log: c.Audit, now: g.now}
	if g.wait == nil {
		g.wait = wait
	}
	return g
}

// SetDirectory has attempts from now on decided by another directory.
func (g *Gate) SetDirectory(d *Directory) { g.directory.Store(d) }

// Close records what is not recorded yet of a flood. Nobody may sign in afterwards.
func (g *Gate) Close() error { return g.audit.close() }

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
	login, mapping := g.lookup(attempt.Login)
	grant, refusal := g.decide(ctx, attempt, login, mapping)
	if err := g.settle(ctx, attempt, login, grant, refusal, began, open); err != nil {
		return Grant{}, err
	}
	g.stamp(apppassword.Use{ID: grant.Password, At: began, From: attempt.Remote.Addr(), Protocol: string(attempt.Protocol), Client: cut(attempt.Client)})
	return grant, nil
}

// settle does the second half of an attempt that has been decided about: it opens, records, and has a denial take its
// time.
func (g *Gate) settle(ctx context.Context, attempt Attempt, login string, grant Grant, refusal *Refusal, began time.Time,
	open func(context.Context, Grant) error) error {
	if refusal == nil && open != nil {
		if err := open(ctx, grant); err != nil {
			refusal = RefusalOf(err)
		}
	}
	if err := g.audit.record(event(attempt, login, grant, refusal)); err != nil {
		refusal = &Refusal{Kind: Unavailable, Reason: AuditUnavailable, Err: errors.Join(err, asError(refusal))}
	}
	if refusal != nil && refusal.Kind == Denied {
		g.wait(ctx, began.Add(denialTime+rand.N(denialJitter)).Sub(g.now()))
	}
	return asError(refusal)
}

// asError keeps a nil refusal from becoming an error that is not nil.
func asError(refusal *Refusal) error {
	if refusal == nil {
		return nil
	}
	return refusal
}

// decide applies the policy to an attempt, unless it is held off: then its secret is not even looked at.
func (g *Gate) decide(ctx context.Context, attempt Attempt, login string, mapping *Mapping) (Grant, *Refusal) {
	check, admitted := g.guesses.Admit(login, attempt.Remote.Addr(), attempt.Secret)
	if !admitted {
		return Grant{}, denied(HeldOff)
	}
	grant, refusal := g.judge(ctx, attempt, login, mapping)
	switch {
	case refusal == nil:
		check.Passed()
	case refusal.Reason == UnknownLogin, refusal.Reason == WrongPassword:
		check.Wrong()
	default:
		check.Void()
	}
	return grant, refusal
}

// lookup gives the login that a typed name is for, under which everything is counted and kept, and its mapping; nil for a
// name that is not known, which stands for itself.
func (g *Gate) lookup(typed string) (login string, mapping *Mapping) {
	m, known := g.directory.Load().Lookup(typed)
	if !known {
		return Canonical(typed), nil
	}
	return m.Login, &m
}

// name gives the login that a typed name is for.
func (g *Gate) name(typed string) string {
	login, _ := g.lookup(typed)
	return login
}

// judge holds an attempt against password and policy. The secret is always checked, so that an unknown login costs what
// a known one does.
func (g *Gate) judge(ctx context.Context, attempt Attempt, login string, mapping *Mapping) (Grant, *Refusal) {
	verdict, err := g.passwords.Verify(ctx, login, attempt.Secret)
	if err != nil {
		return Grant{}, &Refusal{Kind: Unavailable, Reason: StoreUnavailable, Err: err}
	}
	// Asked at each sign-in, also where the answer does not matter: a lock counts at once, and shows in no time.
	policy := ""
	if mapping != nil {
		policy = mapping.Policy.Name
	}
	locked, lockdown, err := g.locks.Locked(ctx, login, policy)
	if err != nil {
		return Grant{}, &Refusal{Kind: Unavailable, Reason: StoreUnavailable, Err: err}
	}
	if mapping == nil {
		return Grant{}, denied(UnknownLogin)
	}
	grant := mapping.grant(attempt.Protocol)
	grant.Password = verdict.Password.ID
	grant.Evidence = verdict.Password.Evidence
	grant.Expires = expiry(verdict.Password, mapping.Policy.MFA.MaxAge)
	grant.ReadOnly = grant.ReadOnly || verdict.Password.ReadOnly
	reason := why(attempt, mapping.Policy, verdict, g.now())
	if reason == "" && attempt.Identity != "" && g.name(attempt.Identity) != login {
		reason = IdentityForbidden // RFC 4616: obeyed or refused; nobody here acts as somebody else
	}
	if verdict.Status == apppassword.Valid { // of a wrong password the log says that, as it does of any login's
		reason = cmp.Or(shutOut(locked, lockdown), reason)
	}
	if reason != "" {
		return grant, denied(reason)
	}
	return grant, nil
}

// shutOut gives the reason to deny a login that an administrator keeps out; empty when none does.
func shutOut(locked, lockdown bool) Reason {
	switch {
	case lockdown:
		return LockedDown
	case locked:
		return LoginLocked
	}
	return ""
}

func denied(reason Reason) *Refusal { return &Refusal{Kind: Denied, Reason: reason} }

// why gives the first reason to deny an attempt of a known login; empty when there is none.
func why(attempt Attempt, policy *config.Policy, verdict apppassword.Verdict, now time.Time) Reason {
	password, protocol := verdict.Password, string(attempt.Protocol)
	switch {
	case verdict.Status == apppassword.Revoked:
		return PasswordRevoked
	case verdict.Status == apppassword.Expired:
		return PasswordExpired
	case verdict.Status != apppassword.Valid:
		return WrongPassword
	case !policy.MFA.Accepts(password.Evidence.Method):
		return EvidenceMissing
	case policy.MFA.Aged(password.Evidence.At, now):
		return EvidenceExpired
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

// expiry gives when a password ends by itself, or the evidence behind it does; the zero time for never.
func expiry(password apppassword.Record, maxAge config.Duration) time.Time {
	if maxAge == 0 {
		return password.Expires
	}
	aged := password.Evidence.At.Add(time.Duration(maxAge))
	if password.Expires.IsZero() || aged.Before(password.Expires) {
		return aged
	}
	return password.Expires
}

// within reports whether an address is in one of the networks; no networks at all mean every address.
func within(networks []netip.Prefix, address netip.Addr) bool {
	if len(networks) == 0 {
		return true
	}
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// event is the audit's line of an attempt.
func event(attempt Attempt, login string, grant Grant, refusal *Refusal) audit.SignIn {
	e := audit.SignIn{
		Outcome:   audit.Allowed,
		Session:   attempt.Session,
		Protocol:  string(attempt.Protocol),
		Login:     cut(login),
		Mailbox:   grant.Mailbox,
		Remote:    attempt.Remote.String(),
		Mechanism: attempt.Mechanism,
		Client:    cut(attempt.Client),
		Password:  grant.Password,
	}
	if grant.Mailbox != "" {
		e.Account = grant.Account.String()
	}
	if typed := Canonical(attempt.Login); typed != login {
		e.Alias = cut(typed)
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
