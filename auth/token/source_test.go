package token

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/secret"
)

func TestI20OneRequestForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.pause(time.Second)
		var callers sync.WaitGroup
		var tokens sync.Map
		for range 200 {
			callers.Go(func() {
				access, err := h.use(aliceAccount)
				if err != nil {
					t.Error(err)
				}
				tokens.Store(access.Token.Reveal(), true)
			})
		}
		callers.Wait()
		h.wantCalls(1)
		h.wantEvents("token-refreshed")
		if n := size(&tokens); n != 1 {
			t.Errorf("got %d tokens, want 1", n)
		}
	})
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestI20CallerWhoLeavesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.pause(10 * time.Second)
		first, leave := context.WithCancel(context.Background())
		var callers sync.WaitGroup
		callers.Go(func() {
			err := h.source.Use(first, aliceAccount, func(context.Context, Access) error { return nil })
			if failed := h.wantClass(err, Temporary); !errors.Is(failed, context.Canceled) {
				t.Errorf("got %v, want it to wrap the end of the context", failed)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			if _, err := h.use(aliceAccount); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		leave()
		callers.Wait()
		h.wantCalls(1)
	})
}

// TestTokensAreRenewedBeforeTheirHalf: who comes once an hour never waits and never gets a token past its half.
func TestTokensAreRenewedBeforeTheirHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
		for range 5 {
			time.Sleep(time.Hour)
			before, began := h.entra.count(), time.Now()
			access := h.mustUse(aliceAccount)
			if left := time.Until(access.Expires); left < access.life()/2 {
				t.Errorf("got a token with %v of %v left", left, access.life())
			}
			if h.entra.count() != before || time.Since(began) != 0 {
				t.Error("a caller had to wait for a token")
			}
		}
	})
}

func TestTokensOfNobodyAreNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
		time.Sleep(4 * time.Hour)
		calls := h.entra.count()
		time.Sleep(24 * time.Hour)
		h.wantCalls(calls)
		h.source.mu.Lock()
		kept := h.source.entries[aliceAccount].access
		h.source.mu.Unlock()
		if !kept.Token.IsZero() {
			t.Error("a token that is over is still in memory")
		}
	})
}

func TestSecondBestWhileProviderIsInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		first := h.mustUse(aliceAccount)
		h.entra.set(func() {
			h.entra.token = func(w http.ResponseWriter, _ url.Values) bool {
				http.Error(w, "<html>busy", http.StatusServiceUnavailable)
				return true
			}
		})
		time.Sleep(50 * time.Minute)
		if got := h.mustUse(aliceAccount); !got.Token.Equal(first.Token) {
			t.Error("got another token than the one that still works")
		}
		time.Sleep(9*time.Minute + 30*time.Second) // half a minute left: too little
		_, err := h.use(aliceAccount)
		h.wantClass(err, Temporary)
	})
}

// TestSlowProviderDoesNotHoldUp: a caller with a token that will do waits a few seconds for a better one, and no longer.
func TestSlowProviderDoesNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		first := h.mustUse(aliceAccount)
		h.noRenewalAhead(aliceAccount)
		h.entra.pause(20 * time.Second)
		time.Sleep(40 * time.Minute)
		began := time.Now()
		got := h.mustUse(aliceAccount)
		if waited := time.Since(began); waited != patience || !got.Token.Equal(first.Token) {
			t.Errorf("waited %v, want %v for the old token", waited, patience)
		}
		time.Sleep(20 * time.Second)
		if got := h.mustUse(aliceAccount); got.Token.Equal(first.Token) {
			t.Error("the slow answer was lost")
		}
		h.wantCalls(2)
	})
}

// noRenewalAhead leaves the renewal of a token to who comes next.
func (h *harness) noRenewalAhead(account Account) {
	h.source.mu.Lock()
	defer h.source.mu.Unlock()
	h.source.entries[account].used = time.Time{}
}

// TestFailedRenewalLeavesTheOldToken: who is the first to meet the provider's trouble gets the second best as well.
func TestFailedRenewalLeavesTheOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		first := h.mustUse(aliceAccount)
		h.noRenewalAhead(aliceAccount)
		h.entra.refuseAll(http.StatusServiceUnavailable, "temporarily_unavailable", 90033)
		time.Sleep(40 * time.Minute)
		if got := h.mustUse(aliceAccount); !got.Token.Equal(first.Token) {
			t.Error("got another token than the one that still works")
		}
		h.wantCalls(2)

		// Upstream refuses it, but the provider was asked a moment ago.
		err := h.source.Use(context.Background(), aliceAccount, func(context.Context, Access) error { return ErrRefused })
		h.wantClass(err, Temporary)
		h.wantCalls(2)
	})
}

// TestWhenTheProviderIsAsked: a newer token in the store serves as well, unless the provider's own answer is wanted.
func TestWhenTheProviderIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for _, account := range []Account{appAccount, aliceAccount} {
			if account == aliceAccount {
				h.enroll(aliceAccount, alice)
			}
			for _, test := range []struct {
				name    string
				current func(kept secret.Text) secret.Text
				force   bool
				want    bool
			}{
				{"a newer token", func(secret.Text) secret.Text { return secret.New("older") }, false, false},
				{"the token that is to be replaced", func(kept secret.Text) secret.Text { return kept }, false, true},
				{"a newer token, forced", func(secret.Text) secret.Text { return secret.New("older") }, true, true},
			} {
				kept := h.mustUse(account).Token
				_, asked, failed := (*h.source.providers.Load())["contoso"].fetch(t.Context(), h.store,
					request{account: account, identity: alice, current: test.current(kept), force: test.force})
				if failed != nil || asked != test.want {
					t.Errorf("%s, %s: got %v, %v, want %v", account, test.name, asked, failed, test.want)
				}
			}
		}
	})
}

func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		refused := h.mustUse(aliceAccount)
		var presented []Access
		err := h.source.Use(context.Background(), aliceAccount, func(_ context.Context, access Access) error {
			presented = append(presented, access)
			if access.Token.Equal(refused.Token) {
				return errors.Join(errors.New("NO AUTHENTICATE failed."), ErrRefused)
			}
			return nil
		})
		if err != nil || len(presented) != 2 {
			t.Fatalf("got %v after %d tokens, want success with the second", err, len(presented))
		}
		h.wantCalls(2)
		h.wantEvents("token-refreshed", "token-refreshed")
	})
}

func TestManyRefusalsOfOneTokenRenewItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		old := h.mustUse(aliceAccount)
		var sessions sync.WaitGroup
		for range 50 {
			sessions.Go(func() {
				err := h.source.Use(context.Background(), aliceAccount, func(_ context.Context, access Access) error {
					if access.Token.Equal(old.Token) {
						return ErrRefused
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		sessions.Wait()
		h.wantCalls(2)
	})
}

// TestLateRefusalOfAnOldToken: a session that is refused with a token that has been replaced meanwhile takes the new one.
func TestLateRefusalOfAnOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		old := h.mustUse(appAccount)
		refuseOld := func(_ context.Context, access Access) error {
			if access.Token.Equal(old.Token) {
				return ErrRefused
			}
			return nil
		}
		err := h.source.Use(context.Background(), appAccount, func(ctx context.Context, access Access) error {
			if access.Token.Equal(old.Token) {
				_ = h.source.Use(ctx, appAccount, refuseOld) // another session, which is quicker
			}
			return refuseOld(ctx, access)
		})
		if err != nil {
			t.Error(err)
		}
		h.wantCalls(2)
	})
}

// TestMailboxThatRefusesEveryTokenIsNoFlood: a device tries for ever what an administrator has to mend.
func TestMailboxThatRefusesEveryTokenIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			err := h.source.Use(context.Background(), appAccount, func(context.Context, Access) error { return ErrRefused })
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("got %v, want the refusal", err)
			}
			time.Sleep(time.Second)
		}
		if calls, most := h.entra.count(), 1+renewalsInReserve+2; calls > most {
			t.Errorf("got %d token requests in ten minutes, want %d at most", calls, most)
		}
	})
}

func TestErrorsOfTheCallerPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		want := errors.New("mailbox is full")
		err := h.source.Use(context.Background(), appAccount, func(context.Context, Access) error { return want })
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
		h.wantCalls(1)
	})
}

// TestTokenOfAnotherProcess: of two processes with one store, the second finds what the first fetched (I-20), and so
// does a process after a restart.
func TestTokenOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		for _, account := range []Account{aliceAccount, appAccount} {
			first := h.mustUse(account)
			second, err := use(h.newSource(), account)
			if err != nil {
				t.Fatal(err)
			}
			if !second.Token.Equal(first.Token) || !second.Expires.Truncate(time.Second).Equal(first.Expires.Truncate(time.Second)) {
				t.Errorf("%s: the second process has another token", account)
			}
		}
		h.wantCalls(2)
	})
}

func TestI20OneExpiryIsOneRequestAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		other := h.newSource()
		h.mustUse(aliceAccount)
		if _, err := use(other, aliceAccount); err != nil {
			t.Fatal(err)
		}
		time.Sleep(45 * time.Minute)
		h.wantCalls(2)
	})
}

// TestI20ProcessesThatAskAtOnce: of processes that find the same token missing at the same time, one asks.
func TestI20ProcessesThatAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.pause(3 * time.Second)
		var callers sync.WaitGroup
		var tokens sync.Map
		for range 5 {
			source := h.newSource()
			for _, account := range []Account{aliceAccount, appAccount} {
				callers.Go(func() {
					access, err := use(source, account)
					if err != nil {
						t.Error(err)
					}
					tokens.Store(access.Token.Reveal(), true)
				})
			}
		}
		callers.Wait()
		h.wantCalls(2)
		if n := size(&tokens); n != 2 {
			t.Errorf("got %d tokens, want one for each account", n)
		}
	})
}

// TestLeaseOfAProcessThatWasKilled: it keeps the others waiting, and not for ever.
func TestLeaseOfAProcessThatWasKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		if taken, err := h.store.TakeLease(t.Context(), personKey(aliceAccount, alice), "killed", time.Now(), leaseLife); !taken || err != nil {
			t.Fatal(taken, err)
		}
		began := time.Now()
		h.mustUse(aliceAccount)
		if took := time.Since(began); took > leaseLife+maxLeaseTick {
			t.Errorf("it took %v, want %v at most", took, leaseLife)
		}
	})
}

// TestEnrolmentWaitsForTheFlight: what comes of the enrolment before is not kept over the new one.
func TestEnrolmentWaitsForTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.set(func() {
			h.entra.token = func(_ http.ResponseWriter, form url.Values) bool {
				if form.Get("grant_type") == "refresh_token" {
					time.Sleep(20 * time.Second)
				}
				return false
			}
		})
		var caller sync.WaitGroup
		caller.Go(func() { _, _ = h.use(aliceAccount) })
		synctest.Wait()
		if _, err := h.newSource().Enroll(t.Context(), aliceAccount, "root", func(DeviceCode) {}); err != nil {
			t.Fatal(err)
		}
		caller.Wait()
		// 0 is of the enrolment before, 1 of the new one, and 2 took the place of 0 while the new one waited.
		kept := string(h.store.caches[personKey(aliceAccount, alice)])
		if h.entra.issued != 3 || !strings.Contains(kept, secretMark+"-refresh-1-") {
			t.Errorf("after %d token answers, what is kept is not the new enrolment's", h.entra.issued)
		}
	})
}

func TestUnknownProviderAndAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, err := h.use(Account{Provider: "nowhere", Grant: Application})
		h.wantClass(err, Misconfigured)
		_, err = h.use(bobAccount)
		h.wantClass(err, NeedsSignIn)
		h.wantCalls(0)
		h.wantEvents()
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.pause(20 * time.Second)
		var caller sync.WaitGroup
		var done atomic.Bool
		caller.Go(func() {
			_, err := h.use(appAccount)
			h.wantClass(err, Temporary)
			done.Store(true)
		})
		synctest.Wait()
		began := time.Now()
		h.source.Close()
		caller.Wait()
		if time.Since(began) > time.Second || !done.Load() {
			t.Errorf("closing took %v", time.Since(began))
		}
		_, err := h.use(appAccount)
		h.wantClass(err, Temporary)
		h.wantEvents()
	})
}

func TestTokenThatCannotBeRecordedIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.audit.fault = errors.New("no space left on device")
		_, err := h.use(appAccount)
		if failed := h.wantClass(err, Temporary); !errors.Is(failed, h.audit.fault) {
			t.Errorf("got %v, want the audit log's error in it", failed)
		}
	})
}

func TestStoreInTroubleIsTemporary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.store.set(func() { h.store.readFault = errors.New("disk I/O error") })
		for _, account := range []Account{aliceAccount, appAccount} {
			_, err := h.use(account)
			h.wantClass(err, Temporary)
		}
		h.wantCalls(0)
	})
}
