package smtpproxy

import (
	"net"
	"sync"
	"time"
)

// idleUpstream is how long a connection to upstream may wait for the session's next message. Exchange allows a mailbox
// three at a time (reference C).
const idleUpstream = 15 * time.Second

// link is a client's connection together with its connection to upstream, which comes and goes. Its purpose is that
// both can be cut off from outside, and that an idle one does not stay.
type link struct {
	client net.Conn

	mu       sync.Mutex
	upstream *submission // nil while there is none
	inUse    bool        // a transaction uses upstream
	idle     *time.Timer // closes an upstream that is not in use
	cause    string      // why somebody else ended the session; empty while nobody has
}

func newLink(client net.Conn) *link { return &link{client: client} }

// take gives the connection to upstream, if there is one, for a transaction's use.
func (l *link) take() *submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upstream == nil {
		return nil
	}
	l.idle.Stop()
	l.inUse = true
	return l.upstream
}

// put takes a new connection to upstream, in use by a transaction. It reports false, and closes it, when the session
// has been cut off meanwhile.
func (l *link) put(s *submission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != "" {
		s.hangUp()
		return false
	}
	l.upstream, l.inUse = s, true
	return true
}

// release ends a transaction's use of upstream, which now waits for the next for a while.
func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upstream == nil {
		return
	}
	l.inUse = false
	waiting := l.upstream
	l.idle = time.AfterFunc(idleUpstream, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.upstream == waiting && !l.inUse {
			l.upstream = nil
			go waiting.quit()
		}
	})
}

// drop hangs up on upstream without another word, so that nothing half sent is taken for whole.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upstream != nil {
		l.upstream.hangUp()
		l.upstream = nil
	}
}

// cut ends the session for a cause of somebody else's, without waiting for its end. It closes the sockets below TLS,
// for closing TLS would wait for a peer that does not read.
func (l *link) cut(cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == "" {
		l.cause = cause
	}
	closeSocket(l.client)
	if l.upstream != nil {
		l.upstream.hangUp()
		l.upstream = nil
	}
}

// close takes leave of upstream at the end of the session, and gives the cause if somebody else ended it.
func (l *link) close() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle != nil {
		l.idle.Stop()
	}
	if l.upstream != nil {
		l.upstream.quit()
		l.upstream = nil
	}
	return l.cause
}

// closeSocket closes a connection below its TLS.
func closeSocket(conn net.Conn) {
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = encrypted.NetConn()
	}
	_ = conn.Close()
}
