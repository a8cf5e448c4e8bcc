package handover

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Listener is a listening socket that can go on to a successor.
type Listener struct {
	net.Listener
	sockets       *Sockets
	name, address string              // what it is known by
	from          *inherited          // the service manager's socket that it is; nil for one of the process's own
	keepAlive     net.KeepAliveConfig // for the connections of an inherited socket, which Go does not know; zero for none
}

// copy gives a copy of the descriptor. That of the net package's File would not do: once it is used it has the socket block
// whoever accepts, and an Accept that blocks in the kernel holds up Close.
func (l *Listener) copy() (*os.File, error) {
	raw, err := l.Listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	failed := raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock() // else a process that is started meanwhile would have it, too
		defer syscall.ForkLock.RUnlock()
		var copied int
		if copied, err = syscall.Dup(int(fd)); err == nil {
			syscall.CloseOnExec(copied)
			file = os.NewFile(uintptr(copied), l.address)
		}
	})
	return file, errors.Join(err, failed)
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil && l.keepAlive.Enable {
		_ = tcp.SetKeepAliveConfig(l.keepAlive) // it may be closed already, of which its reader hears
	}
	return conn, err
}

// SetDeadline has an Accept that waits for longer fail, with an error that is [os.ErrDeadlineExceeded].
func (l *Listener) SetDeadline(at time.Time) error {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(at)
	}
	return os.ErrNoDeadline
}

// Close stops accepting here. A service manager's socket is there for whoever listens at its address next.
func (l *Listener) Close() error {
	l.sockets.mu.Lock()
	if l.from != nil {
		l.from.taken, l.from = false, nil
	}
	l.sockets.opened = slices.DeleteFunc(l.sockets.opened, func(o *Listener) bool { return o == l })
	l.sockets.mu.Unlock()
	return l.Listener.Close()
}
