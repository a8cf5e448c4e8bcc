package web

import (
	"net/netip"
	"net/url"
	"testing"
	"time"
)

// TestI29SourcesArePaced: who asks too fast is turned away; others are not.
func TestI29SourcesArePaced(t *testing.T) {
	h := newHarness(t)
	c, other := h.stranger(), h.stranger()
	other.remote = "[2001:db8:1:2::7]:4000"
	for range signInsAtOnce {
		c.begin("contoso", nil)
	}
	if a := c.post("/signin/contoso", nil).want(429, "Too many requests"); a.Header.Get("Retry-After") == "" {
		t.Error("it is not said when to come again")
	}
	other.begin("contoso", nil)
	h.clock.advance(time.Second)
	c.begin("contoso", nil)
	for range requestsAtOnce {
		other.get("/signin")
	}
	other.get("/signin").want(429)
	neighbour := h.stranger()
	neighbour.remote = "[2001:db8:1:2::8]:4000" // the same network
	neighbour.get("/signin").want(429)
	c.get("/signin").want(200)
}

// TestI29StrangersAnswersAreFew: answers that belong to no attempt do not fill the disk, wherever they come from.
func TestI29StrangersAnswersAreFew(t *testing.T) {
	h := newHarness(t)
	c := h.stranger()
	for i := range 3 * strangersAtOnce {
		c.remote = "198.51.100." + string(rune('0'+i%10)) + ":4000"
		c.come("contoso", url.Values{"state": {"x"}, "code": {"y"}})
	}
	if got := len(h.audit.events); got != strangersAtOnce {
		t.Errorf("got %d lines in the audit log, want %d", got, strangersAtOnce)
	}
	// Whoever began a sign-in is served all the same.
	h.audit.events = nil
	c = h.stranger()
	c.signInAs(alice).wantRedirect("/")
}

// TestPaceForgets: the memory of sources is bounded.
func TestPaceForgets(t *testing.T) {
	h := newHarness(t)
	c := h.stranger()
	for i := range maxSources + 100 {
		c.portal.pace.of(addressNumber(i)).requests.AllowN(h.clock.Now(), 1)
	}
	if got := len(c.portal.pace.sources); got > maxSources {
		t.Errorf("%d sources are remembered, want at most %d", got, maxSources)
	}
}

func addressNumber(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
