package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
)

// enrollAlice tries to enrol alice's account.
func (h *harness) enrollAlice(ctx context.Context) (Identity, error) {
	return h.source.Enroll(ctx, aliceAccount, "root", func(DeviceCode) {})
}

// wantNothingKept checks that a failed enrolment left nothing behind.
func (h *harness) wantNothingKept() {
	h.t.Helper()
	if len(h.store.enrolments) != 0 || len(h.store.caches) != 0 {
		h.t.Errorf("a failed enrolment left %d enrolments and %d caches", len(h.store.enrolments), len(h.store.caches))
	}
}

func TestEnroll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		var shown DeviceCode
		began := time.Now()
		go func() {
			time.Sleep(17 * time.Second)
			h.entra.set(func() { h.entra.signedIn = &alice })
		}()
		identity, err := h.source.Enroll(context.Background(), aliceAccount, "root", func(code DeviceCode) { shown = code })
		if err != nil {
			t.Fatal(err)
		}
		want := DeviceCode{UserCode: "ABCD12345", VerificationURL: "https://localhost/device", Expires: began.Add(15 * time.Minute)}
		shown.Expires = shown.Expires.Local()
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
		if identity != alice {
			t.Errorf("got identity %+v, want %+v", identity, alice)
		}
		wantEvent := audit.AccountEnrolled{Provider: "contoso", Account: alice.Username, TenantID: alice.TenantID,
			ObjectID: alice.ObjectID, Method: "device-code", By: "root"}
		if diff := cmp.Diff([]audit.Event{wantEvent}, h.audit.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		calls := h.entra.count()
		h.mustUse(aliceAccount) // the token that came with the enrolment
		h.wantCalls(calls)
	})
}

// TestPollsKeepTheProvidersPace is RFC 8628 section 3.5, which MSAL does not follow by itself.
func TestPollsKeepTheProvidersPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		began := time.Now()
		h.entra.set(func() { h.entra.interval = 7 })
		go func() {
			time.Sleep(30 * time.Second)
			h.entra.refuseAll(http.StatusBadRequest, "slow_down")
			time.Sleep(10 * time.Second)
			h.entra.set(func() { h.entra.token, h.entra.signedIn = nil, &alice })
		}()
		if _, err := h.enrollAlice(context.Background()); err != nil {
			t.Fatal(err)
		}
		var at []int
		for _, poll := range h.entra.polls {
			at = append(at, int(poll.Sub(began).Seconds()))
		}
		// 7 seconds apart; the answer to the poll at 35 was slow_down, which adds 5.
		if diff := cmp.Diff([]int{0, 7, 14, 21, 28, 47}, at); diff != "" {
			t.Errorf("polls at (-want +got):\n%s", diff)
		}
	})
}

// TestEnrollOfAnybodyElse is threat model I-21: whatever is wrong with who signed in, the tokens are thrown away.
func TestEnrollOfAnybodyElse(t *testing.T) {
	forged, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, arrange := range map[string]func(f *fakeEntra){
		"another person":     func(f *fakeEntra) { f.signedIn = &bob },
		"another tenant":     func(f *fakeEntra) { f.idToken = jwt.MapClaims{"tid": "66666666-2222-3333-4444-555555555555"} },
		"another issuer":     func(f *fakeEntra) { f.idToken = jwt.MapClaims{"iss": "https://localhost/other/v2.0"} },
		"another audience":   func(f *fakeEntra) { f.idToken = jwt.MapClaims{"aud": "somebody"} },
		"expired":            func(f *fakeEntra) { f.idToken = jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()} },
		"forged":             func(f *fakeEntra) { f.key = forged },
		"without object id":  func(f *fakeEntra) { f.idToken = jwt.MapClaims{"oid": ""} },
		"another object id":  func(f *fakeEntra) { f.idToken = jwt.MapClaims{"preferred_username": alice.Username}; f.signedIn = &bob },
		"no refresh token":   func(f *fakeEntra) { f.noRotate = true },
		"issuer of everyone": func(f *fakeEntra) { f.issuer = "https://localhost/{tenantid}/v2.0" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.entra.set(func() {
					h.entra.signedIn = &alice
					arrange(h.entra)
				})
				identity, err := h.enrollAlice(context.Background())
				if name == "another object id" {
					// The provider vouches that this person now has the name: taken, as who they are.
					if err != nil || identity.ObjectID != bob.ObjectID {
						t.Fatalf("got %+v, %v", identity, err)
					}
					return
				}
				h.wantClass(err, NeedsSignIn)
				h.wantNothingKept()
				h.wantEvents("enrolment-refused")
			})
		})
	}
}

func TestEnrollThatTheProviderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		word   string
		code   int
		class  Class
		advice string
	}{
		"declined":      {"authorization_declined", 0, NeedsSignIn, "declined"},
		"expired":       {"expired_token", 70019, NeedsSignIn, "not used in time"},
		"blocked":       {"invalid_grant", 53003, Misconfigured, "Block device code flow"},
		"public is off": {"invalid_client", 7000218, Misconfigured, "az ad app update --id " + clientID + " --is-fallback-public-client true"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.entra.refuseAll(http.StatusBadRequest, test.word, test.code)
				_, err := h.enrollAlice(context.Background())
				if failed := h.wantClass(err, test.class); !strings.Contains(failed.Advice, test.advice) {
					t.Errorf("got advice %q, want %q in it", failed.Advice, test.advice)
				}
				h.wantNothingKept()
				h.wantEvents("token-refused")
			})
		})
	}
}

func TestEnrollThatNobodyFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		began := time.Now()
		_, err := h.enrollAlice(context.Background())
		if failed := h.wantClass(err, NeedsSignIn); failed.Code != "expired_token" {
			t.Errorf("got %v, want it expired", failed)
		}
		if took := time.Since(began); took != 15*time.Minute {
			t.Errorf("it took %v, want the code's life", took)
		}
		h.wantNothingKept()
	})
}

func TestEnrollThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(12 * time.Second)
			cancel()
		}()
		_, err := h.enrollAlice(ctx)
		if failed := h.wantClass(err, Temporary); !errors.Is(failed, context.Canceled) {
			t.Errorf("got %v, want it to wrap the end of the context", failed)
		}
		h.wantEvents()
	})
}

// TestEnrollIsRecordedFirst: what is not in the audit log is not kept.
func TestEnrollIsRecordedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() { h.entra.signedIn = &alice })
		h.audit.fault = errors.New("no space left on device")
		_, err := h.enrollAlice(context.Background())
		h.wantClass(err, Temporary)
		h.wantNothingKept()
	})
}

func TestEnrollThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() { h.entra.signedIn = &alice })
		h.store.saveFault = errors.New("disk full")
		_, err := h.enrollAlice(context.Background())
		if failed := h.wantClass(err, Temporary); !errors.Is(failed, h.store.saveFault) {
			t.Errorf("got %v, want the store's error in it", failed)
		}
	})
}

func TestAccountsThatCannotBeEnrolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for tenant, word := range map[string]string{"common": "common", "organizations": "organizations", "tokens.example": "token"} {
			(*h.source.providers.Load())[tenant] = h.provider(MicrosoftConfig{Authority: "https://localhost/" + tenant})
			account := Account{Provider: tenant, Grant: Delegated, Name: alice.Username}
			_, err := h.source.Enroll(context.Background(), account, "root", nil)
			if failed := h.wantClass(err, Misconfigured); !strings.Contains(failed.Advice, word) {
				t.Errorf("got advice %q, want %q in it", failed.Advice, word)
			}
		}
		for _, account := range []Account{appAccount, {Provider: "nowhere", Grant: Delegated, Name: "a"}} {
			_, err := h.source.Enroll(context.Background(), account, "root", nil)
			h.wantClass(err, Misconfigured)
		}
	})
}
