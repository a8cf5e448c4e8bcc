package web

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/auth/factor"
	"postern/internal/chromium"
)

// browse serves a portal under a name and port of its own to a real browser, in which a person is signed in.
func browse(t *testing.T, who Person) (h *harness, b *chromium.Browser, at string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	at = "https://localhost:" + port
	h = newHarness(t, func(c *Config) { c.URL = at })
	server.Config.Handler = h.portal
	server.StartTLS()
	t.Cleanup(server.Close)
	b = chromium.Open(t, server.Certificate())
	b.Cookie(at, sessionCookie, h.signedIn(who).cookies[sessionCookie])
	return h, b, at
}

// TestBrowserPasskey sets a passkey up in a real browser, and proves it.
func TestBrowserPasskey(t *testing.T) {
	h, b, at := browse(t, alice)
	b.Authenticator()
	b.Visit(at + "/factors")
	b.WaitFor("You have none yet")
	b.Shot("factors-none")
	b.Fill("#passkey-name", "Alice's laptop")
	b.PressText("Set up a passkey")
	b.WaitFor("It is set up")
	b.Shot("factors-one")

	// The same device has one already; the browser says so, and nothing is sent.
	b.PressText("Set up a passkey")
	b.WaitFor("This device has a passkey of yours already.")
	h.wantEvents("factor-enrolled")

	h.clock.advance(factor.Fresh + time.Minute)
	b.Visit(at + "/factors")
	b.PressText("Set up a passkey") // which needs a proof first
	b.WaitFor("Prove that it is you")
	b.Shot("prove-passkey")
	b.PressText("Use a passkey")
	b.WaitFor("Yours")
	if got := b.Path(); got != "/factors" {
		t.Errorf("after the proof the browser is at %s, want /factors", got)
	}
	h.wantEvents("factor-refused", "factor-proven")
	b.PressText("Remove")
	b.WaitFor("It is your only one.")
	b.Shot("factor-remove")
	b.PressText("Remove it")
	b.WaitFor("It is removed")
}

// TestBrowserAuthenticator sets an authenticator app up in a real browser, and proves it.
func TestBrowserAuthenticator(t *testing.T) {
	h, b, at := browse(t, bob)
	b.Visit(at + "/factors?return=/factors")
	b.PressText("Set up an authenticator app")
	b.WaitFor("Show that it works")
	b.Shot("totp")
	key := strings.ReplaceAll(b.Value(".secret"), " ", "")
	b.Fill("#code", "000000")
	b.Forgive("status of 422")
	b.PressText("Set it up")
	b.WaitFor("This code is wrong")
	b.Shot("totp-wrong")
	b.Fill("#code", h.code(key))
	b.PressText("Set it up")
	b.WaitFor("You have one.")

	h.clock.advance(time.Minute)
	b.Language("de")
	b.Visit(at + "/factors/prove?" + url.Values{"return": {"/factors"}, "for": {"totp,acrs:c1"}}.Encode())
	b.WaitFor("Zeigen Sie, dass Sie es sind")
	b.Shot("prove-totp-de")
	b.Fill("#code", h.code(key))
	b.PressText("Bestätigen")
	b.WaitFor("Sie haben einen.")
	b.Shot("factors-de")
	h.wantEvents("factor-refused", "factor-enrolled", "factor-proven")
}
