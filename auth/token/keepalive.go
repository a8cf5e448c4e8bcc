package token

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// idleAge is how old a refresh token gets before it is used for nobody. Entra ends one that was not used for 90 days
	// (reference F.3, AADSTS700082); a week leaves room for a gateway that was off for long. The rest of the week is for
	// looking and for taking turns.
	idleAge = 5 * 24 * time.Hour
	// idleLook is about how often the store is asked for idle accounts, and idleBatch how many it gives at most: 48 looks
	// are left in the week, for some 100,000 accounts.
	idleLook, idleBatch = time.Hour, 2000
	// idleAtOnce bounds the requests for idle accounts that are under way.
	idleAtOnce = 4
	// clockDoubt is from how far ahead a time in the store is a clock's fault.
	clockDoubt = 24 * time.Hour
)

// keepAlive uses the refresh tokens of accounts that nobody uses, until the source is closed. When each was last used is in
// the store, so a restart changes nothing. What is due at once, after a long stop or because the clock was set, is spread
// over the time until the next look (threat model I-48).
func (s *Source) keepAlive() {
	var requests sync.WaitGroup
	defer requests.Wait()
	slots := make(chan struct{}, idleAtOnce)
	for pause(s.ctx, idleLook/2+rand.N(idleLook)) {
		idle := s.idle()
		for _, account := range idle {
			if !pause(s.ctx, rand.N(idleLook/time.Duration(len(idle)))) {
				return
			}
			select {
			case slots <- struct{}{}:
			case <-s.ctx.Done():
				return
			}
			requests.Go(func() {
				s.wake(account)
				<-slots
			})
		}
	}
}

// idle gives the accounts that are still wanted and have not been used for long.
func (s *Source) idle() []Account {
	ctx, cancel := context.WithTimeout(s.ctx, flightTime)
	defer cancel()
	now := time.Now()
	accounts, err := s.store.Idle(ctx, now.Add(-idleAge), now.Add(clockDoubt), idleBatch)
	if err != nil {
		if s.ctx.Err() == nil {
			s.log.Error("the accounts that nobody uses were not looked for", "error", err)
		}
		return nil
	}
	var wanted []Account
	for _, account := range accounts {
		if _, known := s.provider(account.Provider); known && s.wanted(account) {
			wanted = append(wanted, account)
		}
	}
	return wanted
}

// wake uses one account's refresh token, unless another process was quicker or the provider is busy: there is another
// look. The flight answers to nobody and records its own failure.
func (s *Source) wake(account Account) {
	if provider, known := s.provider(account.Provider); !known || provider.pace.busy() || !s.stillIdle(account) {
		return
	}
	if f := s.renewOne(account); f != nil {
		<-f.done
	}
}

// stillIdle reports whether nobody has used an account's refresh token since its turn was planned.
func (s *Source) stillIdle(account Account) bool {
	ctx, cancel := context.WithTimeout(s.ctx, flightTime)
	defer cancel()
	enrolment, failed := s.enrolment(ctx, account)
	if failed != nil {
		return false
	}
	used, err := s.store.Used(ctx, account, enrolment.Identity)
	now := time.Now()
	return err == nil && (used.Before(now.Add(-idleAge)) || used.After(now.Add(clockDoubt)))
}
