package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/store"
)

// LockdownOrder says whom to cut off, or whom to let in again: some logins, those with a policy, or all.
type LockdownOrder struct {
	Logins []string
	Policy string
	All    bool

	// What follows is for the begin.

	Reason       string
	Revoke       bool // the app passwords, for good
	ForgetTokens bool // and have people sign in again
}

// Lockdown is a lockdown that is on.
type Lockdown struct {
	Scope  string    `json:"scope"`            // login, policy or all
	Name   string    `json:"name,omitempty"`   // of the login or the policy
	Since  time.Time `json:"since"`            //
	By     string    `json:"by"`               //
	Reason string    `json:"reason,omitempty"` //
	Logins int       `json:"logins"`           // that the configuration names within the scope
	Queued int       `json:"queued"`           // their messages in the queue
}

// Words names whom it is for: all, login copier-3, policy device.
func (l Lockdown) Words() string { return l.scope().String() }

// Lift is the command that ends it.
func (l Lockdown) Lift() string {
	const lift = "postern lockdown lift "
	switch l.scope().Kind {
	case store.ScopeAll:
		return lift + "--all"
	case store.ScopePolicy:
		return lift + "--policy " + l.Name
	}
	return lift + l.Name
}

func (l Lockdown) scope() store.Scope {
	return store.Scope{Kind: store.ScopeKind(l.Scope), Name: l.Name}
}

// LockdownReport says what a lockdown has done.
type LockdownReport struct {
	Lockdowns []Lockdown `json:"lockdowns"`
	Running   bool       `json:"running"`  // there is a gateway on this machine that could be asked for its sessions
	Sessions  int        `json:"sessions"` // of it that have ended
	Lingering int        `json:"lingering"`
	Held      int        `json:"held"`      // messages of the queue
	Revoked   int        `json:"revoked"`   // app passwords
	Forgotten int        `json:"forgotten"` // accounts
}

const (
	// cutTime is how long sessions may take to end (threat model I-24), and cutLook how often it is looked.
	cutTime = 5 * time.Second
	cutLook = 100 * time.Millisecond
)

// Lockdown cuts off those whom an order names: from the next sign-in on they are refused, running gateways end their
// sessions, and what they have in the queue stays there, until it is lifted, over restarts and whatever the configuration
// becomes. It waits for the sessions of the gateway on this machine. Of a lockdown that is on already all is done once
// more but its begin.
//
// Whatever goes wrong after the begin, the lockdown is on; the report says how far the rest came.
func (a *Admin) Lockdown(ctx context.Context, o LockdownOrder) (LockdownReport, error) {
	scopes, err := a.scopes(o)
	if err != nil {
		return LockdownReport{}, err
	}
	if err := checkReason(o.Reason); err != nil {
		return LockdownReport{}, err
	}
	within := func(login string) bool { return a.within(scopes, login) }
	report := LockdownReport{}
	before, reached := a.sessionsOf(ctx, within)
	if err := a.beginLockdowns(ctx, scopes, o.Reason); err != nil {
		return report, err
	}
	report.Running, report.Sessions = reached == nil, before
	err = a.holdQueue(ctx, within, &report)
	if o.Revoke {
		err = errors.Join(err, a.revokeAll(ctx, within, &report))
	}
	if o.ForgetTokens {
		err = errors.Join(err, a.forgetAll(ctx, scopes, &report))
	}
	if report.Running {
		report.Lingering = a.awaitEnd(ctx, within)
		report.Sessions -= report.Lingering
	}
	all, failed := a.Lockdowns(ctx)
	for _, l := range all {
		if slices.Contains(scopes, l.scope()) {
			report.Lockdowns = append(report.Lockdowns, l)
		}
	}
	return report, errors.Join(err, failed)
}

// scopes gives what an order names, and an error for what the configuration does not have.
func (a *Admin) scopes(o LockdownOrder) ([]store.Scope, error) {
	named := 0
	for _, is := range []bool{len(o.Logins) > 0, o.Policy != "", o.All} {
		if is {
			named++
		}
	}
	if named != 1 {
		return nil, errors.New("name logins, or --policy NAME, or --all")
	}
	switch {
	case o.All:
		return []store.Scope{{Kind: store.ScopeAll}}, nil
	case o.Policy != "":
		if a.config.Policies[o.Policy] == nil {
			return nil, fmt.Errorf("there is no policy %q; there are %s", o.Policy, strings.Join(slices.Sorted(maps.Keys(a.config.Policies)), ", "))
		}
		return []store.Scope{{Kind: store.ScopePolicy, Name: o.Policy}}, nil
	}
	var scopes []store.Scope
	for _, login := range o.Logins {
		mapping, err := a.mapping(login)
		if err != nil {
			return nil, err
		}
		scopes = append(scopes, store.Scope{Kind: store.ScopeLogin, Name: mapping.Login})
	}
	return scopes, nil
}

// within reports whether a login is within one of some scopes.
func (a *Admin) within(scopes []store.Scope, login string) bool {
	policy := policyOf(a.directory, login)
	return slices.ContainsFunc(scopes, func(s store.Scope) bool { return s.Has(login, policy) })
}

// beginLockdowns records and begins those that are not on yet.
func (a *Admin) beginLockdowns(ctx context.Context, scopes []store.Scope, reason string) error {
	on, err := a.state.Store.Lockdowns(ctx)
	if err != nil {
		return err
	}
	var begun []store.Lockdown
	for _, scope := range scopes {
		if slices.ContainsFunc(on, func(l store.Lockdown) bool { return l.Scope == scope }) {
			continue
		}
		event := audit.LockdownBegun{Scope: string(scope.Kind), Reason: reason, By: a.by}
		event.Login, event.Policy = scopeNames(scope)
		if err := a.state.Audit.Record(event); err != nil {
			return err
		}
		begun = append(begun, store.Lockdown{Scope: scope, Since: time.Now(), By: a.by, Reason: reason})
	}
	return a.state.Store.BeginLockdowns(ctx, begun...)
}

// scopeNames gives the login, or the policy, that a scope names.
func scopeNames(scope store.Scope) (login, policy string) {
	if scope.Kind == store.ScopeLogin {
		return scope.Name, ""
	}
	return "", scope.Name
}

// holdQueue bars what those within have in the queue. Without it the messages would not leave, either: the queue asks
// before each try; but whoever looks at it would not see that.
func (a *Admin) holdQueue(ctx context.Context, within func(string) bool, report *LockdownReport) error {
	counts, err := a.state.Store.QueuedByLogin(ctx)
	for login := range counts {
		if !within(login) {
			continue
		}
		n, failed := a.state.Store.BarQueued(ctx, login, lockdownBars)
		report.Held += n
		err = errors.Join(err, failed)
	}
	return err
}

// revokeAll revokes the app passwords of those within that are in force.
func (a *Admin) revokeAll(ctx context.Context, within func(string) bool, report *LockdownReport) error {
	passwords, err := a.Passwords(ctx, "")
	if err != nil {
		return err
	}
	now := time.Now()
	for _, p := range passwords {
		if !p.InForce(now) || !within(p.Login) {
			continue
		}
		if _, err := a.desk().revoke(ctx, p.ID, a.by); err != nil {
			return err
		}
		report.Revoked++
	}
	return nil
}

// forgetAll removes the tokens of the accounts that are for those within some scopes, and has running gateways forget them.
func (a *Admin) forgetAll(ctx context.Context, scopes []store.Scope, report *LockdownReport) error {
	rows, err := a.state.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	opens := func(account token.Account) bool {
		return slices.ContainsFunc(scopes, func(s store.Scope) bool { return opensFor(a.config, a.directory, account, s) })
	}
	for _, row := range rows {
		account := accountOf(row)
		if !opens(account) {
			continue
		}
		err := a.forget(account, func() error {
			reason := "the tokens were forgotten in a lockdown, by " + a.by + ": postern user enroll " + row.Name
			return a.state.Store.ForgetTokens(ctx, row.Provider, row.Name, reason, time.Now())
		})
		if err != nil {
			return err
		}
		report.Forgotten++
	}
	for _, provider := range slices.Sorted(maps.Keys(a.config.Providers)) {
		account := token.Account{Provider: provider, Grant: token.Application}
		if !opens(account) {
			continue
		}
		err := a.forget(account, func() error {
			return a.state.Store.ForgetApplicationTokens(ctx, provider, token.KindApplication)
		})
		if err != nil {
			return err
		}
	}
	for _, scope := range scopes {
		if err := a.state.Store.TellForgotten(ctx, scope); err != nil {
			return err
		}
	}
	return nil
}

// forget records that an account's tokens are forgotten, and forgets them.
func (a *Admin) forget(account token.Account, do func() error) error {
	err := a.state.Audit.Record(audit.TokensForgotten{
		Provider: account.Provider, Grant: string(account.Grant), Account: account.Name, By: a.by,
	})
	if err != nil {
		return err
	}
	return do()
}

// sessionsOf counts the sessions of those within, of the gateway that runs on this machine.
func (a *Admin) sessionsOf(ctx context.Context, within func(string) bool) (int, error) {
	sessions, err := Reach(a.config.AdminSocket).Sessions(ctx)
	n := 0
	for _, s := range sessions {
		if within(s.Login) {
			n++
		}
	}
	return n, err
}

// awaitEnd waits until the sessions of those within have ended, for as long as that may take, and gives how many have not.
func (a *Admin) awaitEnd(ctx context.Context, within func(string) bool) int {
	ctx, cancel := context.WithTimeout(ctx, cutTime)
	defer cancel()
	again := time.NewTicker(cutLook)
	defer again.Stop()
	left := 0
	for {
		n, err := a.sessionsOf(ctx, within)
		if err == nil {
			left = n
		}
		if left == 0 {
			return 0
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return left
		}
	}
}
