package gateway

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"postern/internal/config"
	"postern/internal/front"
	"postern/internal/relay"
)

const (
	// keepAlive finds peers that are gone without a word: the idle time before the first probe, and the probes after it.
	keepAliveIdle     = 2 * time.Minute
	keepAliveInterval = 30 * time.Second
	keepAliveProbes   = 4
)

// listener accepts the connections of one address and has them served.
type listener struct {
	net.Listener
	config    config.Listener
	tls       *tls.Config
	server    server
	admission *admission
	log       *slog.Logger
	now       func() time.Time

	mu    sync.Mutex
	conns map[net.Conn]*place // the sockets of all connections, for the end of a drain → their places
	wait  sync.WaitGroup
}

// server is a protocol's.
type server struct {
	// serve holds the dialogue with a client. What it gives, unless that is nil, begins the client's session, is called on a
	// goroutine of its own, and sees to it that ended is called when the session is over.
	serve func(context.Context, *front.Conn) (session func(ended func()))
	// busy is what a client hears in clear that there is no place for.
	busy string
}

// listen opens the address. Serving begins with run.
func listen(c config.Listener, tlsConfig *tls.Config, server server, admission *admission, log *slog.Logger, now func() time.Time) (*listener, error) {
	settings := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveProbes}}
	l, err := settings.Listen(context.Background(), "tcp", c.Address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, config: c, tls: tlsConfig, server: server, admission: admission, log: log, now: now,
		conns: make(map[net.Conn]*place)}, nil
}

// run accepts until the listener is closed. Connections are served until ctx tells them to stop.
func (l *listener) run(ctx context.Context) {
	const least, most = 5 * time.Millisecond, time.Second
	pause := least
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say: it passes, and asking at once again does not help
			l.log.Error("cannot accept connections", "address", l.config.Address, "error", err)
			time.Sleep(pause)
			pause = min(2*pause, most)
			continue
		}
		pause = least
		l.take(ctx, conn)
	}
}

// take has a connection served in a goroutine of its own, if there is a place for it.
func (l *listener) take(ctx context.Context, accepted net.Conn) {
	conn := relay.Wrap(accepted)
	place, err := l.admission.enter(remote(conn), func() { _ = conn.Close() })
	if err != nil {
		l.turnAway(conn)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = place
	l.wait.Go(func() { l.handle(ctx, conn, place) })
}

// remote gives the address that a connection comes from.
func remote(conn net.Conn) netip.Addr {
	address, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return address.Addr()
}

// turnAway closes a connection, with a word where it can be said without TLS. A line fits into the socket's buffer, so
// that nobody waits for it.
func (l *listener) turnAway(conn net.Conn) {
	if l.config.TLS != config.Implicit {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
		_, _ = io.WriteString(conn, l.server.busy)
	}
	_ = conn.Close()
}

func (l *listener) forget(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn].leave()
	delete(l.conns, conn)
}

// handle serves one connection to the end of its dialogue, and has a session that follows from it go on.
func (l *listener) handle(ctx context.Context, raw net.Conn, place *place) {
	conn := front.New(raw, newSessionID(), l.now())
	conn.OnSignIn = place.signedIn
	var session func(ended func())
	l.contain(conn, func() { session = l.hold(ctx, conn) })
	if session == nil {
		l.forget(raw)
		return
	}
	l.wait.Add(1)
	ended := sync.OnceFunc(func() {
		l.forget(raw)
		l.wait.Done()
	})
	go l.begin(conn, session, ended)
}

// begin has a session begin. One that fails in that is over.
func (l *listener) begin(conn *front.Conn, session func(ended func()), ended func()) {
	begun := false
	l.contain(conn, func() {
		session(ended)
		begun = true
	})
	if !begun {
		ended()
	}
}

// contain has a panic end one session only (threat model I-32).
func (l *listener) contain(conn *front.Conn, do func()) {
	defer func() {
		if failure := recover(); failure != nil {
			l.log.Error("session ended by a fault of the gateway's own; please report it", "session", conn.Session,
				"remote", conn.Remote.String(), "panic", failure, "stack", string(debug.Stack()))
		}
	}()
	do()
}

// hold secures the connection as the listener's configuration says, and holds the dialogue.
func (l *listener) hold(ctx context.Context, conn *front.Conn) (session func(ended func())) {
	log := l.log.With("session", conn.Session, "remote", conn.Remote.String())
	if !l.admits(conn.Remote.Addr()) {
		log.Info("connection from outside the listener's networks", "listener", l.config.Address)
		return nil
	}
	switch l.config.TLS {
	case config.Implicit:
		if err := conn.Handshake(ctx, l.tls); err != nil {
			log.Info("no connection", "error", err)
			return nil
		}
	case config.NoTLS:
		conn.ClearAllowed = true
	case config.Optional:
		conn.ClearAllowed = true
		fallthrough
	default:
		conn.StartTLS = l.tls
	}
	return l.server.serve(ctx, conn)
}

// admits reports whether the listener serves an address.
func (l *listener) admits(remote netip.Addr) bool {
	return len(l.config.Networks) == 0 ||
		slices.ContainsFunc(l.config.Networks, func(n netip.Prefix) bool { return n.Contains(remote) })
}

// closeConns closes the sockets of all connections that are left, and gives their number.
func (l *listener) closeConns() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
	return len(l.conns)
}

// newSessionID gives the id of a connection: 64 random bits.
func newSessionID() string {
	var id [8]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
