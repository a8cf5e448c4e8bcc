package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// stampedeTime is in what time all who come back at once have to be served (threat model I-33).
	stampedeTime = 90 * time.Second
	// stampedeLogins is how many logins the clients have among them.
	stampedeLogins = 20
)

// stampedeSize is how many clients come back at once: with POSTERN_LONG as many as the threat model says, and otherwise
// what the race detector lets this process hold in a few seconds.
func stampedeSize() int {
	if os.Getenv("POSTERN_LONG") != "" {
		return 9000
	}
	return 900
}

// signInAnswer connects, signs in by IMAP and gives the tagged answer, without its tag, and the connection. It is for
// goroutines that the test does not run on.
func signInAnswer(address string, trust *tls.Config, user login) (answer string, conn *tls.Conn, err error) {
	dialer := net.Dialer{Timeout: stampedeTime}
	if conn, err = tls.DialWithDialer(&dialer, "tcp", address, trust); err != nil {
		return "", nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(stampedeTime))
	_, err = fmt.Fprintf(conn, "a LOGIN %q %q\r\n", user.Login, user.Password)
	for in := bufio.NewReaderSize(conn, 512); err == nil; {
		var line string
		if line, err = in.ReadString('\n'); err == nil && strings.HasPrefix(line, "a ") {
			return strings.TrimSpace(line[2:]), conn, nil
		}
	}
	_ = conn.Close()
	return "", nil, err
}

// stampede is a crowd of clients that have a session each, and come back whenever they lose it.
type stampede struct {
	address string
	trust   *tls.Config
	users   []login
	size    int

	mu      sync.Mutex
	conns   []*tls.Conn
	answers map[string]int // what was said to a sign-in → how often
}

// come has all clients sign in at once, each until it is let in, and gives how long that took for the last.
func (s *stampede) come(t *testing.T) time.Duration {
	t.Helper()
	s.conns, s.answers = nil, make(map[string]int)
	began := time.Now()
	var clients sync.WaitGroup
	for i := range s.size {
		clients.Go(func() { s.untilServed(s.users[i%len(s.users)], began.Add(stampedeTime)) })
	}
	clients.Wait()
	return time.Since(began)
}

// untilServed signs in, again and again, as clients do.
func (s *stampede) untilServed(user login, end time.Time) {
	for time.Now().Before(end) {
		answer, conn, err := signInAnswer(s.address, s.trust, user)
		if err == nil {
			answer, _, _ = strings.Cut(answer, "[CAPABILITY")
		} else {
			answer = "no answer"
		}
		s.mu.Lock()
		s.answers[answer]++
		if strings.HasPrefix(answer, "OK") {
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if conn != nil {
			_ = conn.Close()
		}
		time.Sleep(100 * time.Millisecond) // it is refused, or the gateway is not there yet: do not spin
	}
}

// leave closes all connections.
func (s *stampede) leave() {
	for _, conn := range s.conns {
		_ = conn.NetConn().Close()
	}
}

// TestI33ClientsComeBackAtOnce has a gateway die under thousands of sessions, and all their clients come back at the
// moment at which it listens again: all are served in time, and none is told that its password is wrong.
func TestI33ClientsComeBackAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	program := binary(t, plainProgram)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	var logins strings.Builder
	for i := range stampedeLogins {
		fmt.Fprintf(&logins, "  - {login: crowd-%d, mailbox: alice@contoso.example, provider: contoso, grant: application, policy: crowd}\n", i)
	}
	d.change(t, "policies:\n", "limits: {connections: 9800, connections_per_source: 9800, connections_before_sign_in: 9800}\n"+
		"policies:\n  crowd: {protocols: [imap], limits: {connections: 1000}}\n", "users:\n", "users:\n"+logins.String())
	d.serve(t, g, program)
	crowd := &stampede{address: g.IMAPS, trust: g.trust(t), size: stampedeSize()}
	for i := range stampedeLogins {
		var issued login
		out := command{path: program, args: []string{"password", "issue", fmt.Sprint("crowd-", i), "--label", "e2e", "--json", "-c", d.config}}.must(t)
		if err := json.Unmarshal([]byte(out), &issued); err != nil {
			t.Fatal(err)
		}
		crowd.users = append(crowd.users, issued)
	}
	t.Logf("%d clients come in %v", crowd.size, crowd.come(t))
	g.kill()
	crowd.leave()

	g.process = start(t, program, "serve", "-c", d.config)
	took := crowd.come(t)
	t.Cleanup(crowd.leave)
	t.Logf("%d clients come back in %v; they heard %v", crowd.size, took, crowd.answers)
	if len(crowd.conns) != crowd.size {
		t.Errorf("%d of %d clients are served within %v", len(crowd.conns), crowd.size, stampedeTime)
	}
	for answer := range crowd.answers {
		if strings.Contains(answer, "AUTHENTICATIONFAILED") {
			t.Errorf("%d clients with the right password heard %q", crowd.answers[answer], answer)
		}
	}
	if got := strings.Count(d.admin(t, "session", "list", "--json"), "\n"); got != crowd.size {
		t.Errorf("the gateway has %d sessions, want %d", got, crowd.size)
	}
}
