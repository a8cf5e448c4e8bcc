package e2e

import (
	"crypto/tls"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// delivered demands that every message that was answered 250 came, and none more often than crashes allow.
func delivered(t *testing.T, came arrivals, accepted []string, extra int) {
	t.Helper()
	if len(accepted) == 0 {
		t.Fatal("no message was accepted: the test has seen nothing")
	}
	more := 0
	for _, id := range accepted {
		if came.copies[id] == 0 {
			t.Errorf("message %s was answered 250 and is lost", id)
		}
		more += max(0, came.copies[id]-1)
	}
	if t.Logf("%d messages were answered 250; copies too many: %d", len(accepted), more); more > extra {
		t.Errorf("%d copies too many, want %d at most", more, extra)
	}
}

// TestI31OutOfMemory takes all memory from the gateway but what it has, while clients send and many connect, until it ends as
// a program without memory does. Whoever starts it again has it serve within five seconds, and what was accepted arrives.
func TestI31OutOfMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory cannot be limited")
	}
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, binary(t, program))
	var sent ledger
	over := make(chan struct{})
	var clients sync.WaitGroup
	for _, name := range []string{"alice@contoso.example", "copier-3"} {
		clients.Go(func() { sendUntil(t, g, g.named(t, name), over, &sent) })
	}
	eventually(t, time.Minute, "messages are accepted", func() error { return atLeast(len(sent.all()), 10) })
	command{path: need(t, "prlimit"), args: []string{"--pid", g.pid(), "--as=1000000"}}.must(t) // less than it has: nothing more is given

	trust := g.trust(t)
	var crowd sync.WaitGroup
	for range 8 {
		crowd.Go(func() {
			var held []*tls.Conn
			for range 400 { // each wants some memory
				select {
				case <-g.ended:
				default:
					if conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.IMAPS, trust); err == nil {
						held = append(held, conn)
						continue
					}
				}
				break
			}
			<-over
			for _, conn := range held {
				_ = conn.Close()
			}
		})
	}
	g.asked.Do(func() { // that it ends is what is wanted
		select {
		case <-g.ended:
		case <-time.After(2 * time.Minute):
			_ = g.cmd.Process.Kill()
			<-g.ended
			t.Error("it has not run out of memory: the test has seen nothing")
		}
	})
	if said := g.stderr.String(); !strings.Contains(said, "out of memory") && !strings.Contains(said, "cannot allocate memory") {
		t.Errorf("it ended, and not for want of memory:\n%s", said[max(0, len(said)-2000):])
	}
	began := time.Now()
	g.process = start(t, binary(t, program), "serve", "-c", d.config)
	g.listening(t, g.IMAPS)
	if got := d.imapSignIn(t, g, g.named(t, "alice@contoso.example")); !strings.HasPrefix(got, "OK") || time.Since(began) > reliefTime {
		t.Errorf("started again, a client heard %q after %v; want OK within %v", got, time.Since(began), reliefTime)
	}
	close(over)
	clients.Wait()
	crowd.Wait()
	d.emptyQueue(t)
	came := arrivals{t: t, sim: inner}
	came.copies = came.more("in the end", map[string]int{}, "", "bob@contoso.example")
	delivered(t, came, sent.all(), inFlight)
}

// TestI31OutOfProcessorTime lets the gateway not run at all for longer than its leases last, and then hardly, beside programs that
// never rest: sessions go on, nothing is told as a wrong password, and when there is time again all is as before.
func TestI31OutOfProcessorTime(t *testing.T) {
	inner, outer := ownSim(t, unlimited)
	d, g := queueing(t, inner, outer, 100_000)
	d.serve(t, g, binary(t, program))
	user := g.named(t, "alice@contoso.example")
	live := g.signIn(t, user, "imap", "smtp")
	live[0].say(t, "c OK", "DONE")
	var sent ledger
	over := make(chan struct{})
	var clients sync.WaitGroup
	for _, name := range []string{"alice@contoso.example", "copier-3"} {
		clients.Go(func() { sendUntil(t, g, g.named(t, name), over, &sent) })
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := g.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	again := func(when string) {
		t.Helper()
		began := time.Now()
		if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") || time.Since(began) > reliefTime {
			t.Errorf("%s a client heard %q after %v; want OK within %v", when, got, time.Since(began), reliefTime)
		}
		live[0].say(t, "d OK", "d NOOP")
		live[1].say(t, "250", "NOOP")
	}
	eventually(t, time.Minute, "messages are accepted", func() error { return atLeast(len(sent.all()), 10) })
	signal(syscall.SIGSTOP)
	time.Sleep(12 * time.Second) // the leases of a node that is silent end after ten
	signal(syscall.SIGCONT)
	again("after it had not run for 12 s")

	taskset, renice := need(t, "taskset"), need(t, "renice")
	command{path: taskset, args: []string{"--all-tasks", "--cpu-list", "--pid", "0", g.pid()}}.must(t)
	command{path: renice, args: []string{"--priority", "10", "--pid", g.pid()}}.must(t)
	var busy []*exec.Cmd
	relieve := func() {
		for _, b := range busy {
			_ = b.Process.Kill()
			_ = b.Wait()
		}
		busy = nil
	}
	defer relieve()
	for range 2 {
		b := exec.Command(taskset, "--cpu-list", "0", "sh", "-c", "while :; do :; done")
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		busy = append(busy, b)
	}
	n := len(sent.all())
	for until := time.Now().Add(8 * time.Second); time.Now().Before(until); {
		if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") && !strings.HasPrefix(got, "NO [UNAVAILABLE]") {
			t.Errorf("beside busy programs a client heard %q", got)
		}
	}
	if len(sent.all()) == n {
		t.Error("beside busy programs no message was accepted in 8 s")
	}
	relieve()
	again("with time again")
	close(over)
	clients.Wait()
	if strings.Contains(g.stderr.String(), "panic") {
		t.Error(errors.New(g.stderr.String()))
	}
	d.emptyQueue(t)
	came := arrivals{t: t, sim: inner}
	came.copies = came.more("in the end", map[string]int{}, "", "bob@contoso.example")
	delivered(t, came, sent.all(), 0)
}
