package token

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestI33ManyAccountsWakeAtOnce: 10,000 accounts want a token at once, and try again when they are told to. The provider
// sees no more than it is to bear in any second; everybody is served in a minute and a half; nobody hears anything but
// "later". The requests are counted where they leave: 10,000 handshakes of real answers would only measure this machine.
func TestI33ManyAccountsWakeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const accounts = 10_000
		p := newPace()
		var mu sync.Mutex
		seconds := make(map[int64]int) // second → requests in it
		began := time.Now()
		var last atomic.Int64
		var all sync.WaitGroup
		for i := range accounts {
			account := Account{Provider: "contoso", Grant: Delegated, Name: fmt.Sprint(i)}
			all.Go(func() {
				for {
					done, failed := p.turn(t.Context(), account)
					if failed == nil {
						defer done()
						time.Sleep(300 * time.Millisecond) // the request
						break
					}
					if failed.Class != Temporary || !failed.unasked || failed.retryAfter <= 0 {
						t.Errorf("got %+v, want it temporary, with a time to come back", failed)
						return
					}
					time.Sleep(failed.retryAfter)
				}
				last.Store(int64(time.Since(began)))
				mu.Lock()
				defer mu.Unlock()
				seconds[int64((time.Since(began)-300*time.Millisecond)/time.Second)]++
			})
		}
		all.Wait()
		for second, n := range seconds {
			if n > mostRequests+requestsAtOnce {
				t.Errorf("%d requests in second %d", n, second)
			}
		}
		if took := time.Duration(last.Load()); took > 90*time.Second {
			t.Errorf("the last was served after %v, want 90s at most", took)
		}
	})
}

// TestFullQueueIsToldAtOnce: who cannot have a turn in time hears so without waiting for it, and without a line in the
// audit log for a request that was never made.
func TestFullQueueIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		pace := (*h.source.providers.Load())["contoso"].pace
		pace.limiter.ReserveN(time.Now(), requestsAtOnce)
		for range maxTurn / time.Second {
			pace.limiter.ReserveN(time.Now(), mostRequests)
		}
		pace.limiter.Reserve()
		began := time.Now()
		_, err := h.use(appAccount)
		failed := h.wantClass(err, Temporary)
		if time.Since(began) > 0 || failed.RetryAt.Sub(began) < crowdedRetry {
			t.Errorf("it took %v and says to come back in %v", time.Since(began), failed.RetryAt.Sub(began))
		}
		h.wantEvents()
		time.Sleep(2 * crowdedRetry)
		h.mustUse(appAccount)
		h.wantCalls(1)
	})
}

// limit has the provider limit the requests of some accounts, by object id; nil for all of them.
func (h *harness) limit(people map[string]bool, retryAfter string) {
	h.entra.set(func() {
		h.entra.token = func(w http.ResponseWriter, form url.Values) bool {
			h.entra.mu.Lock()
			who := h.entra.refresh[form.Get("refresh_token")]
			h.entra.mu.Unlock()
			if people != nil && !people[who.ObjectID] {
				return false
			}
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, "Too Many Requests")
			return true
		}
	})
}

// TestRetryAfterHoldsTheProvider: once a second account is limited, it is the provider, and no account asks until it said.
func TestRetryAfterHoldsTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		people := h.enrollMany(50)
		h.limit(nil, "120")
		began := time.Now()
		for account := range people {
			_, err := h.use(account)
			failed := h.wantClass(err, Temporary)
			if wait := failed.RetryAt.Sub(began); wait < 119*time.Second {
				t.Errorf("%s is told to come back in %v, want two minutes", account, wait)
			}
		}
		h.wantCalls(2)
		h.entra.set(func() { h.entra.token = nil })
		time.Sleep(121 * time.Second)
		if got := (*h.source.providers.Load())["contoso"].pace.limiter.Limit(); got != mostRequests/2 {
			t.Errorf("the rate is %v a second, want half of what it was", got)
		}
		time.Sleep(2 * time.Minute)
		for account := range people {
			if _, err := h.use(account); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLimitOfOneAccountIsItsOwn is threat model I-29: being over a limit does not harm those under it.
func TestLimitOfOneAccountIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.enroll(bobAccount, bob)
		h.limit(map[string]bool{alice.ObjectID: true}, "600")
		for range 5 {
			_, err := h.use(aliceAccount)
			h.wantClass(err, Temporary)
			h.mustUse(bobAccount)
			h.mustUse(appAccount)
			time.Sleep(time.Minute)
		}
		h.wantCalls(3)
	})
}

// TestSlowProviderGetsNoMore: requests that are not answered bound those that are made, and the rest hears so in time.
func TestSlowProviderGetsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		var all sync.WaitGroup
		var made, sentAway atomic.Int32
		began := time.Now()
		for i := range 2 * requestsUnderWay {
			all.Go(func() {
				done, failed := p.turn(t.Context(), Account{Name: fmt.Sprint(i)})
				if failed != nil {
					if waited := time.Since(began); !failed.unasked || waited != maxTurn {
						t.Errorf("got %v after %v", failed, waited)
					}
					sentAway.Add(1)
					return
				}
				made.Add(1)
				time.Sleep(httpTimeout)
				done()
			})
		}
		all.Wait()
		if made.Load() != requestsUnderWay || sentAway.Load() != requestsUnderWay {
			t.Errorf("made %d, sent away %d, want %d of each", made.Load(), sentAway.Load(), requestsUnderWay)
		}
	})
}

// TestRateRecovers: after a limit, the rate comes back with good answers.
func TestRateRecovers(t *testing.T) {
	p := newPace()
	p.limit(aliceAccount, time.Now(), time.Second)
	p.limit(bobAccount, time.Now(), time.Second)
	for range 20 {
		p.limit(aliceAccount, time.Now(), time.Second)
		p.limit(bobAccount, time.Now(), time.Second)
	}
	if got := p.limiter.Limit(); got != leastRequests {
		t.Errorf("got %v a second, want %d at least", got, leastRequests)
	}
	for range 500 {
		p.heed(aliceAccount, answer{status: http.StatusOK})
	}
	if got := p.limiter.Limit(); got != mostRequests {
		t.Errorf("got %v a second, want %d again", got, mostRequests)
	}
}
