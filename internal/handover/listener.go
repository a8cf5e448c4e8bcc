package handover

import (
	"net"
	"os"
	"slices"
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
