package handover

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// TestKeepAlive: a connection of an inherited socket has the keep-alive that one of a new socket has.
func TestKeepAlive(t *testing.T) {
	s := new(Sockets)
	defer s.Close()
	address := came(t, s, "tcp4", "", "127.0.0.1:0")
	settings := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second, Interval: 33 * time.Second, Count: 5}}
	l, err := s.Listen(settings, "", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = accepted.Close() }()
	if got := idleOf(t, accepted); got != 77 {
		t.Errorf("the first probe comes after %d s, want 77", got)
	}
}

// idleOf gives the time in seconds after which a connection in which nothing moves is probed.
func idleOf(t *testing.T, conn net.Conn) (seconds int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		seconds, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
	})
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// TestCopiesDoNotBlock: a socket stays as Go's poller needs it, whatever is done with the copies for a successor. Otherwise an
// Accept would sit in the kernel, and Close wait for it until somebody connects.
func TestCopiesDoNotBlock(t *testing.T) {
	s := new(Sockets)
	l, err := s.Listen(none, "", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	files, _, closeCopies, err := s.files()
	if err != nil {
		t.Fatal(err)
	}
	defer closeCopies()
	flags, _, failed := syscall.Syscall(syscall.SYS_FCNTL, files[0].Fd(), syscall.F_GETFL, 0)
	if failed != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("the flags of the copy are %#x, %v; want O_NONBLOCK among them", flags, failed)
	}
}
