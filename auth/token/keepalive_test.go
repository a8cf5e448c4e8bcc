package token

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// keeper makes a source that keeps accounts alive, on what the harness has.
func (h *harness) keeper(wanted func(Account) bool) *Source {
	h.t.Helper()
	source := NewSource(Config{Providers: *h.source.providers.Load(), Store: h.store, Audit: h.audit, Log: slog.New(slog.DiscardHandler), Wanted: wanted})
	h.t.Cleanup(source.Close)
	return source
}

func everybody(Account) bool { return true }

// enrollMany enrols n persons at the same time.
func (h *harness) enrollMany(n int) map[Account]Identity {
	h.t.Helper()
	people := make(map[Account]Identity)
	for i := range n {
		who := Identity{TenantID: tenantID, ObjectID: fmt.Sprintf("oid-%d", i), Username: fmt.Sprintf("user%d@contoso.example", i)}
		account := Account{Provider: "contoso", Grant: Delegated, Name: who.Username}
		h.entra.mu.Lock()
		refresh := h.entra.grant(who)
		h.entra.mu.Unlock()
		key := personKey(account, who)
		row := fmt.Sprintf(`{"Account":{"%[1]s-localhost-%[2]s":{"home_account_id":"%[1]s","environment":"localhost","realm":"%[2]s",
			"local_account_id":"%[3]s","authority_type":"MSSTS","username":"%[4]s"}},"AppMetadata":{"appmetadata-localhost-%[5]s":
			{"client_id":"%[5]s","environment":"localhost"}},"RefreshToken":{"%[1]s-localhost-refreshtoken-%[5]s":{"home_account_id":"%[1]s",
			"environment":"localhost","credential_type":"RefreshToken","client_id":"%[5]s","secret":"%[6]s"}}}`,
			who.ObjectID+"."+tenantID, tenantDomain, who.ObjectID, who.Username, clientID, refresh)
		if err := h.store.SaveEnrolment(h.t.Context(), account, Enrolment{Identity: who, Since: time.Now()}, key, []byte(row)); err != nil {
			h.t.Fatal(err)
		}
		people[account] = who
	}
	return people
}

// requests gives when each person's refresh token was used, by object id.
func (h *harness) requests() map[string][]time.Time {
	h.entra.mu.Lock()
	defer h.entra.mu.Unlock()
	used := make(map[string][]time.Time)
	for i, form := range h.entra.forms {
		who := h.entra.refresh[form.Get("refresh_token")]
		used[who.ObjectID] = append(used[who.ObjectID], h.entra.at[i])
	}
	return used
}

// TestIdleAccountsAreKeptAlive: an account that nobody uses has its refresh token used at least weekly, also by a gateway
// that is restarted each day, and not much more often.
func TestIdleAccountsAreKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		began := time.Now()
		people := h.enrollMany(20)
		const days = 15
		for range days {
			source := h.keeper(everybody)
			time.Sleep(24 * time.Hour)
			source.Close()
		}
		requests := h.requests()
		for account, who := range people {
			last := began
			for _, at := range append(requests[who.ObjectID], time.Now()) {
				if idle := at.Sub(last); idle > 7*24*time.Hour {
					t.Errorf("%s was idle for %v", account, idle)
				}
				last = at
			}
			if n := len(requests[who.ObjectID]); n > days/5 {
				t.Errorf("%s was asked about %d times in %d days", account, n, days)
			}
		}
	})
}

// TestI48ClockStepsCauseNoStampede: neither a clock that was ahead when tokens were kept, nor one that makes all accounts
// look idle at once.
func TestI48ClockStepsCauseNoStampede(t *testing.T) {
	for name, saved := range map[string]time.Duration{"the clock jumps ahead": -60 * 24 * time.Hour, "the clock was ahead": 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				people := h.enrollMany(100)
				h.store.set(func() {
					for key := range h.store.saved {
						h.store.saved[key] = time.Now().Add(saved)
					}
				})
				h.keeper(everybody)
				time.Sleep(24 * time.Hour)
				var all []time.Time
				for _, who := range people {
					used := h.requests()[who.ObjectID]
					if len(used) != 1 {
						t.Errorf("%s was asked about %d times, want once", who.Username, len(used))
					}
					all = append(all, used...)
				}
				minutes := make(map[int64]int) // minute → requests in it
				for _, at := range all {
					minutes[at.Unix()/60]++
				}
				for minute, n := range minutes {
					if n > len(people)/4 {
						t.Errorf("%d requests in the minute %v", n, time.Unix(60*minute, 0))
					}
				}
			})
		})
	}
}

// TestWhoIsNotKeptAlive: who is not in the configuration any more, who has to sign in, whom the provider refuses, and who
// is used anyway.
func TestWhoIsNotKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		people := h.enrollMany(3)
		account := func(i int) Account {
			return Account{Provider: "contoso", Grant: Delegated, Name: fmt.Sprintf("user%d@contoso.example", i)}
		}
		gone, marked, refused := account(0), account(1), account(2)
		for account, standing := range map[Account]Enrolment{marked: {NeedsSignIn: true}, refused: {Refused: true}} {
			if err := h.store.SetStanding(t.Context(), account, standing); err != nil {
				t.Fatal(err)
			}
		}
		h.keeper(func(a Account) bool { return a != gone })
		time.Sleep(8 * 24 * time.Hour)
		for account, who := range people {
			if n := len(h.requests()[who.ObjectID]); n != 0 {
				t.Errorf("%s was asked about %d times", account, n)
			}
		}
	})
}

// TestKeepingAliveOutlivesAStoreInTrouble: what failed is tried again at the next look.
func TestKeepingAliveOutlivesAStoreInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enrollMany(1)
		h.store.set(func() { h.store.readFault = errors.New("disk I/O error") })
		h.keeper(everybody)
		time.Sleep(6 * 24 * time.Hour)
		h.wantCalls(0)
		h.store.set(func() { h.store.readFault = nil })
		time.Sleep(24 * time.Hour)
		h.wantCalls(1)
	})
}

// TestKeptAliveOnceAcrossProcesses: of two gateways that share the store, one asks.
func TestKeptAliveOnceAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		people := h.enrollMany(20)
		h.keeper(everybody)
		h.keeper(everybody)
		time.Sleep(8 * 24 * time.Hour)
		for account, who := range people {
			if n := len(h.requests()[who.ObjectID]); n != 1 {
				t.Errorf("%s was asked about %d times in eight days, want once", account, n)
			}
		}
	})
}
