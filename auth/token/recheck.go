package token

import (
	"context"
	"time"

	"postern/internal/audit"
)

// Recheck has the provider asked about an account now, whatever it refused before: once somebody has mended what was in the
// way, such as a Conditional Access policy. by is who says so, for the audit log. Where the provider takes the kept sign-in
// again, the account stands well from then on, in every process that shares the store; where it refuses, all is as after any
// refusal. The error is an *[Error] always.
func (s *Source) Recheck(ctx context.Context, account Account, by string) error {
	if _, known := s.provider(account.Provider); !known || account.Grant != Delegated {
		return &Error{Account: account, Class: Misconfigured, Advice: "only a person's account, of a provider of the configuration, is asked about again"}
	}
	before, failed := s.enrolment(ctx, account)
	if failed != nil {
		return failed
	}
	event := audit.AccountRechecked{Provider: account.Provider, Account: account.Name, By: by}
	if err := s.audit.Record(event); err != nil {
		return &Error{Account: account, Class: Temporary, Advice: "the audit log cannot be written, so the provider is not asked", cause: err}
	}
	now := before.good(time.Now())
	if err := s.store.SetStanding(ctx, account, now); err != nil {
		return storeError(account, err)
	}
	s.mu.Lock()
	e := s.entry(account)
	e.heed(now)
	f, failed := s.join(e, true)
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	if _, failed := f.wait(ctx, Access{}); failed != nil {
		return failed
	}
	return nil
}
