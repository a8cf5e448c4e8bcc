package gateway

import (
	"context"
	"fmt"
	"slices"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/store"
)

// LiftLockdown ends the lockdowns that an order names. Those that are within another one stay cut off; what is on after it
// is given.
func (a *Admin) LiftLockdown(ctx context.Context, o LockdownOrder) (lifted, left []Lockdown, err error) {
	on, err := a.Lockdowns(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, scope := range a.scopesToLift(o) {
		i := slices.IndexFunc(on, func(l Lockdown) bool { return l.scope() == scope })
		if i < 0 {
			return lifted, on, fmt.Errorf("no lockdown of %s is on; postern lockdown status shows those that are", scope)
		}
		event := audit.LockdownLifted{Scope: string(scope.Kind), By: a.by}
		event.Login, event.Policy = scopeNames(scope)
		if err := a.state.Audit.Record(event); err != nil {
			return lifted, on, err
		}
		if err := a.state.Store.LiftLockdown(ctx, scope); err != nil {
			return lifted, on, err
		}
		lifted = append(lifted, on[i])
		on = slices.Delete(slices.Clone(on), i, i+1)
	}
	return lifted, on, nil
}

// scopesToLift gives what an order names, also what the configuration does not have any more.
func (a *Admin) scopesToLift(o LockdownOrder) []store.Scope {
	var scopes []store.Scope
	if o.All {
		scopes = append(scopes, store.Scope{Kind: store.ScopeAll})
	}
	if o.Policy != "" {
		scopes = append(scopes, store.Scope{Kind: store.ScopePolicy, Name: o.Policy})
	}
	for _, login := range o.Logins {
		scopes = append(scopes, store.Scope{Kind: store.ScopeLogin, Name: a.name(login)})
	}
	return scopes
}

// Lockdowns gives the lockdowns that are on, the oldest first.
func (a *Admin) Lockdowns(ctx context.Context) ([]Lockdown, error) {
	rows, err := a.state.Store.Lockdowns(ctx)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	counts, err := a.state.Store.QueuedByLogin(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Lockdown, len(rows))
	for i, row := range rows {
		all[i] = Lockdown{Scope: string(row.Kind), Name: row.Name, Since: row.Since, By: row.By, Reason: row.Reason}
		for _, m := range a.directory.Logins() {
			if row.Has(m.Login, m.Policy.Name) {
				all[i].Logins++
			}
		}
		for login, n := range counts {
			if row.Has(login, policyOf(a.directory, login)) {
				all[i].Queued += n
			}
		}
	}
	return all, nil
}

// lockdownOf gives an error for a login that is within a lockdown: what is made for it now, whoever asks, would be good
// once the lockdown is lifted.
func lockdownOf(ctx context.Context, s *store.Store, mapping auth.Mapping) error {
	_, lockdown, err := s.Locked(ctx, mapping.Login, mapping.Policy.Name)
	if err == nil && lockdown {
		err = fmt.Errorf("a lockdown is on for %s: until it is lifted, nothing is issued or renewed for it; postern lockdown status shows it", mapping.Login)
	}
	return err
}
