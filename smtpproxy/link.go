package smtpproxy

import (
	"net"
	"sync"
)

// link is a client's connection together with the connection to upstream that its message uses, which comes and goes. Its
// purpose is that both can be cut off from outside.
type link struct {
	client net.Conn

	mu       sync.Mutex
	upstream *submission // nil while no message uses one
	cause    string      // why somebody else ended the session; empty while nobody has
}

func newLink(client net.Conn) *link { return &link{client: client} }

// put takes a connection to upstream for a message's use. It reports false, and hangs up on it, when the session has been
// cut off meanwhile.
func (l *link) put(s *submission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != "" {
		s.hangUp()
		return false
	}
	l.upstream = s
	return true
}

// detach gives the connection to upstream away; nil when the session has been cut off, or has none.
func (l *link) detach() *submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.upstream
	l.upstream = nil
	return s
}

// drop hangs up on upstream without another word, so that nothing half sent is taken for whole.
func (l *link) drop() {
	if s := l.detach(); s != nil {
		s.hangUp()
	}
}

// cut ends the session for a cause of somebody else's, without waiting for its end. It closes the sockets below TLS,
// for closing TLS would wait for a peer that does not read.
func (l *link) cut(cause string) {
	l.mu.Lock()
	if l.cause == "" {
		l.cause = cause
	}
	closeSocket(l.client)
	l.mu.Unlock()
	l.drop()
}

// close hangs up on what is left at the end of the session, and gives the cause if somebody else ended it.
func (l *link) close() string {
	l.drop()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// closeSocket closes a connection below its TLS.
func closeSocket(conn net.Conn) {
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = encrypted.NetConn()
	}
	_ = conn.Close()
}
