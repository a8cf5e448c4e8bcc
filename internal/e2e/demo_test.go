package e2e

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"slices"
	"testing"
)

// ready is the line that `postern demo --json` prints when everything listens.
type ready struct {
	IMAP       string  `json:"imap"`
	IMAPS      string  `json:"imaps"`
	Submission string  `json:"submission"`
	SMTPS      string  `json:"smtps"`
	Portal     string  `json:"portal"`
	CAFile     string  `json:"ca_file"`
	Config     string  `json:"config"`
	Authority  string  `json:"authority"` // of the simulated Entra ID
	Users      []login `json:"users"`
	People     []struct {
		Account  string `json:"account"`
		Password string `json:"password"` // at the simulated Microsoft
	} `json:"people"`
}

// login is somebody who may sign in to the gateway.
type login struct {
	Login     string   `json:"login"`
	Mailbox   string   `json:"mailbox"`
	Password  string   `json:"password"`
	Protocols []string `json:"protocols"`
}

// gateway is a running Postern as its clients know it.
type gateway struct {
	*process
	ready
}

// startDemo starts the demo and waits until it is ready.
func startDemo(t *testing.T) *gateway {
	t.Helper()
	p := start(t, binary(t, program), "demo", "--json")
	g := &gateway{process: p}
	if err := json.Unmarshal([]byte(p.line(t)), &g.ready); err != nil {
		t.Fatalf("the demo's line is not JSON: %v\n%s", err, p.stdout)
	}
	return g
}

// person gives the login that may use IMAP and SMTP.
func (g *gateway) person(t *testing.T) login {
	t.Helper()
	return g.loginWith(t, "imap", "smtp")
}

// copier gives the login that may use SMTP only.
func (g *gateway) copier(t *testing.T) login {
	t.Helper()
	return g.loginWith(t, "smtp")
}

func (g *gateway) loginWith(t *testing.T, protocols ...string) login {
	t.Helper()
	for _, user := range g.Users {
		have := slices.Sorted(slices.Values(user.Protocols))
		if slices.Equal(have, protocols) {
			return user
		}
	}
	t.Fatalf("no user has just the protocols %v: %v", protocols, g.Users)
	return login{}
}

// port gives the port of an address of the gateway. Its host is reached as localhost: not every client of old can
// compare a certificate with an IP address.
func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatalf("address of the gateway: %v", err)
	}
	return port
}

// byName gives an address of the gateway with the name localhost.
func byName(t *testing.T, address string) string {
	t.Helper()
	return net.JoinHostPort("localhost", port(t, address))
}

// TestDemoSaysHowToReachIt holds `demo --json` to the line that scripts read, and to an orderly end.
func TestDemoSaysHowToReachIt(t *testing.T) {
	g := startDemo(t)
	for name, address := range map[string]string{
		"imap": g.IMAP, "imaps": g.IMAPS, "submission": g.Submission, "smtps": g.SMTPS,
	} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Errorf("%s: got address %q: %v", name, address, err)
			continue
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("%s: got address %q, want one of loopback", name, address)
		}
		g.listening(t, address)
	}
	if portal, err := url.Parse(g.Portal); err != nil || portal.Scheme != "https" || portal.Hostname() != "localhost" {
		t.Errorf("portal: got %q, want https://localhost with a port", g.Portal)
	} else {
		g.listening(t, portal.Host)
	}
	if _, err := os.Stat(g.CAFile); err != nil {
		t.Errorf("ca_file: %v", err)
	}
	if got := g.person(t); got.Login != "alice@contoso.example" || got.Mailbox != got.Login {
		t.Errorf("got person %q with mailbox %q, want alice@contoso.example and the same", got.Login, got.Mailbox)
	}
	if got := g.copier(t); got.Login != "copier-3" || got.Mailbox != "scans@contoso.example" {
		t.Errorf("got copier %q with mailbox %q, want copier-3 and scans@contoso.example", got.Login, got.Mailbox)
	}
	g.stop(t)
}
