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
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/config"
	"postern/internal/front"
	"postern/internal/handover"
	"postern/internal/relay"
	"postern/internal/session"
)

const (
	// keepAlive finds peers that are gone without a word: the idle time before the first probe, and the probes after it.
	keepAliveIdle     = 2 * time.Minute
	keepAliveInterval = 30 * time.Second
	keepAliveProbes   = 4
	// turnTime is how often an accept loop shows that it runs.
	turnTime = 5 * time.Second
)

// listener accepts the connections of one address and has them served.
type listener struct {
	*handover.Listener
	address   string                  // as the configuration has it
	service   atomic.Pointer[service] // a reload may change it; a connection keeps the one with which it began
	admission *admission
	log       *slog.Logger
	now       func() time.Time
	retire    func()                    // tells the dialogues of this listener to come to an end; set before run
	turned    atomic.Pointer[time.Time] // when run last showed that it runs; nil before it does

	mu    sync.Mutex
	conns map[net.Conn]*taken // sockets → what there is of each connection
	wait  sync.WaitGroup
}

// service is how a listener serves its clients.
type service struct {
	config config.Listener
	tls    *tls.Config
	server server
}

// taken is a connection that has a place.
type taken struct {
	*place
	session string         // its id
	client  netip.AddrPort // where it comes from
}

// server is a protocol's.
type server struct {
	// serve holds the dialogue with a client. What it gives, unless that is nil, begins the client's session, is called on a
	// goroutine of its own, and sees to it that ended is called when the session is over.
	serve func(context.Context, *front.Conn) (session func(ended func()))
	// busy is what a client hears in clear that there is no place for.
	busy string
}

// listen opens the address, or takes the socket for it that is among those given. Serving begins with run.
func listen(sockets *handover.Sockets, address string, s *service, admission *admission, log *slog.Logger, now func() time.Time) (*listener, error) {
	settings := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveProbes}}
	l, err := sockets.Listen(settings, s.config.Name, address)
	if err != nil {
		return nil, err
	}
	opened := &listener{Listener: l, address: address, admission: admission, log: log.With("protocol", s.config.Protocol), now: now,
		conns: make(map[net.Conn]*taken)}
	opened.service.Store(s)
	return opened, nil
}

// run accepts until the listener is closed. Connections are served until ctx tells them to stop.
func (l *listener) run(ctx context.Context) {
	const least, most = 5 * time.Millisecond, time.Second
	pause := least
	l.turn()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.turn()
			continue
		}
		if err != nil { // out of file descriptors, say: it passes, and asking at once again does not help
			l.log.Error("cannot accept connections", "address", l.address, "error", err)
			time.Sleep(pause)
			pause = min(2*pause, most)
			continue
		}
		pause = least
		l.take(ctx, conn)
	}
}

// turn shows that run runs, and sees to it that it does so again, even if nobody comes.
func (l *listener) turn() {
	now := time.Now()
	l.turned.Store(&now)
	_ = l.SetDeadline(now.Add(turnTime)) // an error means that the listener is closed: Accept says so
}

// take has a connection served in a goroutine of its own, if there is a place for it.
func (l *listener) take(ctx context.Context, accepted net.Conn) {
	conn := relay.Wrap(accepted)
	service := l.service.Load()
	if len(service.config.ProxyProtocol) == 0 {
		l.admit(ctx, service, conn, remote(conn))
		return
	}
	if !contains(service.config.ProxyProtocol, remote(conn).Addr()) {
		l.log.Info("connection from none of the load balancers in proxy_protocol", "listener", l.address, "remote", remote(conn).String())
		_ = conn.Close()
		return
	}
	l.wait.Go(func() { l.introduce(ctx, service, conn) })
}

// introduce has a load balancer say who its client is, and takes the client in.
func (l *listener) introduce(ctx context.Context, service *service, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	client, err := front.ReadProxyHeader(conn)
	if !stop() || err != nil {
		l.log.Info("no connection", "listener", l.address, "remote", remote(conn).String(), "error", err)
		_ = conn.Close()
		return
	}
	l.admit(ctx, service, conn, client)
}

// admit has a client served, if there is a place for it.
func (l *listener) admit(ctx context.Context, service *service, conn net.Conn, client netip.AddrPort) {
	place, err := l.admission.enter(client.Addr(), func() { _ = conn.Close() })
	if err != nil {
		service.turnAway(conn)
		return
	}
	t := &taken{place, newSessionID(), client}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = t
	l.wait.Go(func() { l.handle(ctx, service, conn, t) })
}

// remote gives the address at the other end of a connection.
func remote(conn net.Conn) netip.AddrPort {
	address, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}

// turnAway closes a connection, with a word where it can be said without TLS. A line fits into the socket's buffer, so
// that nobody waits for it.
func (s *service) turnAway(conn net.Conn) {
	if s.config.TLS != config.Implicit {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
		_, _ = io.WriteString(conn, s.server.busy)
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
func (l *listener) handle(ctx context.Context, service *service, raw net.Conn, t *taken) {
	conn := front.New(raw, t.session, l.now())
	conn.Remote = t.client
	conn.OnSignIn = t.signedIn
	var session func(ended func())
	l.contain(conn, func() { session = l.hold(ctx, service, conn) })
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
func (l *listener) hold(ctx context.Context, service *service, conn *front.Conn) (session func(ended func())) {
	log := l.log.With("session", conn.Session, "remote", conn.Remote.String())
	if !service.admits(conn.Remote.Addr()) {
		log.Info("connection from outside the listener's networks", "listener", l.address)
		return nil
	}
	switch service.config.TLS {
	case config.Implicit:
		if err := conn.Handshake(ctx, service.tls); err != nil {
			log.Log(ctx, service.failureLevel(conn), "no connection", "error", err)
			return nil
		}
	case config.NoTLS:
		conn.ClearAllowed = true
	case config.Optional:
		conn.ClearAllowed = true
		fallthrough
	default:
		conn.StartTLS = service.tls
	}
	return service.server.serve(ctx, conn)
}

// failureLevel is how loud a connection without a TLS handshake is. A load balancer that speaks for itself looks whether somebody
// is there, every second or two, for ever.
func (s *service) failureLevel(conn *front.Conn) slog.Level {
	if contains(s.config.ProxyProtocol, conn.Remote.Addr()) {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// admits reports whether the listener serves an address.
func (s *service) admits(remote netip.Addr) bool {
	return len(s.config.Networks) == 0 || contains(s.config.Networks, remote)
}

// contains reports whether an address is in one of some networks.
func contains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// connections gives their number.
func (l *listener) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// serveAs has the listener serve in another way from now on, and ends the connections that this leaves nothing to stand on.
func (l *listener) serveAs(next *service, sessions *session.Register) {
	before := l.service.Swap(next)
	l.cutForbidden(sessions)
	if before.config.WithoutAuth && !next.config.WithoutAuth {
		l.cutByAddress(sessions)
	}
}

// cutForbidden ends the connections from outside the listener's networks: a reload may have narrowed them.
func (l *listener) cutForbidden(sessions *session.Register) {
	s := l.service.Load()
	forbidden := make(map[string]bool) // ids of sessions
	var sockets []net.Conn
	l.mu.Lock()
	for socket, t := range l.conns {
		if !s.admits(t.client.Addr()) {
			forbidden[t.session] = true
			sockets = append(sockets, socket)
		}
	}
	l.mu.Unlock()
	if len(sockets) == 0 {
		return
	}
	sessions.Cut(causeReconfigured, func(i session.Info) bool { return forbidden[i.ID] })
	for _, socket := range sockets { // of those that have not signed in, too
		_ = socket.Close()
	}
}

// cutByAddress ends the connections of those who have not signed in with a password, where the listener does not take an address for
// an identity any more: their sessions stood on that, or would soon.
func (l *listener) cutByAddress(sessions *session.Register) {
	bySecret := make(map[string]bool) // ids of sessions
	for _, i := range sessions.List() {
		bySecret[i.ID] = i.Password != ""
	}
	gone := make(map[string]bool)
	var sockets []net.Conn
	l.mu.Lock()
	for socket, t := range l.conns {
		if !bySecret[t.session] {
			gone[t.session] = true
			sockets = append(sockets, socket)
		}
	}
	l.mu.Unlock()
	sessions.Cut(causeReconfigured, func(i session.Info) bool { return gone[i.ID] })
	for _, socket := range sockets {
		_ = socket.Close()
	}
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
