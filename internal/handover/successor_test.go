package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// asSuccessor says what this test binary is to be in the place of its tests: a successor of a kind.
const asSuccessor = "POSTERN_TEST_SUCCESSOR"

// successors are kinds of successors. Each gives the exit code.
var successors = map[string]func() int{
	// It serves until nobody is left who could connect.
	"good": func() int {
		s, before := Inherited()
		l, err := s.Listen(none, "smtps", "127.0.0.1:0")
		if err != nil {
			before.Fail(err)
			return 1
		}
		_ = s.Unused()
		if err := before.Serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		conn, err := l.Accept()
		if err != nil {
			return 3
		}
		_, _ = io.WriteString(conn, "the successor\n")
		_ = conn.Close()
		return 0
	},
	"fails": func() int {
		_, before := Inherited()
		before.Fail(errors.New("the configuration is wrong\nin two lines"))
		return 1
	},
	"dies":    func() int { return 7 },
	"hangs":   func() int { time.Sleep(time.Hour); return 0 },
	"babbles": func() int { _, before := Inherited(); _, _ = io.WriteString(before.talk.conn, "HELO\n"); return 0 },
	"foreign": func() int { _, before := Inherited(); _ = before.talk.say(saying{Yours: true}); return 0 },
}

// succeed has a listener, beside whom Succeed starts a successor of a kind.
func succeed(ctx context.Context, t *testing.T, kind string) (*Listener, *Successor, error) {
	t.Helper()
	s := new(Sockets)
	t.Cleanup(s.Close)
	came(t, s, "tcp4", "unrelated", "127.0.0.1:0")
	l, err := s.Listen(none, "smtps", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv(asSuccessor, kind)
	successor, err := s.Succeed(ctx, os.Args[0], nil)
	return l, successor, err
}

// TestSucceed: the successor has the same socket, and serves it once this process does not.
func TestSucceed(t *testing.T) {
	l, successor, err := succeed(t.Context(), t, "good")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.Close()
		}
	})
	address := l.Addr().String()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = l.Close()
		accepting.Wait()
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the listener does not close: its socket blocks")
	}
	if err := successor.Yield(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(conn); string(got) != "the successor\n" {
		t.Errorf("got %q, %v", got, err)
	}
	<-successor.ended
	if successor.err != nil {
		t.Errorf("the successor ended with %v", successor.err)
	}
}

// TestNoSuccessor: whatever becomes of a successor that does not serve, it is no more, and the error says why.
func TestNoSuccessor(t *testing.T) {
	for kind, want := range map[string]string{
		"fails":   "the successor does not start: the configuration is wrong\nin two lines",
		"dies":    "the successor ended before it served: exit status 7",
		"babbles": "the successor speaks another language: it is too old or too new for this",
		"foreign": "the successor speaks another language: it is too old or too new for this",
	} {
		t.Run(kind, func(t *testing.T) {
			if _, _, err := succeed(t.Context(), t, kind); err == nil || err.Error() != want {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	t.Run("hangs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, _, err := succeed(ctx, t, "hangs"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was given up", err)
		}
	})
	t.Run("is not there", func(t *testing.T) {
		s := new(Sockets)
		if _, err := s.Succeed(t.Context(), "/nowhere/postern", nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want that there is no such file", err)
		}
	})
}

// TestForsake: a successor that serves is ended.
func TestForsake(t *testing.T) {
	_, successor, err := succeed(t.Context(), t, "good")
	if err != nil {
		t.Fatal(err)
	}
	successor.Forsake()
	<-successor.ended
}

// TestNoPredecessor: a process that was started by nobody of our kind has none, and nothing comes of telling it.
func TestNoPredecessor(t *testing.T) {
	t.Setenv(predecessorVariable, fmt.Sprint(os.Getpid())) // which is not its parent
	s, before := Inherited()
	s.Close()
	if before != nil {
		t.Errorf("got %+v, want none", before)
	}
	before.Fail(errors.New("nobody hears it"))
	if err := before.Serve(); err != nil {
		t.Error(err)
	}
	if got := os.Getenv(predecessorVariable); got != "" {
		t.Errorf("%s=%s is left for others", predecessorVariable, got)
	}
}

// TestEnvironment: of the service manager's words to this process, those about its number do not reach the successor.
func TestEnvironment(t *testing.T) {
	got := strings.Join(environment([]string{"HOME=/", "LISTEN_PID=7", "LISTEN_FDS=9", "LISTEN_FDNAMES=x", "WATCHDOG_PID=7", "WATCHDOG_USEC=60",
		predecessorVariable + "=1"}, []string{"smtps", talkName}, 7), " ")
	if want := "HOME=/ WATCHDOG_USEC=60 LISTEN_FDS=2 LISTEN_FDNAMES=smtps:predecessor POSTERN_PREDECESSOR=7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
