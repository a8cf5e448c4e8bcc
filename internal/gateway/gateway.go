// Package gateway builds a running gateway from a configuration: it opens the state, makes the parts, joins them, listens,
// and takes them down again in order. It knows what there is and in which order it starts and stops, and nothing of how
// any part works.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/imapproxy"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/front"
	"postern/internal/handover"
	"postern/internal/metrics"
	"postern/internal/queue"
	"postern/internal/session"
	"postern/internal/throttle"
	"postern/smtpproxy"
)

// Options are what a gateway is started with besides its configuration.
type Options struct {
	Log     *slog.Logger
	Level   *slog.LevelVar // of Log, for postern log level; nil where it cannot be changed
	Version string         // for the audit log
	// File is the configuration file, which is followed; empty for a gateway whose configuration stays as it is.
	File string
	// Sockets are those that the process was started with, to be served in the place of new ones; nil for none.
	Sockets *handover.Sockets
	// Predecessor is the process in whose place the gateway serves; nil for none.
	Predecessor *handover.Predecessor
	// Program is what Upgrade starts, with its arguments; nil for a gateway that cannot be upgraded.
	Program []string
}

// Gateway is a running gateway.
type Gateway struct {
	log          *slog.Logger
	level        *logLevel
	sockets      *handover.Sockets
	state        *State
	current      atomic.Pointer[generation]
	tokens       *token.Source
	stamper      *apppassword.Stamper
	guesses      *throttle.Guesses
	gate         *auth.Gate
	queue        *queue.Queue
	smtp         *smtpproxy.Proxy
	imap         *imapproxy.Proxy
	sessions     session.Register
	admission    *admission
	certificates certificates
	listeners    listeners
	withdrawals  *withdrawals
	portal       atomic.Pointer[portal]     // nil where there is none
	metrics      *metrics.Metrics           // counts also where nobody looks
	monitoring   atomic.Pointer[monitoring] // nil where the configuration has none
	admin        *adminSocket               // nil where there is none

	trail     trail
	upgrade   *upgrade
	pid       int
	file      string       // see Options
	refused   atomic.Value // string: why the file that is there now is not in force; empty where it is
	reloading sync.Mutex
	stopping  atomic.Bool // nobody new is served any more
	asking    atomic.Bool // see Alive

	stop      context.CancelFunc // tells every dialogue to come to an end
	stopWatch context.CancelFunc // tells what watches over the sessions to come to an end
	wait      sync.WaitGroup
}

// Start builds a gateway and begins to serve. When it returns without an error, every address of the configuration
// accepts connections. Stop ends it.
func Start(ctx context.Context, c *config.Config, o Options) (*Gateway, error) {
	state, err := OpenState(ctx, c)
	if err != nil {
		return nil, err
	}
	g := &Gateway{log: o.Log, level: &logLevel{level: o.Level, audit: state.Audit, log: o.Log}, state: state, trail: trail{state: state, log: o.Log}, file: o.File,
		sockets: cmp.Or(o.Sockets, new(handover.Sockets)), upgrade: newUpgrade(o.Program), pid: os.Getpid()}
	if err := g.start(ctx, c, o); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// start makes the parts from the bottom up, and has the first generation come into force as a reload has the others.
func (g *Gateway) start(ctx context.Context, c *config.Config, o Options) error {
	g.watchEvents(o.Version)
	g.reloading.Lock() // the first generation comes into force whole before the next one does
	defer g.reloading.Unlock()
	first, err := newGeneration(c, nil)
	if err != nil {
		return err
	}
	g.current.Store(first)
	if err := g.build(ctx, first); err != nil {
		return err
	}
	changes, err := g.prepare(&generation{config: &config.Config{}}, first)
	if err != nil {
		return err
	}
	serveAdmin, err := g.open(o, first, changes)
	if err != nil {
		discard(changes)
		return err
	}
	commit(changes)
	for _, unused := range g.sockets.Unused() {
		g.log.Warn("a socket that came with the start of the process is not served", "socket", unused)
	}
	g.queue.Start(g.smtp)
	watch, stopWatch := context.WithCancel(context.Background())
	g.stopWatch = stopWatch
	g.wait.Go(func() { returnMemory(g.listeners.ctx) })
	g.wait.Go(func() { g.withdrawals.run(watch) })
	if g.file != "" {
		seen := identifyRead(g.file, c)
		g.wait.Go(func() { g.follow(watch, seen) })
	}
	g.wait.Go(func() { followKeys(watch, g.state.Keys, g.log) })
	g.wait.Go(serveAdmin)
	if err := o.Predecessor.Serve(); err != nil {
		g.log.Warn("the process that this one succeeds did not hand over in order", "error", err)
	}
	g.trail.begin(c)
	return nil
}

// build makes what stays for as long as the gateway runs.
func (g *Gateway) build(ctx context.Context, first *generation) (err error) {
	dialogues, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.tokens = token.NewSource(token.Config{
		Providers: first.upstreams.tokens(), Store: tokenStore{g.state.Store}, Audit: g.state.Audit, Log: g.log,
		Wanted: func(account token.Account) bool { return g.generation().directory.HasAccount(account) },
	})
	g.stamper = apppassword.NewStamper(passwordStore{g.state.Store}, g.log)
	if g.guesses, err = g.openGuesses(ctx); err != nil {
		return err
	}
	g.gate = auth.NewGate(auth.GateConfig{
		Directory: first.directory,
		Passwords: apppassword.NewVerifier(passwordStore{g.state.Store}, g.state.Keys, nil),
		Guesses:   g.guesses,
		Locks:     g.state.Store,
		Stamp:     g.stamper.Stamp,
		Audit:     g.state.Audit,
	})
	if g.queue, err = g.openQueue(ctx); err != nil {
		return err
	}
	g.buildProxies(first.config.Domain)
	g.withdrawals, err = watchWithdrawals(ctx, withdrawalsConfig{
		store: g.state.Store, sessions: &g.sessions, policy: g.policyOf, forget: g.forgetTokens, log: g.log,
	})
	if err != nil {
		return err
	}
	g.admission = newAdmission(affordable(first.config.Limits, g.log), g.log, time.Now)
	g.certificates.ctx, g.certificates.log, g.certificates.record = dialogues, g.log, g.state.Audit.Record
	g.certificates.vault = certificateVault{g.state.Store, g.log}
	g.listeners.ctx, g.listeners.log, g.listeners.sockets = dialogues, g.log, g.sockets
	g.listeners.service, g.listeners.admission, g.listeners.sessions = g.services(), g.admission, &g.sessions
	return nil
}

// buildProxies makes the proxies. Where mail goes they ask anew for each session.
func (g *Gateway) buildProxies(domain string) {
	g.smtp = smtpproxy.New(smtpproxy.Config{
		Domain: domain, Gate: g.gate, Tokens: g.tokens, Audit: g.state.Audit, Queue: g.queue, Sessions: &g.sessions, Log: g.log,
		Upstream: func(provider string) (smtpproxy.Upstream, bool) {
			u := g.generation().upstreams[provider]
			if u == nil {
				return smtpproxy.Upstream{}, false
			}
			return u.smtp, true
		},
	})
	g.imap = imapproxy.New(imapproxy.Config{
		Gate: g.gate, Tokens: g.tokens, Audit: g.state.Audit, Sessions: &g.sessions, Log: g.log,
		Upstream: func(provider string) (imapproxy.Upstream, bool) {
			u := g.generation().upstreams[provider]
			if u == nil {
				return imapproxy.Upstream{}, false
			}
			return u.imap, true
		},
	})
}

// services gives the function that says how a listener serves its clients.
func (g *Gateway) services() func(config.Listener) *service {
	ordinary, legacy := g.certificates.profiles()
	profiles := make(map[bool]map[string]*tls.Config) // legacy_tls → protocol → profile
	for _, protocol := range []string{"imap", "smtp"} {
		for isLegacy, base := range map[bool]*tls.Config{false: ordinary, true: legacy} {
			if profiles[isLegacy] == nil {
				profiles[isLegacy] = make(map[string]*tls.Config)
			}
			profiles[isLegacy][protocol] = serverTLS(base, protocol)
		}
	}
	return func(l config.Listener) *service {
		s := &service{config: l, tls: profiles[l.LegacyTLS][l.Protocol]}
		if l.Protocol == "imap" {
			s.server = server{busy: imapproxy.Busy, serve: g.imap.Serve}
			return s
		}
		door := smtpproxy.Door{Profile: smtpproxy.Profiles[l.Profile], WithoutAuth: l.WithoutAuth}
		s.server = server{busy: smtpproxy.Busy, serve: func(ctx context.Context, conn *front.Conn) func(func()) {
			g.smtp.Serve(ctx, conn, door)
			return nil
		}}
		return s
	}
}

// open does what comes last before anybody is served: the admin socket, and the line in the audit log.
func (g *Gateway) open(o Options, first *generation, changes []change) (serveAdmin func(), err error) {
	if serveAdmin, err = g.openAdmin(); err != nil {
		return nil, err
	}
	started := audit.GatewayStarted{Version: o.Version, Config: first.config.Digest, Asserted: first.config.AssertedContexts()}
	if o.Predecessor != nil {
		started.Predecessor = o.Predecessor.PID
	}
	for _, c := range changes {
		started.Listeners = append(started.Listeners, c.serves...)
	}
	return serveAdmin, g.state.Audit.Record(started)
}

// openAdmin opens the admin socket, and gives the function that serves it. Where another gateway has it, which must be one
// that shares the store, this one does without: what matters, locks and revocations, reaches it through the store.
func (g *Gateway) openAdmin() (serve func(), err error) {
	socket := g.generation().config.AdminSocket
	removeDeadSockets(socket)
	g.admin, serve, err = startAdmin(g.sockets, socket, &g.sessions, g.state.Audit, g.state.Keys, g.log, g.orders()...)
	if errors.Is(err, errSocketTaken) {
		g.log.Warn("this gateway cannot be reached by postern session", "socket", socket, "error", err)
		return func() {}, nil
	}
	return serve, err
}

// orders are what the administrator's commands can have the running gateway do.
func (g *Gateway) orders() []adminOrder {
	return []adminOrder{
		{pattern: "POST /reload", do: func(_ context.Context, by string, _ io.Reader) (any, error) { return g.ReloadFile(by) }},
		{pattern: "GET /reload", do: func(ctx context.Context, _ string, _ io.Reader) (any, error) { return g.CompareFile(ctx) }},
		{pattern: "POST /log/level", do: func(_ context.Context, by string, order io.Reader) (any, error) { return g.level.change(by, order) }},
		{pattern: "GET /log/level", do: func(context.Context, string, io.Reader) (any, error) { return g.level.show() }},
		{pattern: "POST /upgrade", do: g.orderUpgrade, limit: upgradeTime},
	}
}

// serverTLS gives a protocol's TLS configuration: it answers ALPN by that protocol's name only, so that a connection
// meant for another cannot be led here (RFC 7301; alpaca-attack.com).
func serverTLS(base *tls.Config, protocol string) *tls.Config {
	c := base.Clone()
	c.NextProtos = map[string][]string{"imap": {"imap"}, "smtp": {"smtp"}}[protocol]
	return c
}

// Address is an address that a gateway serves.
type Address struct {
	Protocol string // imap or smtp
	TLS      config.TLSMode
	Address  string // host:port, with the port that was taken
}

// Addresses gives the addresses in the order of the configuration.
func (g *Gateway) Addresses() []Address {
	var all []Address
	for _, l := range g.listeners.current() {
		c := l.service.Load().config
		all = append(all, Address{c.Protocol, c.TLS, l.Addr().String()})
	}
	return all
}

// Portal gives the URL of the portal, empty where there is none.
func (g *Gateway) Portal() string {
	if p := g.portal.Load(); p != nil {
		return p.shown.Load().url
	}
	return ""
}

// Stop takes the gateway down: no new connections; those who have not signed in, and SMTP clients between two messages,
// are told; a message on its way is finished; IMAP sessions, and deliveries from the queue, go on until ctx ends, and are
// cut off then.
func (g *Gateway) Stop(ctx context.Context) error {
	g.upgrade.end()
	g.reloading.Lock() // a reload that is under way comes to its end first, and there is none afterwards
	g.stopping.Store(true)
	g.reloading.Unlock()
	g.stopAccepting()
	return g.finish(ctx)
}

// finish waits until nobody is served any more, cuts off what is left when ctx ends, and closes everything.
func (g *Gateway) finish(ctx context.Context) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		g.listeners.drained()
	}()
	cut := 0
	select {
	case <-drained:
	case <-ctx.Done():
		cut = g.sessions.Cut("stopped", func(session.Info) bool { return true })
		for _, l := range g.listeners.all() {
			l.closeConns()
		}
		<-drained
	}
	g.stop()
	g.stopWatch()
	if g.admin != nil {
		g.admin.close()
	}
	err := errors.Join(g.closePortal(ctx), g.closeMonitoring())
	g.wait.Wait()
	g.queue.Close(ctx)
	return errors.Join(err, g.gate.Close(), g.state.Audit.Record(audit.GatewayStopped{Sessions: cut, Successor: g.Successor()}), g.trail.close(), g.close())
}

// stopAccepting closes the listeners and tells every dialogue to come to an end.
func (g *Gateway) stopAccepting() {
	g.stopping.Store(true)
	g.upgrade.end()
	g.listeners.close()
	g.sockets.Close()
	if g.stop != nil {
		g.stop()
	}
	if g.admin != nil {
		g.admin.close()
	}
}

// closePortal ends the portal, if there is one.
func (g *Gateway) closePortal(ctx context.Context) error {
	if p := g.portal.Load(); p != nil {
		return p.close(ctx)
	}
	return nil
}

// close closes what build has made, in the opposite order.
func (g *Gateway) close() error {
	g.stopAccepting()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // nobody is to be waited for any more
	g.certificates.watching.Wait()
	err := errors.Join(g.closePortal(ended), g.closeMonitoring())
	if g.queue != nil {
		g.queue.Close(ended)
	}
	if g.smtp != nil {
		g.smtp.Close()
	}
	if g.gate != nil {
		err = errors.Join(err, g.gate.Close())
	}
	if g.guesses != nil {
		g.guesses.Close()
	}
	if g.stamper != nil {
		g.stamper.Close()
	}
	if g.tokens != nil {
		g.tokens.Close()
	}
	return errors.Join(err, g.trail.close(), g.state.Close())
}
