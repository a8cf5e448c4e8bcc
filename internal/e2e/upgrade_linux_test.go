package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/internal/sim/exchange"
)

// upgrades is how often the gateway is upgraded under traffic.
const upgrades = 3

// startUpgradable starts a program whose successors write to the same outputs: its own end is not that of what it writes.
func startUpgradable(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	adopt(t)
	p := &process{name: "postern " + strings.Join(args, " "), cmd: exec.Command(binary, args...), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	p.cmd.Dir = t.TempDir()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(p.stderr, read)
		_ = read.Close()
	}()
	go p.reap()
	t.Cleanup(func() {
		p.stop(t)
		<-copied // with the end of the last successor
	})
	return p
}

// adopt makes this process the parent of those whose own parent has ended, so that it hears of their end (prctl(2)).
func adopt(t *testing.T) {
	t.Helper()
	const subreaper = 36 // PR_SET_CHILD_SUBREAPER
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, subreaper, 1, 0); err != 0 {
		t.Fatal(err)
	}
}

// upgraded is what `postern upgrade --json` prints.
type upgraded struct {
	PID, Before, Sessions int
	Drain                 string
}

// upgrade has the gateway upgraded, and sees to it that the new process ends with the test.
func (d *deployment) upgrade(t *testing.T) upgraded {
	t.Helper()
	var u upgraded
	said := d.admin(t, "upgrade", "--json")
	if err := json.Unmarshal([]byte(said), &u); err != nil {
		t.Fatalf("%v in %q", err, said)
	}
	t.Cleanup(func() { _ = syscall.Kill(u.PID, syscall.SIGKILL) }) // it has ended already, but for a test that failed
	return u
}

// stopSuccessor ends a process that a gateway started, whose own end was before, and holds it to a clean end.
func stopSuccessor(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := time.AfterFunc(stopTime, func() { _ = process.Signal(syscall.SIGQUIT) }) // for its goroutines
	defer ended.Stop()
	state, err := process.Wait()
	if err != nil || state.ExitCode() != 0 {
		t.Errorf("process %d ended with %v, %v; want exit code 0 within %v", pid, state, err, stopTime)
	}
}

// traffic is clients that come all the time. Nothing may go wrong for any of them.
type traffic struct {
	t       *testing.T
	g       *gateway
	trust   *tls.Config
	over    chan struct{}
	clients sync.WaitGroup
	signIns atomic.Int64
	sent    ledger
}

func startTraffic(t *testing.T, g *gateway) *traffic {
	return &traffic{t: t, g: g, trust: g.trust(t), over: make(chan struct{})}
}

// repeat does something until the traffic is over.
func (c *traffic) repeat(what string, do func(n int) error) {
	c.clients.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-c.over:
				return
			default:
			}
			if err := do(n); err != nil {
				c.t.Errorf("%s, number %d: %v", what, n, err)
				return
			}
		}
	})
}

// imap signs in by IMAP, and out again.
func (c *traffic) imap(user login) func(int) error {
	return func(int) error {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", c.g.IMAPS, c.trust)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := fmt.Fprintf(conn, "a LOGIN %q %q\r\nb NOOP\r\nc LOGOUT\r\n", user.Login, user.Password); err != nil {
			return err
		}
		heard, err := io.ReadAll(bufio.NewReader(conn))
		if !strings.Contains(string(heard), "\na OK") || !strings.Contains(string(heard), "\nc OK") {
			return fmt.Errorf("heard %q, %w", heard, err)
		}
		c.signIns.Add(1)
		return nil
	}
}

// smtp sends a message over a connection of its own.
func (c *traffic) smtp(user login, number int) func(int) error {
	return func(n int) error {
		s, err := dialSubmitter(c.g, c.trust, time.Minute)
		if s != nil {
			defer func() { _ = s.conn.Close() }()
		}
		if err == nil {
			err = s.signIn(user)
		}
		id := fmt.Sprintf("crash-%d-%d", number, n)
		if err == nil {
			err = s.submit(user, "bob@contoso.example", "Message-ID: <"+id+"@upgrade.example>\r\nSubject: "+id+"\r\n\r\nhello\r\n")
		}
		if err == nil {
			c.sent.add(id)
		}
		return err
	}
}

// end waits until the clients have ended.
func (c *traffic) end() {
	close(c.over)
	c.clients.Wait()
}

// TestUpgrade: the gateway is upgraded, and its successor, and that one's, while clients sign in by IMAP and send by SMTP. No
// connection is refused, no attempt fails, sessions go on in the process where they are, every message arrives once, and the audit
// log is one chain.
func TestUpgrade(t *testing.T) {
	inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, Connections: -1, RecipientsPerDay: -1})
	d, g := queueing(t, inner, outer, 100_000)
	g.process = startUpgradable(t, binary(t, program), "serve", "-c", d.config)
	g.listening(t, g.IMAP, g.IMAPS, g.Submission, g.SMTPS)
	for _, user := range []login{
		{Login: "alice@contoso.example", Mailbox: "alice@contoso.example", Protocols: []string{"imap", "smtp"}},
		{Login: "copier-3", Mailbox: "scans@contoso.example", Protocols: []string{"smtp"}},
	} {
		d.issue(t, g, binary(t, program), user)
	}
	alice, copier := g.named(t, "alice@contoso.example"), g.named(t, "copier-3")

	stay := g.signIn(t, alice, "imap", "smtp")
	stay[0].say(t, "c OK", "DONE")
	c := startTraffic(t, g)
	c.repeat("a sign-in by IMAP", c.imap(alice))
	c.repeat("a sign-in by IMAP", c.imap(alice))
	c.repeat("a message of the copier's", c.smtp(copier, 1))
	c.repeat("a message of alice's", c.smtp(alice, 2)) // delivery: queue
	before := g.cmd.Process.Pid
	var all []upgraded
	for n := range upgrades {
		seen := c.signIns.Load()
		eventually(t, time.Minute, "clients come and go", func() error {
			if c.signIns.Load() < seen+3 {
				return errors.New("not yet")
			}
			return nil
		})
		u := d.upgrade(t)
		if u.Before != before || u.PID == before || u.Drain != "1h30m0s" {
			t.Errorf("got %+v, want a successor of process %d", u, before)
		}
		before = u.PID
		all = append(all, u)
		stay[0].say(t, fmt.Sprintf("n%d OK", n), fmt.Sprintf("n%d NOOP", n))
		stay[1].say(t, "250", "NOOP")
	}
	c.end()
	t.Logf("%d sign-ins and %d messages over %d upgrades", c.signIns.Load(), len(c.sent.all()), len(all))
	if all[0].Sessions < 2 {
		t.Errorf("%d sessions were said to go on in the first process, want the two that stay at least", all[0].Sessions)
	}
	for _, l := range stay {
		_ = l.conn.Close()
	}
	select {
	case <-g.ended: // g.stop sees how
	case <-time.After(stopTime):
		t.Error("the first process goes on, and nobody needs it")
	}
	d.emptyQueue(t)
	came := arrivals{t: t, sim: inner, copies: make(map[string]int)}
	came.count("over all upgrades")
	for _, id := range c.sent.all() {
		if came.copies[id] != 1 {
			t.Errorf("message %s came %d times, want once", id, came.copies[id])
		}
	}
	d.admin(t, "audit", "verify")
	for _, u := range all[:len(all)-1] {
		eventually(t, stopTime, fmt.Sprintf("the end of process %d", u.PID), func() error {
			if err := syscall.Kill(u.PID, 0); err == nil {
				reapOrphan(u.PID)
				return errors.New("it is still there")
			}
			return nil
		})
	}
	stopSuccessor(t, before)
	d.admin(t, "audit", "verify")
}

// reapOrphan takes note of a process that has ended, if this one is its parent by now.
func reapOrphan(pid int) { _, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) }

// TestUpgradeThatFails: where the new process does not come to serve, the old one goes on, and says why; the next upgrade may do.
func TestUpgradeThatFails(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	g.process = startUpgradable(t, postern, "serve", "-c", d.config)
	g.listening(t, g.IMAPS, g.SMTPS)
	d.issue(t, g, postern, login{Login: "alice@contoso.example", Mailbox: "alice@contoso.example", Protocols: []string{"imap", "smtp"}})
	alice := g.named(t, "alice@contoso.example")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d.folder, "postern.yaml", string(good)+fmt.Sprintf("metrics: {address: %q}\n", taken.Addr()))
	told, code := command{path: postern, args: []string{"upgrade", "-c", d.config}}.try(t)
	if want := "the old process goes on: the successor does not start: the gateway does not start: metrics: listen tcp " + taken.Addr().String(); code != 1 || !strings.Contains(told, want) {
		t.Errorf("got %q and exit code %d, want %q and 1", told, code, want)
	}
	g.signIn(t, alice, "imap")

	write(t, d.folder, "postern.yaml", string(good)+"polices: {}\n")
	if err := g.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, readyTime, "the audit log says why", func() error {
		if !d.audited(t, `"gateway-upgrade-failed"`, "polices: unknown setting; did you mean policies?", `"by":"SIGUSR2"`) {
			return errors.New("it does not")
		}
		return nil
	})
	g.signIn(t, alice, "imap")

	write(t, d.folder, "postern.yaml", string(good))
	u := d.upgrade(t)
	g.signIn(t, alice, "imap", "smtp")
	stopSuccessorOf(t, g, u.PID)
}

// stopSuccessorOf ends a gateway that was upgraded once, and its successor.
func stopSuccessorOf(t *testing.T, g *gateway, pid int) {
	t.Helper()
	g.stop(t)
	stopSuccessor(t, pid)
}

// TestSessionsOfTheOldProcess: they end as any do when what they stand on goes: by a lock, by a new configuration.
func TestSessionsOfTheOldProcess(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	g.process = startUpgradable(t, postern, "serve", "-c", d.config)
	g.listening(t, g.IMAPS, g.SMTPS)
	for _, name := range []string{"alice@contoso.example", "scans-reader"} {
		d.issue(t, g, postern, login{Login: name, Mailbox: name, Protocols: []string{"imap", "smtp"}})
	}
	alice, reader := g.named(t, "alice@contoso.example"), g.named(t, "scans-reader")
	locked, moved, stays := g.signIn(t, reader, "imap")[0], g.signIn(t, alice, "smtp")[0], g.signIn(t, alice, "imap")[0]
	killed := g.signIn(t, reader, "imap")[0]
	u := d.upgrade(t)
	g.signIn(t, reader, "imap")
	var ids []string
	eventually(t, readyTime, "two sessions of the old process and one of the new one are listed", func() error {
		if ids = d.sessionsOf(t, "scans-reader"); len(ids) != 3 {
			return fmt.Errorf("%d are", len(ids))
		}
		return nil
	})
	if said := d.admin(t, "session", "kill", ids[1]); !strings.Contains(said, "ended: 1") {
		t.Errorf("killing one of the old process's: %q", said)
	}
	_, _ = killed.ended(t, endTime)
	d.admin(t, "user", "lock", "scans-reader", "--reason", "test")
	_, _ = locked.ended(t, endTime)
	d.change(t, "protocols: [imap, smtp], send", "protocols: [imap], send")
	_, _ = moved.ended(t, 10*time.Second)
	stays.say(t, "c OK", "DONE")
	if told, code := (command{path: postern, args: []string{"session", "kill", "nosuch", "-c", d.config}}).try(t); code != 1 || !strings.Contains(told, `there is no session "nosuch"`) {
		t.Errorf("got %q and exit code %d, want that there is none, and 1", told, code)
	}
	if log := g.stderr.String(); strings.Contains(log, "not taken up") {
		t.Errorf("the old process complains of the new configuration:\n%s", log)
	}
	stopSuccessorOf(t, g, u.PID)
}

// TestUpgradeUnderAServiceManager: it hears which process is the service now, and from that one that it is ready and alive.
func TestUpgradeUnderAServiceManager(t *testing.T) {
	postern := binary(t, program)
	s := startSim(t, postern)
	d, g := deploy(t, s, s.upstreams())
	n := listenForNotices(t)
	t.Setenv("NOTIFY_SOCKET", n.path)
	t.Setenv("WATCHDOG_USEC", "300000")
	g.process = startUpgradable(t, postern, "serve", "-c", d.config)
	n.await(t, readyTime, "WATCHDOG=1")
	u := d.upgrade(t)
	n.await(t, readyTime, fmt.Sprintf("MAINPID=%d", u.PID))
	n.await(t, readyTime, "READY=1")
	n.await(t, readyTime, "WATCHDOG=1")
	<-g.ended
	stopSuccessorOf(t, g, u.PID)
}
