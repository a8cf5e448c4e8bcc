package token

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/audit"
)

// retryFor uses an account once a second, as a device does.
func (h *harness) retryFor(account Account, d time.Duration, want Class) {
	h.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		_, err := h.use(account)
		h.wantClass(err, want)
	}
}

// TestI23RevokedSignIn: the person is marked, and no retry reaches the provider any more.
func TestI23RevokedSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
		h.entra.set(func() { clear(h.entra.refresh) })
		time.Sleep(40 * time.Minute) // the renewal ahead finds out
		h.wantCalls(2)
		h.wantEvents("token-refreshed", "token-refused")
		marked, _ := h.store.Enrolment(t.Context(), aliceAccount)
		if !marked.NeedsSignIn || marked.Reason == "" {
			t.Errorf("got enrolment %+v, want it marked with a reason", marked)
		}
		h.retryFor(aliceAccount, 3*time.Hour, NeedsSignIn)
		_, err := use(h.newSource(), aliceAccount) // after a restart
		if failed := h.wantClass(err, NeedsSignIn); failed.Advice != marked.Reason {
			t.Errorf("got advice %q, want what the store has: %q", failed.Advice, marked.Reason)
		}
		h.wantCalls(2)
		h.wantEvents("token-refreshed", "token-refused")

		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
	})
}

func TestRefusalTellsWhatIdentifiesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.set(func() { clear(h.entra.refresh) })
		_, err := h.use(aliceAccount)
		got := h.wantClass(err, NeedsSignIn)
		if got.Account != aliceAccount || got.Code != "invalid_grant" || len(got.AADSTS) != 1 || got.AADSTS[0] != 50173 ||
			got.TraceID != "0a0a0a0a-1111" || got.CorrelationID != "0b0b0b0b-2222" || !got.RetryAt.IsZero() {
			t.Errorf("got %+v", got)
		}
		event := h.audit.events[0].(audit.TokenRefused)
		if event.Account != alice.Username || event.Class != "needs-sign-in" || event.Code != "invalid_grant" || event.Advice != got.Advice {
			t.Errorf("got event %+v", event)
		}
	})
}

func TestRevokedSignInThatCannotBeMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
		h.store.set(func() { h.store.markFault = errors.New("disk full") })
		h.entra.set(func() { clear(h.entra.refresh) })
		err := h.source.Use(t.Context(), aliceAccount, func(context.Context, Access) error { return ErrRefused })
		h.wantClass(err, NeedsSignIn)
		// The token in memory, young as it is, went with what it was built on.
		h.retryFor(aliceAccount, time.Hour, NeedsSignIn)
		h.wantCalls(2)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
	})
}

// TestSignInMarkedElsewhere: what another process found out counts here at once, also for a token in memory.
func TestSignInMarkedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.mustUse(aliceAccount)
		if err := h.store.SetStanding(t.Context(), aliceAccount, Enrolment{NeedsSignIn: true, Reason: "revoked", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
		_, err := h.use(aliceAccount)
		h.wantClass(err, NeedsSignIn)
		h.wantCalls(1)
	})
}

// TestEnrolmentWhileRefused: a person who signs in while their old refresh token is being refused is not marked.
func TestEnrolmentWhileRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.set(func() {
			h.entra.token = func(w http.ResponseWriter, form url.Values) bool {
				if form.Get("grant_type") != "refresh_token" {
					return false
				}
				time.Sleep(10 * time.Second)
				refuse(w, form, http.StatusBadRequest, "invalid_grant", 50173)
				return true
			}
		})
		go func() {
			_, err := h.use(aliceAccount)
			h.wantClass(err, NeedsSignIn) // as it is until the new sign-in is kept
		}()
		synctest.Wait()
		h.enroll(aliceAccount, alice)
		if now, _ := h.store.Enrolment(t.Context(), aliceAccount); now.NeedsSignIn {
			t.Error("the new enrolment is marked for the old one's refusal")
		}
		h.entra.set(func() { h.entra.token = nil })
		h.mustUse(aliceAccount)
	})
}

// TestTemporaryTroubleBacksOff: callers in between get the remembered error, and one event stands for all of them.
func TestTemporaryTroubleBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.refuseAll(http.StatusServiceUnavailable, "temporarily_unavailable", 90033)
		var pauses []time.Duration
		for last := time.Now(); len(pauses) < 12; time.Sleep(100 * time.Millisecond) {
			calls := h.entra.count()
			_, err := h.use(appAccount)
			failed := h.wantClass(err, Temporary)
			if h.entra.count() == calls {
				continue
			}
			if !failed.RetryAt.After(time.Now()) {
				t.Fatalf("RetryAt is %v, which is not ahead", failed.RetryAt)
			}
			pauses, last = append(pauses, time.Since(last)), time.Now()
		}
		for i, pause := range pauses[1:] {
			least := min(time.Second<<i, maxDelay)
			if pause < least || pause > least+least/4+time.Second {
				t.Errorf("pause %d is %v, want %v and up to a quarter", i, pause, least)
			}
			if pause > 5*time.Minute+time.Second {
				t.Errorf("pause %d is %v, want five minutes at most", i, pause)
			}
		}
		if events := len(h.audit.kinds()); events != h.entra.count() {
			t.Errorf("got %d events for %d requests", events, h.entra.count())
		}
		h.entra.set(func() { h.entra.token = nil })
		time.Sleep(5 * time.Minute)
		h.mustUse(appAccount)
	})
}

func TestRetryAfterIsKept(t *testing.T) {
	for name, value := range map[string]func() string{
		"seconds": func() string { return "120" },
		"date":    func() string { return time.Now().Add(120 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.entra.set(func() {
					h.entra.token = func(w http.ResponseWriter, _ url.Values) bool {
						w.Header().Set("Retry-After", value())
						w.WriteHeader(http.StatusTooManyRequests)
						_, _ = io.WriteString(w, "Too Many Requests")
						return true
					}
				})
				began := time.Now()
				_, err := h.use(appAccount)
				failed := h.wantClass(err, Temporary)
				if wait := failed.RetryAt.Sub(began); wait < 119*time.Second || wait > 151*time.Second {
					t.Errorf("asked again after %v, want 120s and up to a quarter", wait)
				}
				h.retryFor(appAccount, 118*time.Second, Temporary)
				h.wantCalls(1)
			})
		})
	}
}

func TestMisconfigurationIsAskedAboutSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.refuseAll(http.StatusUnauthorized, "invalid_client", 7000222)
		h.retryFor(appAccount, 59*time.Second, Misconfigured)
		h.wantCalls(1)
		h.retryFor(appAccount, 29*time.Minute, Misconfigured)
		if calls := h.entra.count(); calls < 6 || calls > 10 {
			t.Errorf("got %d requests in half an hour, want one each minute at first and each five later", calls)
		}
		h.entra.set(func() { h.entra.token = nil })
		time.Sleep(6 * time.Minute)
		h.mustUse(appAccount)
	})
}

// TestI23BlockedSignIn: what a Conditional Access policy blocks is asked about twice more within the next hour and a bit,
// and then not again, however often a device tries and the gateway is restarted.
func TestI23BlockedSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.refuseAll(http.StatusBadRequest, "invalid_grant", 53003)
		began := time.Now()
		_, err := h.use(aliceAccount)
		failed := h.wantClass(err, Misconfigured)
		marked, _ := h.store.Enrolment(t.Context(), aliceAccount)
		if !marked.Refused || marked.NeedsSignIn || marked.Reason != failed.Advice || !marked.RetryAt.After(began) {
			t.Errorf("got enrolment %+v, want it refused, with a reason and a time to ask again", marked)
		}
		if !strings.Contains(failed.Advice, "postern user recheck") {
			t.Errorf("got advice %q, want the command in it", failed.Advice)
		}
		h.retryFor(aliceAccount, 4*time.Minute, Misconfigured)
		h.wantCalls(1)
		h.retryFor(aliceAccount, 3*time.Minute, Misconfigured)
		h.wantCalls(2)
		for range 4 { // a restart each hour changes nothing
			h.source.Close()
			h.source = h.newSource()
			h.retryFor(aliceAccount, time.Hour, Misconfigured)
		}
		h.wantCalls(3)
		h.wantEvents("token-refused", "token-refused", "token-refused")
		time.Sleep(3 * 24 * time.Hour)
		h.retryFor(aliceAccount, time.Minute, Misconfigured)
		h.wantCalls(3)
		if now, _ := h.store.Enrolment(t.Context(), aliceAccount); !now.RetryAt.IsZero() || !now.Since.Equal(marked.Since) {
			t.Errorf("got enrolment %+v, want nothing to come by itself, since %v", now, marked.Since)
		}
	})
}

// TestBlockedSignInThatIsMended: within the hour all comes back by itself.
func TestBlockedSignInThatIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.refuseAll(http.StatusBadRequest, "invalid_grant", 53003)
		h.retryFor(aliceAccount, time.Minute, Misconfigured)
		h.entra.set(func() { h.entra.token = nil })
		time.Sleep(6 * time.Minute)
		h.mustUse(aliceAccount)
		h.wantCalls(2)
		if now, _ := h.store.Enrolment(t.Context(), aliceAccount); now.Refused || now.Asked != 0 {
			t.Errorf("got enrolment %+v, want it good again", now)
		}
		time.Sleep(4 * time.Hour)
		h.mustUse(aliceAccount)
	})
}

// TestRecheck: an administrator's word has the provider asked once more, in every process, and is recorded first.
func TestRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.refuseAll(http.StatusBadRequest, "invalid_grant", 53003)
		h.retryFor(aliceAccount, 3*time.Hour, Misconfigured)
		h.wantCalls(3)
		command := h.newSource()
		h.wantClass(command.Recheck(t.Context(), aliceAccount, "root"), Misconfigured)
		h.wantCalls(4)
		h.audit.fault = errors.New("no space left on device")
		h.wantClass(command.Recheck(t.Context(), aliceAccount, "root"), Temporary)
		h.wantCalls(4)
		h.audit.fault = nil
		h.entra.set(func() { h.entra.token = nil })
		if err := command.Recheck(t.Context(), aliceAccount, "root"); err != nil {
			t.Fatal(err)
		}
		h.mustUse(aliceAccount) // the gateway finds what the command fetched
		h.wantCalls(5)
		h.wantEvents("token-refused", "token-refused", "token-refused", "account-rechecked", "token-refused", "account-rechecked", "token-refreshed")
		h.wantClass(command.Recheck(t.Context(), appAccount, "root"), Misconfigured)
		h.wantClass(command.Recheck(t.Context(), bobAccount, "root"), NeedsSignIn)
		h.wantCalls(5)
	})
}

// TestI23Loop: AADSTS50196 is temporary by Entra's own word, and not for ever.
func TestI23Loop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.refuseAll(http.StatusBadRequest, "invalid_grant", 50196)
		h.retryFor(aliceAccount, time.Hour, Temporary)
		h.wantCalls(2)
		for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(time.Minute) {
			if _, err := h.use(aliceAccount); err == nil {
				t.Fatal("got a token")
			}
		}
		h.wantCalls(3)
		_, err := h.use(aliceAccount)
		h.wantClass(err, Misconfigured)
	})
}

// TestI23StoreThatCannotBeWritten: the count is kept in memory, too.
func TestI23StoreThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.store.set(func() { h.store.markFault = errors.New("disk full") })
		h.entra.refuseAll(http.StatusBadRequest, "invalid_grant", 53003)
		h.retryFor(aliceAccount, 8*time.Hour, Misconfigured)
		h.wantCalls(3)
	})
}

// TestI22RotationIsDurableBeforeUse: a refresh token whose successor was not kept is redeemed again.
func TestI22RotationIsDurableBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.store.set(func() { h.store.saveFault = errors.New("disk full") })
		_, err := h.use(aliceAccount)
		if failed := h.wantClass(err, Temporary); !errors.Is(failed, h.store.saveFault) {
			t.Errorf("got %v, want the store's error in it", failed)
		}
		h.wantCalls(1)
		h.store.set(func() { h.store.saveFault = nil })
		time.Sleep(5 * time.Second)
		h.mustUse(aliceAccount)
		time.Sleep(35 * time.Minute)
		h.mustUse(aliceAccount)

		var redeemed []string
		for _, form := range h.entra.forms {
			redeemed = append(redeemed, form.Get("refresh_token"))
		}
		// The first was redeemed twice, since its successor was never kept; the third is the second's successor.
		if len(redeemed) != 3 || redeemed[0] != redeemed[1] || redeemed[2] == redeemed[1] {
			t.Errorf("redeemed %q", redeemed)
		}
	})
}

func TestI22MissingRotationKeepsTheOldRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.set(func() { h.entra.noRotate = true })
		h.mustUse(aliceAccount)
		time.Sleep(4 * time.Hour)
		h.mustUse(aliceAccount)
	})
}

// TestI18TokensOfAnotherPerson: an answer for somebody else is no token, and leaves no trace
// in the record.
func TestI18TokensOfAnotherPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		before := string(h.store.caches[personKey(aliceAccount, alice)])
		saves := h.store.saves
		h.entra.set(func() { h.entra.as = &bob })
		_, err := h.use(aliceAccount)
		if failed := h.wantClass(err, NeedsSignIn); failed.Code != identityMismatch {
			t.Errorf("got code %q, want %q", failed.Code, identityMismatch)
		}
		h.wantEvents("token-refused")
		if h.store.saves != saves || string(h.store.caches[personKey(aliceAccount, alice)]) != before {
			t.Error("the answer was saved")
		}
	})
}

// TestI19RecordOfAnotherPerson: a record in the wrong place is not used, whoever put it there.
func TestI19RecordOfAnotherPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.enroll(bobAccount, bob)
		h.store.caches[personKey(aliceAccount, alice)] = h.store.caches[personKey(bobAccount, bob)]
		_, err := h.use(aliceAccount)
		if failed := h.wantClass(err, NeedsSignIn); failed.Code != identityMismatch {
			t.Errorf("got code %q, want %q", failed.Code, identityMismatch)
		}
		h.wantCalls(0)
	})
}

func TestEachAccountHasItsOwnToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.enroll(bobAccount, bob)
		seen := make(map[string]Account)
		for _, account := range []Account{aliceAccount, bobAccount, appAccount, aliceAccount} {
			token := h.mustUse(account).Token.Reveal()
			if owner, taken := seen[token]; taken && owner != account {
				t.Errorf("%s and %s have the same token", account, owner)
			}
			seen[token] = account
		}
		if len(seen) != 3 {
			t.Errorf("got %d tokens, want 3", len(seen))
		}
	})
}

// TestAccountThatChangesHands: a name that is enrolled for another person does not keep the first one's token.
func TestAccountThatChangesHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		successor := Identity{TenantID: tenantID, ObjectID: "cccccccc-0000-0000-0000-000000000003", Username: alice.Username}
		h.enroll(aliceAccount, alice)
		first := h.mustUse(aliceAccount)
		h.enroll(aliceAccount, successor)
		if second := h.mustUse(aliceAccount); second.Token.Equal(first.Token) {
			t.Error("the successor works with the predecessor's token")
		}
		h.wantCalls(1)
	})
}

func TestMissingRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		clear(h.store.caches)
		_, err := h.use(aliceAccount)
		h.wantClass(err, NeedsSignIn)
		h.wantCalls(0)
	})
}

func TestUnreadableRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		for key := range h.store.caches {
			h.store.caches[key] = []byte(`{"RefreshToken":`)
		}
		h.store.caches[CacheKey{"contoso", tenantDomain, clientID, KindApplication}] = []byte("[")
		_, err := h.use(aliceAccount)
		h.wantClass(err, NeedsSignIn)
		h.mustUse(appAccount) // loses nothing by it
		h.wantCalls(1)
	})
}

// TestClientOfAnotherConfiguration: a client id that is mistyped and put right again costs nobody a sign-in.
func TestClientOfAnotherConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		provider := (*h.source.providers.Load())["contoso"]
		provider.clientID = "00000000-mistyped"
		_, err := h.use(aliceAccount)
		h.wantClass(err, Misconfigured)
		h.wantCalls(0)
		provider.clientID = clientID
		time.Sleep(2 * time.Minute)
		h.mustUse(aliceAccount)
	})
}
