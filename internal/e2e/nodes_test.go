package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/postgrestest"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// node is one of several gateways that share a database.
type node struct {
	*deployment
	*gateway
}

// nodes runs two gateways on one PostgreSQL, with app passwords for all logins. deploy gives each its configuration, which
// has a line for the store and one for the keys.
func nodes(t *testing.T, deploy func() (*deployment, *gateway)) (a, b node) {
	t.Helper()
	store := fmt.Sprintf("store: %q", postgrestest.DSN(t))
	a.deployment, a.gateway = deploy()
	a.change(t, "store: sqlite:postern.db", store)
	a.serve(t, a.gateway, binary(t, program))
	b.deployment, b.gateway = deploy()
	b.change(t, "store: sqlite:postern.db", store, "keys_file: postern.keys", fmt.Sprintf("keys_file: %q", filepath.Join(a.folder, "postern.keys")))
	b.Users = a.Users
	b.start(t)
	return a, b
}

// start starts a node's gateway.
func (n node) start(t *testing.T) {
	t.Helper()
	n.process = start(t, binary(t, program), "serve", "-c", n.config)
	n.listening(t, n.IMAPS, n.SMTPS)
}

// within reports an error unless a sign-in at a node is answered so in time.
func (n node) within(t *testing.T, limit time.Duration, what string, user login, want string) {
	t.Helper()
	began := time.Now()
	for {
		got := n.imapSignIn(t, n.gateway, user)
		took := time.Since(began)
		if strings.HasPrefix(got, want) {
			return
		}
		if took > limit {
			t.Errorf("%s: got %q after %v, want %s within %v", what, got, took, want, limit)
			return
		}
	}
}

// TestI24NodesShareWhatIsIssuedAndRevoked: an app password that is issued through one gateway signs in at the other within a
// second; when it is revoked, it is refused there within a second, and its session is cut within five. Entra is asked for
// one token, whoever needs it.
func TestI24NodesShareWhatIsIssuedAndRevoked(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	a, b := nodes(t, func() (*deployment, *gateway) { return deploy(t, s, s.upstreams()) })
	alice := a.named(t, "alice@contoso.example")
	before := s.issued(t).Requests
	var both sync.WaitGroup
	for _, n := range []node{a, b, a, b} {
		conn := dial(t, n.gateway, n.IMAPS)
		both.Go(func() {
			if _, err := fmt.Fprintf(conn, "a LOGIN %q %q\r\n", alice.Login, alice.Password); err != nil {
				t.Error(err)
			}
			if got := untilTagged(conn, "a "); !strings.HasPrefix(got, "OK") {
				t.Errorf("signing in everywhere at once: got %q", got)
			}
		})
	}
	both.Wait()
	if n := s.issued(t).Requests - before; n != 1 {
		t.Errorf("%d token requests for four sign-ins at two gateways, want 1", n)
	}

	a.issue(t, a.gateway, binary(t, program), login{Login: "scans-reader", Mailbox: "scans@contoso.example", Protocols: []string{"imap"}})
	fresh := a.Users[len(a.Users)-1]
	b.within(t, time.Second, "issued through the other gateway", fresh, "OK")
	session := dial(t, b.gateway, b.IMAPS)
	if _, err := fmt.Fprintf(session, "a LOGIN %q %q\r\n", fresh.Login, fresh.Password); err != nil {
		t.Fatal(err)
	}
	if got := untilTagged(session, "a "); !strings.HasPrefix(got, "OK") {
		t.Fatalf("got %q, want OK", got)
	}
	for line := range strings.Lines(a.admin(t, "password", "list", "scans-reader", "--json")) {
		var p struct{ ID string }
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		a.admin(t, "password", "revoke", p.ID)
	}
	b.within(t, time.Second, "revoked through the other gateway", fresh, "NO [AUTHENTICATIONFAILED]")
	_ = session.SetReadDeadline(time.Now().Add(5 * time.Second))
	if rest := untilTagged(session, "never "); !strings.HasPrefix(rest, "EOF") {
		t.Errorf("the session that stood on it: %s; want it cut within 5 s", rest)
	}
}

// untilTagged reads lines until one with a tag, and gives what stands behind it; EOF when the other side closes first.
func untilTagged(conn net.Conn, tag string) string {
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return err.Error()
		case err != nil:
			return "EOF"
		}
		if answer, tagged := strings.CutPrefix(line, tag); tagged {
			return strings.TrimRight(answer, "\r\n")
		}
	}
}

// TestI27NodesCountGuessesTogether: who guesses at one login through two gateways has one pace.
func TestI27NodesCountGuessesTogether(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	a, b := nodes(t, func() (*deployment, *gateway) { return deploy(t, s, s.upstreams()) })
	began := time.Now()
	for i := range 24 {
		n := []node{a, b}[i%2]
		if got := n.imapSignIn(t, n.gateway, login{Login: "helpdesk@contoso.example", Password: fmt.Sprint("guess-", i)}); !strings.HasPrefix(got, "NO ") {
			t.Errorf("guess %d: got %q", i, got)
		}
	}
	checked := 0
	for _, n := range []node{a, b} {
		for _, line := range n.audit(t) {
			if line.Kind == "sign-in" && line.Reason == "wrong-password" {
				checked++
			}
		}
	}
	most := 10 + int(time.Since(began)/(6*time.Second)) + 1
	if checked < 5 || checked > most {
		t.Errorf("%d of 24 guesses were checked by two gateways, want no more than %d", checked, most)
	}
}

// TestI45NodeDies kills one of two gateways while clients send to both and both deliver. What was answered 250 arrives, what
// was not on its way at that moment arrives once, and both together never have more than three messages of a mailbox on their
// way (threat model I-08).
func TestI45NodeDies(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, RecipientsPerDay: -1})
	a, b := nodes(t, func() (*deployment, *gateway) { return queueing(t, inner, outer, 100_000) })
	var sent ledger
	for round := range 4 {
		dies := []node{a, b}[round%2]
		over := make(chan struct{})
		var clients sync.WaitGroup
		for i := range crashClients {
			user := []login{a.named(t, "copier-3"), a.named(t, "alice@contoso.example")}[i%2]
			n := []node{a, b}[i/2%2]
			clients.Go(func() { sendUntil(t, n.gateway, user, over, &sent) })
		}
		time.Sleep(time.Second + rand.N(longestLife))
		dies.kill()
		close(over)
		clients.Wait()
		dies.start(t)
	}
	a.emptyQueue(t)
	copies := make(map[string]int)
	for _, message := range inner.Exchange.Messages("bob@contoso.example", "INBOX") {
		copies[crashID.FindString(string(message))]++
	}
	accepted, extra := sent.all(), 0
	for _, id := range accepted {
		switch n := copies[id]; {
		case n == 0:
			t.Errorf("message %s was answered 250 and is lost", id)
		case n > 1:
			extra += n - 1
		}
	}
	t.Logf("%d messages answered 250; %d copies too many; at most %d at once for a mailbox", len(accepted), extra, inner.Exchange.HighestConcurrency())
	if len(accepted) < 20 {
		t.Errorf("only %d messages were accepted: this test has seen nothing", len(accepted))
	}
	if n := inner.Exchange.HighestConcurrency(); n > 3 {
		t.Errorf("%d messages of a mailbox were on their way at once, want no more than 3", n)
	}
	// Of each mailbox three can be on their way when a gateway dies.
	if most := 4 * 2 * 3; extra > most {
		t.Errorf("%d copies too many, want no more than %d", extra, most)
	}
}

// TestI45NodeFreezes stops one of two gateways in the middle of its work, for longer than a sign of life is believed: the
// other takes over what it had, and when it wakes it sends nothing of that again but what was on its way.
func TestI45NodeFreezes(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, RecipientsPerDay: -1})
	a, b := nodes(t, func() (*deployment, *gateway) { return queueing(t, inner, outer, 100_000) })
	user := a.named(t, "alice@contoso.example")
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPEnd, Delay: time.Second, Times: 3}) // so that some are on their way
	const messages = 30
	for i := range messages {
		if got := a.smtpSubmit(t, a.gateway, user, "bob@contoso.example", fmt.Sprintf("From: alice@contoso.example\r\nSubject: crash-1-%d\r\n\r\nx", i)); !strings.HasPrefix(got, "250") {
			t.Fatalf("message %d: got %q", i, got)
		}
	}
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.cmd.Process.Signal(syscall.SIGCONT) }()
	b.emptyQueue(t)
	if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := a.smtpSubmit(t, a.gateway, user, "bob@contoso.example", "From: alice@contoso.example\r\nSubject: crash-1-30\r\n\r\nx"); !strings.HasPrefix(got, "250") {
		t.Errorf("after it woke: got %q", got)
	}
	b.emptyQueue(t)
	copies := make(map[string]int)
	for _, message := range inner.Exchange.Messages("bob@contoso.example", "INBOX") {
		copies[crashID.FindString(string(message))]++
	}
	extra := 0
	for _, n := range copies {
		extra += n - 1
	}
	if len(copies) != messages+1 || extra > 3 {
		t.Errorf("%d of %d messages arrived, %d copies too many; want all, and no more than the three that were on their way twice", len(copies), messages+1, extra)
	}
}

// TestI08NodesShareAMinute: two gateways together send no more in a minute than one may.
func TestI08NodesShareAMinute(t *testing.T) {
	t.Parallel()
	inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, RecipientsPerDay: -1})
	a, b := nodes(t, func() (*deployment, *gateway) { return queueing(t, inner, outer, 10) })
	began := time.Now()
	user := a.named(t, "alice@contoso.example")
	for i := range 16 {
		n := []node{a, b}[i%2]
		if got := n.smtpSubmit(t, n.gateway, user, "bob@contoso.example", fmt.Sprintf("From: alice@contoso.example\r\nSubject: crash-1-%d\r\n\r\nx", i)); !strings.HasPrefix(got, "250") {
			t.Fatalf("message %d: got %q", i, got)
		}
	}
	arrived := func() int { return len(inner.Exchange.Messages("bob@contoso.example", "INBOX")) }
	eventually(t, 30*time.Second, "what may go has gone", func() error {
		if n := arrived(); n < 10 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	time.Sleep(2 * time.Second) // two looks of each gateway at the queue, in which more could go
	if n, took := arrived(), time.Since(began); n > 10 && took < 55*time.Second {
		t.Errorf("%d messages in %v, want 10 in a minute", n, took)
	}
}
