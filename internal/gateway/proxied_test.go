package gateway

import (
	"io"
	"net/netip"
	"testing"

	"postern/internal/config"
)

var plenty = config.ConnectionLimits{Connections: 9, PerSource: 9, BeforeSignIn: 9}

// behind gives a listener behind load balancers in the networks given, for clients from 198.51.100.0/24.
func behind(balancers ...string) config.Listener {
	c := config.Listener{Protocol: "imap", TLS: config.StartTLS, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	for _, b := range balancers {
		c.ProxyProtocol = append(c.ProxyProtocol, netip.MustParsePrefix(b))
	}
	return c
}

func (c *caller) says(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

const header = "PROXY TCP4 198.51.100.7 192.0.2.9 50000 993\r\n"

// TestI36AListedPeerSaysWhoItsClientIs: that address is the client's from then on, for networks, limits and logs; what comes
// behind the header is the client's.
func TestI36AListedPeerSaysWhoItsClientIs(t *testing.T) {
	e := openEntrance(t, behind("127.0.0.1/32"), plenty)
	c := e.call()
	c.says(header + "IN\r\n")
	c.hears("* OK 198.51.100.7:50000")
	c.hears("OK")
	e.admission.mu.Lock()
	defer e.admission.mu.Unlock()
	if e.admission.sources[netip.MustParsePrefix("198.51.100.7/32")] == nil {
		t.Errorf("got the sources %v, want the client among them", e.admission.sources)
	}
}

// TestI36LimitsAndNetworksAreTheClients: not the load balancer's.
func TestI36LimitsAndNetworksAreTheClients(t *testing.T) {
	limits := plenty
	limits.PerSource = 1
	e := openEntrance(t, behind("127.0.0.1/32"), limits)
	first := e.call()
	first.says(header)
	first.hears("* OK 198.51.100.7:50000")
	second := e.call()
	second.says(header)
	second.hears("* BYE [LIMIT]")
	third := e.call()
	third.says("PROXY TCP4 198.51.100.8 192.0.2.9 50000 993\r\n")
	third.hears("* OK 198.51.100.8:50000")
	outside := e.call()
	outside.says("PROXY TCP4 203.0.113.1 192.0.2.9 50000 993\r\n")
	outside.hears("")
}

// TestI36APeerThatIsNotListedIsRefused: it may claim what it likes, or nothing.
func TestI36APeerThatIsNotListedIsRefused(t *testing.T) {
	e := openEntrance(t, behind("192.0.2.1/32"), plenty)
	c := e.call()
	_, _ = io.WriteString(c, header)
	if line, err := c.in.ReadString('\n'); err == nil {
		t.Errorf("heard %q, want nothing", line)
	}
	e.call().hears("")
}

// TestI36AListedPeerHasToSayWho: without a header its bytes are nobody's.
func TestI36AListedPeerHasToSayWho(t *testing.T) {
	e := openEntrance(t, behind("127.0.0.1/32"), plenty)
	c := e.call()
	c.says("A1 LOGIN alice secret\r\n")
	if line, err := c.in.ReadString('\n'); err == nil {
		t.Errorf("heard %q, want nothing", line)
	}
}
