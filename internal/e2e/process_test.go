package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// readyTime bounds how long a process may take until it serves.
	readyTime = 30 * time.Second
	// stopTime bounds how long a process may take to end after a signal.
	stopTime = 20 * time.Second
)

// output collects what a process writes. It is safe for concurrent use.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

// String gives all that was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// firstLine gives the first whole line, and otherwise a channel that is closed when there is more to look at.
func (o *output) firstLine() (line string, found bool, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	line, _, found = strings.Cut(o.text.String(), "\n")
	return line, found, o.changed
}

// process is a running program.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	ended  chan struct{} // closed when the process has ended
	err    error         // how it ended; read after ended
	asked  sync.Once
}

// start starts a program and sees to it that it has ended, cleanly, when the test is over.
func start(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{
		name:   filepath.Base(binary) + " " + strings.Join(args, " "),
		cmd:    exec.Command(binary, args...),
		stdout: newOutput(), stderr: newOutput(),
		ended: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = t.TempDir() // relative paths of the program must not end in the source tree
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	go p.reap()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// reap waits for the end of the process. stop waits for it in turn.
func (p *process) reap() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// stop asks the process to end, as a service manager would, and holds it to a clean end. A second call does nothing.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.asked.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended: seen below
		select {
		case <-p.ended:
		case <-time.After(stopTime):
			_ = p.cmd.Process.Kill()
			<-p.ended
			t.Errorf("%s did not stop within %v of SIGTERM", p.name, stopTime)
		}
		if p.err != nil {
			t.Errorf("%s ended with %v, want exit code 0", p.name, p.err)
		}
		if strings.Contains(p.stderr.String(), "WARNING: DATA RACE") {
			t.Errorf("%s has a data race", p.name)
		}
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", p.name, p.stderr)
		}
	})
}

// line waits for the first line of standard output.
func (p *process) line(t *testing.T) string {
	t.Helper()
	late := time.After(readyTime)
	for {
		line, found, more := p.stdout.firstLine()
		if found {
			return line
		}
		select {
		case <-more:
		case <-p.ended:
			if line, found, _ := p.stdout.firstLine(); found {
				return line
			}
			t.Fatalf("%s ended before it was ready: %v\n%s", p.name, p.err, p.stderr)
		case <-late:
			t.Fatalf("%s printed no line within %v\n%s", p.name, readyTime, p.stderr)
		}
	}
}

// listening waits until something accepts connections at each address.
func (p *process) listening(t *testing.T, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		eventually(t, readyTime, p.name+" listens on "+address, func() error {
			select {
			case <-p.ended:
				t.Fatalf("%s ended before it listened: %v\n%s", p.name, p.err, p.stderr)
			default:
			}
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
}

// eventually waits for a condition that another process brings about: until it gives nil, or fails the test with its
// last error.
func eventually(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for: %s: %v", limit, what, err)
		}
	}
}

// givenPorts are those that freeAddress has given: port → true.
var givenPorts sync.Map

// freeAddress gives a loopback address at which nothing listens now, and which no other test is given. Its port is below
// those that systems use for outgoing connections, so that no client takes it before the server does.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, count = 15000, 15000
	for range count {
		port := first + rand.IntN(count)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // somebody else's
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return listener.Addr().String()
	}
	t.Fatalf("no port from %d on is free", first)
	return ""
}

// need gives the path of a tool, or skips the test; where the tools are required it fails the test.
func need(t *testing.T, tool string) string {
	t.Helper()
	if path, err := exec.LookPath(tool); err == nil {
		return path
	}
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", tool)); err == nil { // where Debian keeps daemons
		return path
	}
	missing(t, tool+" is not installed; run `make tools`")
	return ""
}

// missing skips a test for a reason; where the tools are required it fails the test.
func missing(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("POSTERN_TEST_TOOLS") == "require" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// command is a client to run to its end.
type command struct {
	path  string
	args  []string
	stdin string
	home  string        // the client's home folder; empty for the test's own
	limit time.Duration // how long it may take; 0 means three minutes
}

// try runs a client and gives what it wrote to both outputs and its exit code.
func (c command) try(t *testing.T) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cmp.Or(c.limit, 3*time.Minute))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if c.home != "" {
		cmd.Env = append(cmd.Env, "HOME="+c.home)
		cmd.Dir = c.home
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("running %s: %v (%v)\n%s", filepath.Base(c.path), err, ctx.Err(), out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must runs a client that has to succeed, and gives what it wrote.
func (c command) must(t *testing.T) string {
	t.Helper()
	out, code := c.try(t)
	if code != 0 {
		t.Fatalf("%s ended with exit code %d, want 0:\n%s", filepath.Base(c.path), code, out)
	}
	return out
}

// write puts a file for a client into a folder, readable by nobody else, as clients demand of files with passwords.
func write(t *testing.T, folder, name, content string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
