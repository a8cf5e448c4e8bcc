package handover

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// none are settings that change nothing.
var none net.ListenConfig

// came makes a listening socket as the process may be started with, under a name, and gives its address.
func came(t *testing.T, s *Sockets, network, name, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(file.Fd())) // for the name
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Close(), l.Close()
	s.inherit(os.NewFile(uintptr(fd), name))
	return l.Addr().String()
}

// answers reports whether a listener is what is at an address.
func answers(t *testing.T, l net.Listener, address string) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	accepted, err := l.Accept()
	if err != nil {
		return false
	}
	defer func() { _ = accepted.Close() }()
	return accepted.RemoteAddr().String() == conn.LocalAddr().String()
}

// TestListen: which socket serves a listener's address.
func TestListen(t *testing.T) {
	for name, c := range map[string]struct {
		sockets [][2]string // FileDescriptorName and address of those that came
		wanted  [2]string   // name and address in the configuration; PORT is that of the socket it should be
		want    int         // which of the sockets; -1 for a new one
	}{
		"nothing came":            {nil, [2]string{"smtps", "127.0.0.1:0"}, -1},
		"by its name":             {[][2]string{{"imaps", "127.0.0.1:0"}, {"smtps", "127.0.0.1:0"}}, [2]string{"smtps", "127.0.0.1:0"}, 1},
		"by its address":          {[][2]string{{"postern.socket", "127.0.0.1:0"}, {"postern.socket", "127.0.0.1:0"}}, [2]string{"", "127.0.0.1:PORT"}, 1},
		"the name before address": {[][2]string{{"smtps", "127.0.0.1:0"}}, [2]string{"smtps", "127.0.0.9:25"}, 0},
		"every address":           {[][2]string{{"postern.socket", "0.0.0.0:0"}}, [2]string{"", ":PORT"}, 0},
		"one is not every":        {[][2]string{{"postern.socket", "0.0.0.0:0"}}, [2]string{"", "127.0.0.1:0"}, -1},
		"a port of 0 is any":      {[][2]string{{"postern.socket", "127.0.0.1:0"}}, [2]string{"", "127.0.0.1:0"}, -1},
		"handed over":             {[][2]string{{"smtps", "127.0.0.1:0"}, {handedName("smtps", "127.0.0.1:0"), "127.0.0.1:0"}}, [2]string{"smtps", "127.0.0.1:0"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := new(Sockets)
			defer s.Close()
			var at []string
			for _, socket := range c.sockets {
				at = append(at, came(t, s, "tcp4", socket[0], socket[1]))
			}
			address := c.wanted[1]
			if c.want >= 0 {
				_, port, _ := net.SplitHostPort(at[c.want])
				address = strings.ReplaceAll(address, "PORT", port)
			}
			l, err := s.Listen(none, c.wanted[0], address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			for i, address := range at {
				if got := l.Addr().String() == address; got != (i == c.want) {
					t.Errorf("socket %d at %s: taken %v", i, address, got)
				}
			}
			if !answers(t, l, strings.Replace(l.Addr().String(), "0.0.0.0", "127.0.0.1", 1)) {
				t.Errorf("nobody answers at %s", l.Addr())
			}
		})
	}
}

// TestUnused: what nobody has taken is named; a service manager's socket can be taken later, and again once it was let go.
func TestUnused(t *testing.T) {
	s := new(Sockets)
	defer s.Close()
	came(t, s, "tcp4", handedName("", "127.0.0.1:99"), "127.0.0.1:0")
	later := came(t, s, "tcp4", "later", "127.0.0.1:0")
	want := fmt.Sprintf("later (%s): no listener has that name or address", later)
	if got := s.Unused(); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q alone", got, want)
	}
	for range 2 {
		l, err := s.Listen(none, "", later)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Unused(); len(got) != 0 {
			t.Errorf("got %q, want nothing", got)
		}
		_ = l.Close()
		_ = l.Close()
	}
	if len(s.came) != 1 {
		t.Errorf("%d sockets are left, want the service manager's alone", len(s.came))
	}
}

// TestWrongKinds: what cannot be served is named with its number and what to do about it, and is closed.
func TestWrongKinds(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	datagrams, err := udp.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	connected, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for _, file := range []*os.File{datagrams, connected, pipe} {
		s := new(Sockets)
		fd := file.Fd()
		s.inherit(file)
		got := s.Unused()
		if len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("(descriptor %d)", fd)) || !strings.Contains(got[0], "ListenStream= and Accept=no") {
			t.Errorf("got %q, want the descriptor and what to do", got)
		}
		if _, err := file.Stat(); err == nil {
			t.Error("the descriptor is still open")
		}
	}
}

// asChild has this test binary say, in the place of its tests, what it was started with.
const asChild = "POSTERN_TEST_INHERITED"

func TestMain(m *testing.M) {
	if successor := successors[os.Getenv(asSuccessor)]; successor != nil {
		os.Exit(successor())
	}
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	s, _ := Inherited()
	l, err := s.Listen(none, "smtps", "127.0.0.1:1")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, named := os.LookupEnv("LISTEN_FDS")
	fmt.Println(l.Addr(), named, s.Unused())
}

// TestInherited: the process finds the sockets that it was started with, as systemd does that (sd_listen_fds(3)); those that
// are for another process are left alone.
func TestInherited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for pid, want := range map[string]string{
		"$$": l.Addr().String() + " false []\n",
		"1":  "listen tcp 127.0.0.1:1: bind: permission denied\n",
	} {
		// Only the shell knows the number of the process that it becomes.
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=`+pid+` exec "$0"`, os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=smtps")
		cmd.ExtraFiles = []*os.File{file}
		out, err := cmd.Output()
		if os.Getuid() == 0 && pid == "1" {
			want = "127.0.0.1:1 false []\n" // a port that root may open
		}
		if got := string(out); got != want {
			t.Errorf("LISTEN_PID=%s: got %q, %v; want %q", pid, got, err, want)
		}
	}
}
