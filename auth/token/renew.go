package token

import "time"

const (
	// renewalTick is how often the accounts are looked at.
	renewalTick = 5 * time.Second
	// keepWarm is how long an account's token is renewed for nobody: long enough for a client whose session lasts as
	// long as its token to find the next one ready.
	keepWarm = 2 * time.Hour
)

// renewAhead renews the tokens of accounts in use before anybody has to wait for one, until the source is closed. A look
// at all accounts is cheap, and is not upset by a clock that is set (threat model I-48).
func (s *Source) renewAhead() {
	ticker := time.NewTicker(renewalTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		for _, account := range s.ripe(time.Now()) {
			s.renewOne(account)
		}
	}
}

// ripe gives the accounts whose token is to be renewed, and forgets the tokens that are over. While a provider has enough
// to do for those who wait, its accounts are not ripe: the next look comes soon.
func (s *Source) ripe(now time.Time) []Account {
	busy := make(map[string]bool)
	for name, provider := range *s.providers.Load() {
		busy[name] = provider.pace.busy()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var accounts []Account
	for account, e := range s.entries {
		switch {
		case e.access.Token.IsZero():
		case !now.Before(e.access.Expires):
			e.access = Access{}
		case e.flight == nil && !now.Before(e.renewAt) && now.Sub(e.used) < keepWarm && e.due(now) && !busy[account.Provider]:
			accounts = append(accounts, account)
		}
	}
	return accounts
}

// renewOne starts the renewal of an account, unless the store now says that the provider refuses it; nil then. The flight
// answers to nobody: it records its own failure.
func (s *Source) renewOne(account Account) *flight {
	enrolment, failed := s.enrolment(s.ctx, account)
	if failed != nil {
		return nil // not enrolled any more, or the store is in trouble: the next look, or the next caller, finds out
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(account)
	e.heed(enrolment)
	if !e.due(time.Now()) {
		return nil
	}
	f, _ := s.join(e, false)
	return f
}
