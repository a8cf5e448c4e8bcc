package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/config"
)

// hall is an admission with a note of who had to give way.
type hall struct {
	*admission
	t     *testing.T
	clock *clock
	out   []string // those that had to give way, in order
}

func newHall(t *testing.T, limits config.ConnectionLimits) *hall {
	c := &clock{now: noon}
	return &hall{admission: newAdmission(limits, quiet, c.time), t: t, clock: c}
}

// come has a connection come that must find a place. Each comes a second after the one before.
func (h *hall) come(name, address string) *place {
	h.t.Helper()
	h.clock.pass(time.Second)
	p, err := h.enter(netip.MustParseAddr(address), func() { h.out = append(h.out, name) })
	if err != nil {
		h.t.Fatalf("%s was turned away: %v", name, err)
	}
	return p
}

// full has a connection come that must not find a place.
func (h *hall) full(address, limit string) {
	h.t.Helper()
	if _, err := h.enter(netip.MustParseAddr(address), func() {}); err == nil || !strings.Contains(err.Error(), limit) {
		h.t.Fatalf("one from %s: got %v, want the limit %s", address, err, limit)
	}
}

func (h *hall) gaveWay(want ...string) {
	h.t.Helper()
	if fmt.Sprint(h.out) != fmt.Sprint(want) {
		h.t.Fatalf("gave way: %v, want %v", h.out, want)
	}
}

func TestASourceHasItsShareOnly(t *testing.T) {
	h := newHall(t, config.ConnectionLimits{Connections: 10, PerSource: 2, BeforeSignIn: 10})
	first := h.come("a", "192.0.2.1")
	h.come("b", "::ffff:192.0.2.1").signedIn() // the same address, and signed in counts as well
	h.full("192.0.2.1", "limits.connections_per_source, which is 2")
	h.come("c", "192.0.2.2")
	first.leave()
	first.leave() // must not count twice
	h.come("d", "192.0.2.1")
	h.full("192.0.2.1", "connections_per_source")

	h.come("e", "2001:db8::1")
	h.come("f", "2001:db8::2")
	h.full("2001:db8:0:0:ffff::3", "connections_per_source") // of the same /64
	h.come("g", "2001:db8:0:1::1")
	h.gaveWay()
}

// Those who fill the places of strangers lose their own first, the oldest first; nobody else does.
func TestI29TheGreediestStrangerGivesWay(t *testing.T) {
	h := newHall(t, config.ConnectionLimits{Connections: 100, PerSource: 100, BeforeSignIn: 5})
	h.come("honest", "192.0.2.1")
	for i := range 4 {
		h.come(fmt.Sprint("flood", i), "203.0.113.9")
	}
	h.come("second honest", "192.0.2.2")
	h.gaveWay("flood0")
	h.come("flood4", "203.0.113.9")
	h.gaveWay("flood0", "flood1")
	p := h.come("third honest", "192.0.2.3")
	h.gaveWay("flood0", "flood1", "flood2")
	p.signedIn()
	p.signedIn()             // must not count twice
	h.come("x", "192.0.2.3") // has the place that p does not need any more
	h.gaveWay("flood0", "flood1", "flood2")
	h.come("flood5", "203.0.113.9")
	h.gaveWay("flood0", "flood1", "flood2", "flood3")
}

func TestAmongEqualsTheOldestGivesWay(t *testing.T) {
	h := newHall(t, config.ConnectionLimits{Connections: 100, PerSource: 100, BeforeSignIn: 3})
	for _, i := range []string{"1", "2", "3", "4", "5"} {
		h.come(i, "192.0.2."+i)
	}
	h.gaveWay("1", "2")
}

func TestWhereAllPlacesAreTakenStrangersGiveWay(t *testing.T) {
	h := newHall(t, config.ConnectionLimits{Connections: 3, PerSource: 3, BeforeSignIn: 3})
	h.come("a", "192.0.2.1").signedIn()
	h.come("stranger", "192.0.2.1")
	h.come("b", "192.0.2.2").signedIn()
	h.come("c", "192.0.2.3").signedIn()
	h.gaveWay("stranger")
	h.full("192.0.2.4", "limits.connections, which is 3")
	h.full("192.0.2.4", "limits.connections")
}

// Whatever comes and goes, no limit is passed, the books are right, and whoever gave way was of a greediest source.
func TestAdmissionKeepsItsBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := config.ConnectionLimits{
			Connections: rapid.IntRange(1, 8).Draw(t, "connections"),
			PerSource:   rapid.IntRange(1, 8).Draw(t, "per source"), BeforeSignIn: rapid.IntRange(1, 8).Draw(t, "before sign-in"),
		}
		c := &clock{now: noon}
		a := newAdmission(limits, quiet, c.time)
		present := map[*place]bool{} // place → is a stranger's
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			c.pass(time.Second)
			var all []*place
			for p := range present {
				all = append(all, p)
			}
			switch action := rapid.IntRange(0, 3).Draw(t, "action"); {
			case action == 0 && len(all) > 0:
				all[0].leave()
				delete(present, all[0])
			case action == 1 && len(all) > 0:
				all[0].signedIn()
				present[all[0]] = false
			default:
				var p *place
				address := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "host") % 4})
				p, err := a.enter(address, func() {})
				if err == nil {
					present[p] = true
				}
				for q := range present {
					if q.left {
						delete(present, q)
					}
				}
			}
			check(t, a, present)
		}
	})
}

// check holds the books of an admission against who is there.
func check(t *rapid.T, a *admission, present map[*place]bool) {
	t.Helper()
	places, strangers := map[*source]int{}, map[*source]int{}
	all := 0
	for p, stranger := range present {
		places[p.source]++
		if stranger {
			strangers[p.source]++
			all++
		}
	}
	if a.places != len(present) || a.strangers != all || len(a.sources) != len(places) || len(a.greedy) != len(strangers) {
		t.Fatalf("books: %d places, %d strangers, %d sources, %d of them with strangers; want %d, %d, %d, %d",
			a.places, a.strangers, len(a.sources), len(a.greedy), len(present), all, len(places), len(strangers))
	}
	if a.places > a.limits.Connections || a.strangers > a.limits.BeforeSignIn {
		t.Fatalf("%d places, %d strangers; limits %+v", a.places, a.strangers, a.limits)
	}
	for s, n := range places {
		if s.places != n || s.strangers.Len() != strangers[s] || n > a.limits.PerSource {
			t.Fatalf("%s has %d places, %d strangers; want %d, %d", s.network, s.places, s.strangers.Len(), n, strangers[s])
		}
		if len(a.greedy) > 0 && a.greedy[0].strangers.Len() < strangers[s] {
			t.Fatalf("%s has more strangers than the greediest", s.network)
		}
	}
	for i, s := range a.greedy {
		if s.index != i {
			t.Fatalf("source at %d believes to be at %d", i, s.index)
		}
	}
}

// A flood must not fill the log.
func TestLimitsThatAreReachedAreLoggedNowAndThen(t *testing.T) {
	var text bytes.Buffer
	c := &clock{now: noon}
	a := newAdmission(config.ConnectionLimits{Connections: 1, PerSource: 1, BeforeSignIn: 1}, slog.New(slog.NewTextHandler(&text, nil)), c.time)
	address := netip.MustParseAddr("192.0.2.1")
	for range 100 {
		_, _ = a.enter(address, func() {})
		c.pass(turnedAwayLog / 40)
	}
	if got := strings.Count(text.String(), "\n"); got != 3 {
		t.Errorf("got %d lines, want 3:\n%s", got, &text)
	}
	if !strings.Contains(text.String(), "times=40") {
		t.Errorf("the log does not count:\n%s", &text)
	}
}

func TestI31LimitsStayWithinOpenFiles(t *testing.T) {
	limits := config.ConnectionLimits{Connections: 1000, PerSource: 500, BeforeSignIn: 100}
	for files, want := range map[uint64]config.ConnectionLimits{
		1 << 20: limits,
		2256:    limits,
		2255:    {Connections: 999, PerSource: 500, BeforeSignIn: 100},
		1024:    {Connections: 384, PerSource: 384, BeforeSignIn: 100},
		10:      {Connections: 1, PerSource: 1, BeforeSignIn: 1},
	} {
		if got := within(limits, files, quiet); got != want {
			t.Errorf("%d files: got %+v, want %+v", files, got, want)
		}
	}
}
