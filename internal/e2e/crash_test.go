package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/postgrestest"
	"postern/internal/sim"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

const (
	// crashClients is how many clients send between two kills.
	crashClients = 6
	// longestLife is the longest that the gateway lives between two kills.
	longestLife = 1500 * time.Millisecond
	// inFlight is how many messages can be on their way to upstream when the gateway dies: three of each of two mailboxes.
	inFlight = 2 * 3
)

// kill ends a process as a crash does. Nothing is expected of its end.
func (p *process) kill() {
	p.asked.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
}

// ownSim runs the simulator in the test's own process, so that the test sees into its mailboxes.
func ownSim(t *testing.T, limits exchange.Limits) (*sim.Sim, *simulator) {
	t.Helper()
	outer := startSim(t, binary(t, program)) // for the files that a deployment needs
	a := authority(t)
	certificate, _, _, err := a.Issue("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := sim.Start(sim.Options{Certificate: certificate, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	outer.secret = inner.ClientSecret().Reveal()
	outer.CAFile = write(t, t.TempDir(), "sim-ca.pem", string(a.RootPEM()))
	return inner, outer
}

// queueing writes a deployment whose copier-3 has delivery: auto and whose alice has delivery: queue, with an upstream of
// the test's own and the limits of a mailbox that a test can wait for.
func queueing(t *testing.T, inner *sim.Sim, outer *simulator, perMinute int) (*deployment, *gateway) {
	t.Helper()
	d, g := deploy(t, outer, upstreams{authority: inner.Authority(), imap: inner.Exchange.IMAPAddress(), smtp: inner.Exchange.SMTPAddress(), caFile: outer.CAFile})
	d.change(t, "send: {delivery: direct}", "send: {delivery: queue}",
		"    endpoints:", fmt.Sprintf("    smtp_messages_per_minute: %d\n    endpoints:", perMinute))
	return d, g
}

// TestI02Crash kills the gateway at random moments while clients send and upstream takes, refuses, hangs and vanishes. Every
// message that was answered 250 is delivered in the end or its sender has a report, and none comes more than once between
// two crashes: each may cause one more copy of what was on its way (threat model I-01, I-02, I-03). POSTERN_LONG kills it 40
// times, and more until 3,000 messages were answered 250.
func TestI02Crash(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	if os.Getenv("POSTERN_LONG") != "" {
		crash(t, "sqlite:postern.db", 40, 3000)
		return
	}
	crash(t, "sqlite:postern.db", 8, 8)
}

// TestI02CrashOnPostgreSQL is TestI02Crash with the store in PostgreSQL.
func TestI02CrashOnPostgreSQL(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	if os.Getenv("POSTERN_LONG") != "" {
		crash(t, postgrestest.DSN(t), 15, 1000)
		return
	}
	crash(t, postgrestest.DSN(t), 3, 3)
}

// crash kills the gateway so many times, and more until so many messages have been answered 250.
func crash(t *testing.T, store string, crashes, messages int) {
	inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, Connections: -1, RecipientsPerDay: -1})
	d, g := queueing(t, inner, outer, 100_000)
	d.change(t, "store: sqlite:postern.db", fmt.Sprintf("store: %q", store))
	d.serve(t, g, binary(t, program))

	var sent ledger
	came := arrivals{t: t, sim: inner, copies: make(map[string]int), reports: make(map[string]int)}
	kills := 0
	for ; kills < crashes || len(sent.all()) < messages && kills < 10*crashes; kills++ {
		inner.Tenant.Faults.Clear()
		for _, fault := range moods() {
			inner.Tenant.Faults.Add(fault)
		}
		over := make(chan struct{})
		var clients sync.WaitGroup
		for i := range crashClients {
			user := []login{g.named(t, "copier-3"), g.named(t, "alice@contoso.example")}[i%2]
			clients.Go(func() { sendUntil(t, g, user, over, &sent) })
		}
		time.Sleep(rand.N(longestLife))
		g.kill()
		close(over)
		clients.Wait()
		eventually(t, 20*time.Second, "upstream has done with the dead gateway", func() error {
			if n := inner.Exchange.Sessions(); n > 0 {
				return fmt.Errorf("%d connections", n)
			}
			return nil
		})
		came.count("before a crash")
		g.process = start(t, binary(t, program), "serve", "-c", d.config)
		g.listening(t, g.SMTPS)
	}
	inner.Tenant.Faults.Clear()
	d.emptyQueue(t)
	came.count("after the last crash")

	accepted := sent.all()
	bounced, extra := 0, 0
	for _, id := range accepted {
		switch copies, reports := came.copies[id], came.reports[id]; {
		case copies == 0 && reports == 0:
			t.Errorf("message %s was answered 250 and is lost", id)
		case copies == 0:
			bounced++
			extra += reports - 1
		default:
			extra += copies - 1
		}
	}
	t.Logf("%d messages answered 250 over %d crashes: %d delivered, %d bounced; %d copies too many", len(accepted), kills, len(accepted)-bounced, bounced, extra)
	if len(accepted) < messages {
		t.Errorf("%d messages were accepted, want %d: this test has seen too little", len(accepted), messages)
	}
	if extra > kills*inFlight {
		t.Errorf("%d copies too many, want no more than were on their way: %d", extra, kills*inFlight)
	}
}

// arrivals counts the messages that have come to the recipient, and the reports that have come to senders, by the messages'
// ids.
type arrivals struct {
	t               *testing.T
	sim             *sim.Sim
	copies, reports map[string]int
}

// count looks at what has come since the last time: one copy of a message at the most, and one report.
func (a *arrivals) count(when string) {
	a.t.Helper()
	a.copies = a.more(when, a.copies, "", "bob@contoso.example")
	a.reports = a.more(when, a.reports, "Action: failed", "alice@contoso.example", "scans@contoso.example")
}

// more counts the messages of some mailboxes that have a text in them.
func (a *arrivals) more(when string, before map[string]int, text string, mailboxes ...string) map[string]int {
	a.t.Helper()
	now := make(map[string]int)
	for _, mailbox := range mailboxes {
		for _, message := range a.sim.Exchange.Messages(mailbox, "INBOX") {
			if id := crashID.FindString(string(message)); id != "" && strings.Contains(string(message), text) {
				now[id]++
			}
		}
	}
	for id, n := range now {
		if more := n - before[id]; more > 1 {
			a.t.Errorf("message %s, or a report about it, came %d times %s", id, more, when)
		}
	}
	return now
}

// moods are what upstream is like between two crashes.
func moods() []tenant.Fault {
	all := []tenant.Fault{
		{Point: tenant.SMTPEnd, Reply: "451 4.3.2 Temporary server error", Times: 5},
		{Point: tenant.SMTPMail, Reply: "451 4.3.2 Temporary server error", Times: 3},
		{Point: tenant.SMTPRcpt, Match: "bob@contoso.example", Reply: "550 5.1.10 RESOLVER.ADR.RecipientNotFound", Times: 4},
		{Point: tenant.SMTPConnect, Drop: true, Times: 2},
		{Point: tenant.SMTPEnd, Delay: 300 * time.Millisecond, Times: 10},
		{Point: tenant.SMTPEnd, Delay: 2 * time.Second, Drop: true, Times: 3},
		{Point: tenant.SMTPSent, Delay: 2 * time.Second, Times: 2}, // it has the message, and its word comes too late
		{Point: tenant.SMTPData, Drop: true, Times: 3},
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:rand.IntN(len(all)+1)]
}

// crashID is what a message of these tests is known by.
var crashID = regexp.MustCompile(`crash-[0-9]+-[0-9]+`)

// ledger keeps the ids of messages that were answered 250.
type ledger struct {
	mu  sync.Mutex
	ids []string
}

func (l *ledger) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
}

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

// sendUntil sends messages, one after another, until it is told that it is over. What goes wrong on the way does not
// matter: the client was not told that the message is accepted.
func sendUntil(t *testing.T, g *gateway, user login, over <-chan struct{}, sent *ledger) {
	trust := g.trust(t)
	for session := rand.Uint64(); ; session++ {
		select {
		case <-over:
			return
		default:
		}
		c, err := dialSubmitter(g, trust, time.Minute)
		if err != nil {
			if c != nil {
				_ = c.conn.Close()
			}
			time.Sleep(10 * time.Millisecond) // it is dead: do not spin
			continue
		}
		err = c.signIn(user)
		for n := 0; err == nil; n++ {
			select {
			case <-over: // it need not be this client's gateway that dies
				_ = c.conn.Close()
				return
			default:
			}
			id := fmt.Sprintf("crash-%d-%d", session, n)
			body := strings.Repeat("0123456789abcdef0123456789abcdef\r\n", rand.IntN(4000))
			if err = c.submit(user, "bob@contoso.example", "Message-ID: <"+id+"@crash.example>\r\nSubject: "+id+"\r\n\r\n"+body); err == nil {
				sent.add(id)
			}
		}
		_ = c.conn.Close()
	}
}

// emptyQueue has everything tried again and waits until all of it has gone.
func (d *deployment) emptyQueue(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var waiting []string
		retry := []string{"queue", "retry", "-c", d.config}
		for line := range strings.Lines(d.admin(t, "queue", "list", "--json")) {
			var e struct{ ID, State string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, e.ID+" "+e.State)
			if e.State == "waiting" {
				retry = append(retry, e.ID)
			}
		}
		if len(retry) > 4 {
			command{path: binary(t, program), args: retry}.try(t) // one may be on its way by now: the next round has the rest
		}
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still in the queue: %v", waiting)
		}
	}
}
