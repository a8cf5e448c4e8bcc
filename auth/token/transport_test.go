package token

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/secret"
)

func TestDiscoveryIsAskedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		var people sync.WaitGroup
		for i := range 20 {
			who := Identity{TenantID: tenantID, ObjectID: fmt.Sprintf("oid-%d", i), Username: fmt.Sprintf("user%d@contoso.example", i)}
			account := Account{Provider: "contoso", Grant: Delegated, Name: who.Username}
			h.enroll(account, who)
			people.Go(func() {
				if _, err := h.use(account); err != nil {
					t.Error(err)
				}
			})
		}
		people.Wait()
		if h.entra.discovers != 1 {
			t.Errorf("the discovery document was asked for %d times, want once", h.entra.discovers)
		}
		time.Sleep(discoveryLife)
		h.mustUse(appAccount)
		if h.entra.discovers != 2 {
			t.Errorf("the discovery document was asked for %d times, want once more", h.entra.discovers)
		}
	})
}

func TestDiscoveryThatFailsIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for _, body := range []string{"<html>portal</html>", `{}`} {
			h.entra.set(func() { h.entra.document = func(w http.ResponseWriter) { _, _ = io.WriteString(w, body) } })
			_, err := h.use(appAccount)
			h.wantClass(err, Temporary)
			time.Sleep(10 * time.Second)
		}
		h.entra.set(func() { h.entra.document = nil })
		h.mustUse(appAccount)
	})
}

func TestUnknownTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.document = func(w http.ResponseWriter) { refuse(w, nil, http.StatusBadRequest, "invalid_tenant", 90002) }
		})
		_, err := h.use(appAccount)
		if failed := h.wantClass(err, Misconfigured); !strings.Contains(failed.Advice, tenantDomain) {
			t.Errorf("got advice %q, want the tenant in it", failed.Advice)
		}
	})
}

// TestI17CredentialsStayWithTheProvider is threat model I-17: neither a discovery document nor a redirect leads them away.
func TestI17CredentialsStayWithTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.document = func(w http.ResponseWriter) {
				reply(w, http.StatusOK, map[string]any{
					"issuer": h.entra.issuer, "jwks_uri": "https://localhost/keys", "authorization_endpoint": "https://localhost/a",
					"token_endpoint": "https://elsewhere.example/" + tenantDomain + "/oauth2/v2.0/token",
				})
			}
		})
		_, err := h.use(appAccount)
		if failed := h.wantClass(err, Misconfigured); !strings.Contains(failed.Advice, "elsewhere.example") {
			t.Errorf("got advice %q, want the host in it", failed.Advice)
		}
		h.wantCalls(0)
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.token = func(w http.ResponseWriter, _ url.Values) bool {
				w.Header().Set("Location", "https://localhost/"+tenantDomain+"/oauth2/v2.0/token?again")
				w.WriteHeader(http.StatusTemporaryRedirect)
				return true
			}
		})
		_, err := h.use(appAccount)
		h.wantClass(err, Temporary)
		h.wantCalls(1)
	})
}

// TestUnreachableProvider goes over the loopback network, where the errors are the real ones.
func TestUnreachableProvider(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for authority, want := range map[string]string{
		server.URL:                        "is not accepted: check this machine's clock",
		"https://" + gone.Addr().String(): "no connection to " + gone.Addr().String(),
		"https://name.invalid":            "is not resolved",
	} {
		m, err := NewMicrosoft(MicrosoftConfig{Authority: authority + "/" + tenantDomain, ClientID: clientID, ClientSecret: secret.New("x")})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(authority, "invalid") {
			m.client.Transport.(*transport).base.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "name.invalid", IsNotFound: true}}
			}
		}
		_, _, failed := m.fetch(t.Context(), newMemory(), request{account: appAccount})
		if failed == nil || failed.Class != Temporary || !strings.Contains(failed.Advice, want) {
			t.Errorf("%s: got %v, want it temporary, with %q", authority, failed, want)
		}
		m.client.CloseIdleConnections()
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"a web page":      func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>"+secretMark) },
		"an empty object": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "{}") },
		"nothing":         func(w http.ResponseWriter) {},
		"a cut one":       func(w http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"a token that is over": func(w http.ResponseWriter) {
			reply(w, http.StatusOK, map[string]any{"access_token": "x", "expires_in": 0, "token_type": "Bearer"})
		},
		"a bad page":        func(w http.ResponseWriter) { http.Error(w, "<html>"+secretMark, http.StatusBadGateway) },
		"a refusal in HTML": func(w http.ResponseWriter) { http.Error(w, "<html>"+secretMark, http.StatusForbidden) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.entra.set(func() {
					h.entra.token = func(w http.ResponseWriter, _ url.Values) bool { answer(w); return true }
				})
				_, err := h.use(appAccount)
				h.wantClass(err, Temporary)
				h.wantEvents("token-refused")
			})
		})
	}
}

func TestAnswerThatIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.token = func(w http.ResponseWriter, _ url.Values) bool {
				for range 100 {
					_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswer/50))
				}
				return false
			}
		})
		_, err := h.use(appAccount)
		if failed := h.wantClass(err, Temporary); !strings.Contains(failed.Advice, "too long") {
			t.Errorf("got advice %q", failed.Advice)
		}
	})
}

// TestProviderThatIsSlowEverywhere: the time for a token is bounded as a whole, not request by request.
func TestProviderThatIsSlowEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.document = func(w http.ResponseWriter) {
				time.Sleep(20 * time.Second)
				h.entra.describe(w)
			}
		})
		h.entra.pause(20 * time.Second)
		began := time.Now()
		_, err := h.use(appAccount)
		h.wantClass(err, Temporary)
		if took := time.Since(began); took > flightTime {
			t.Errorf("it took %v, want %v at most", took, flightTime)
		}
	})
}

// TestOtherSpellingOfTheMailResource is reference G.4.1: MSAL would drop the token, and the rotated refresh token.
func TestOtherSpellingOfTheMailResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.entra.set(func() {
			h.entra.scope = "https://outlook.office365.com/SMTP.Send https://outlook.office365.com/IMAP.AccessAsUser.All"
		})
		h.enroll(aliceAccount, alice) // the device code's redemption as well
		h.mustUse(aliceAccount)
		h.wantCalls(1)
		time.Sleep(40 * time.Minute)
		h.mustUse(aliceAccount)
		h.wantCalls(2)
		if first, second := h.entra.forms[0], h.entra.forms[1]; first.Get("refresh_token") == second.Get("refresh_token") {
			t.Error("the rotated refresh token was lost")
		}
	})
}

func TestPermissionThatWasNotGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.enroll(aliceAccount, alice)
		h.entra.set(func() { h.entra.scope = "https://outlook.office.com/IMAP.AccessAsUser.All" })
		_, err := h.use(aliceAccount)
		failed := h.wantClass(err, Misconfigured)
		if !strings.Contains(failed.Advice, smtpScope) || strings.Contains(failed.Advice, imapScope) {
			t.Errorf("got advice %q, want the one permission that is missing in it", failed.Advice)
		}
	})
}

func TestSameScope(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{imapScope, imapScope, true},
		{imapScope, "https://OUTLOOK.office365.com/imap.accessasuser.all", true},
		{imapScope, "https://outlook.office365.com/POP.AccessAsUser.All", false},
		{imapScope, "https://outlook.office365.us/IMAP.AccessAsUser.All", false},
		{imapScope, "https://graph.microsoft.com/IMAP.AccessAsUser.All", false},
		{imapScope, "http://outlook.office365.com/IMAP.AccessAsUser.All", false},
		{imapScope, "IMAP.AccessAsUser.All", false},
	} {
		if got := sameScope(test.a, test.b); got != test.want {
			t.Errorf("sameScope(%q, %q) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
