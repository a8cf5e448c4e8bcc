// Package gateway builds a running gateway from a configuration: it opens the state, makes the parts, joins them, listens,
// and takes them down again in order. It knows what there is and in which order it starts and stops, and nothing of how
// any part works.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
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
	"postern/internal/metrics"
	"postern/internal/queue"
	"postern/internal/session"
	"postern/internal/throttle"
	"postern/smtpproxy"
)

// Options are what a gateway is started with besides its configuration.
type Options struct {
	Log     *slog.Logger
	Version string // for the audit log
}

// Gateway is a running gateway.
type Gateway struct {
	config    *config.Config
	log       *slog.Logger
	state     *State
	tokens    *token.Source
	stamper   *apppassword.Stamper
	guesses   *throttle.Guesses
	directory *auth.Directory
	gate      *auth.Gate
	queue     *queue.Queue
	smtp      *smtpproxy.Proxy
	sessions  session.Register
	listeners []*listener
	portal    *portal      // nil where there is none
	admin     *adminSocket // nil where there is none

	metrics    *metrics.Metrics // nil where the configuration has none
	monitoring *monitoring      // likewise
	stopping   atomic.Bool      // nobody new is served any more

	stop      func() // tells every dialogue to come to an end
	stopWatch func() // tells what watches over the sessions to come to an end
	wait      sync.WaitGroup
}

// Start builds a gateway and begins to serve. When it returns without an error, every address of the configuration
// accepts connections. Stop ends it.
func Start(ctx context.Context, c *config.Config, o Options) (*Gateway, error) {
	state, err := OpenState(ctx, c)
	if err != nil {
		return nil, err
	}
	g := &Gateway{config: c, log: o.Log, state: state}
	if err := g.build(ctx, o); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// build makes the parts from the bottom up and opens the listeners last.
func (g *Gateway) build(ctx context.Context, o Options) error {
	g.watchEvents(o.Version)
	up, err := newUpstreams(g.config.Providers)
	if err != nil {
		return err
	}
	certificates, err := loadCertificates(g.config)
	if err != nil {
		return err
	}
	g.directory = auth.NewDirectory(g.config)
	g.tokens = token.NewSource(token.Config{
		Providers: up.tokens, Store: tokenStore{g.state.Store}, Audit: g.state.Audit, Log: g.log,
		Wanted: func(account token.Account) bool { return g.directory.HasAccount(account) },
	})
	g.stamper = apppassword.NewStamper(passwordStore{g.state.Store}, g.log)
	g.guesses, err = throttle.Open(ctx, throttle.Config{Store: guessStore{g.state.Store}, Hash: g.state.Keys.Hash, Log: g.log})
	if err != nil {
		return err
	}
	g.gate = auth.NewGate(auth.GateConfig{
		Directory: g.directory,
		Passwords: apppassword.NewVerifier(passwordStore{g.state.Store}, g.state.Keys, nil),
		Guesses:   g.guesses,
		Locks:     g.state.Store,
		Stamp:     g.stamper.Stamp,
		Audit:     g.state.Audit,
	})
	if g.queue, err = g.openQueue(ctx, g.directory); err != nil {
		return err
	}
	g.smtp = smtpproxy.New(smtpproxy.Config{
		Domain: g.config.Domain, Gate: g.gate, Tokens: g.tokens, Audit: g.state.Audit, Queue: g.queue, Sessions: &g.sessions,
		Upstreams: up.smtp, Log: g.log,
	})
	imap := server{busy: imapproxy.Busy, serve: imapproxy.New(imapproxy.Config{
		Gate: g.gate, Tokens: g.tokens, Audit: g.state.Audit, Sessions: &g.sessions, Upstreams: up.imap, Log: g.log,
	}).Serve}
	serve := func(l config.Listener) server {
		if l.Protocol == "imap" {
			return imap
		}
		door := smtpproxy.Door{Profile: smtpproxy.Profiles[l.Profile], WithoutAuth: l.WithoutAuth}
		return server{busy: smtpproxy.Busy, serve: func(ctx context.Context, conn *front.Conn) func(func()) {
			g.smtp.Serve(ctx, conn, door)
			return nil
		}}
	}
	return g.listen(certificates, serve, o.Version)
}

// listen opens every address, so that one that is taken is an error of the start, and then serves them all.
func (g *Gateway) listen(certificates certificates, serve func(config.Listener) server, version string) error {
	ordinary, legacy := certificates.profiles()
	admission := newAdmission(affordable(g.config.Limits, g.log), g.log, time.Now)
	var addresses []string
	for _, c := range g.config.Listeners {
		profile := ordinary
		if c.LegacyTLS {
			profile = legacy
		}
		l, err := listen(c, serverTLS(profile, c.Protocol), serve(c), admission, g.log.With("protocol", c.Protocol), time.Now)
		if err != nil {
			return fmt.Errorf("listener %s: %w", c.Address, err)
		}
		g.listeners = append(g.listeners, l)
		addresses = append(addresses, fmt.Sprintf("%s %s %s", c.Protocol, c.TLS, l.Addr()))
	}
	if g.config.Portal != nil {
		var err error
		if g.portal, err = g.openPortal(certificates.ordinary, admission); err != nil {
			return fmt.Errorf("portal %s: %w", g.config.Portal.Address, err)
		}
		addresses = append(addresses, "https implicit "+g.portal.listener.Addr().String())
	}
	if err := g.openMonitoring(); err != nil {
		return err
	}
	withdrawn, err := watchWithdrawals(context.Background(), withdrawalsConfig{
		store: g.state.Store, sessions: &g.sessions, policy: g.policyOf, forget: g.forgetTokens, log: g.log,
	})
	if err != nil {
		return err
	}
	serveAdmin, err := g.openAdmin()
	if err != nil {
		return err
	}
	err = g.state.Audit.Record(audit.GatewayStarted{
		Version: version, Config: g.config.Digest, Listeners: addresses, Asserted: g.config.AssertedContexts(),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	for _, l := range g.listeners {
		g.wait.Go(func() { l.run(ctx) })
	}
	if g.portal != nil {
		g.wait.Go(func() { g.portal.run(g.log) })
	}
	if g.monitoring != nil {
		g.wait.Go(func() { g.monitoring.run(g.log) })
	}
	g.queue.Start(g.smtp)
	certificates.watch(ctx, &g.wait, g.log)
	g.wait.Go(func() { returnMemory(ctx) })
	watch, cancel := context.WithCancel(context.Background())
	g.stopWatch = cancel
	g.wait.Go(func() { withdrawn.run(watch) })
	g.wait.Go(serveAdmin)
	return nil
}

// openAdmin opens the admin socket, and gives the function that serves it. Where another gateway has it, which must be one
// that shares the store, this one does without: what matters, locks and revocations, reaches it through the store.
func (g *Gateway) openAdmin() (serve func(), err error) {
	g.admin, serve, err = startAdmin(g.config.AdminSocket, &g.sessions, g.state.Audit, g.log)
	if errors.Is(err, errSocketTaken) {
		g.log.Warn("this gateway cannot be reached by postern session", "socket", g.config.AdminSocket, "error", err)
		return func() {}, nil
	}
	return serve, err
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
	for _, l := range g.listeners {
		all = append(all, Address{l.config.Protocol, l.config.TLS, l.Addr().String()})
	}
	return all
}

// Portal gives the URL of the portal, empty where there is none.
func (g *Gateway) Portal() string {
	if g.portal == nil {
		return ""
	}
	return g.portal.url
}

// Stop takes the gateway down: no new connections; those who have not signed in, and SMTP clients between two messages,
// are told; a message on its way is finished; IMAP sessions, and deliveries from the queue, go on until ctx ends, and are
// cut off then.
func (g *Gateway) Stop(ctx context.Context) error {
	g.stopAccepting()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for _, l := range g.listeners {
			l.wait.Wait()
		}
	}()
	cut := 0
	select {
	case <-drained:
	case <-ctx.Done():
		cut = g.sessions.Cut("stopped", func(session.Info) bool { return true })
		for _, l := range g.listeners {
			l.closeConns()
		}
		<-drained
	}
	g.stopWatch()
	err := errors.Join(g.closePortal(ctx), g.closeMonitoring())
	g.wait.Wait()
	g.queue.Close(ctx)
	return errors.Join(err, g.gate.Close(), g.state.Audit.Record(audit.GatewayStopped{Sessions: cut}), g.close())
}

// stopAccepting closes the listeners and tells every dialogue to come to an end.
func (g *Gateway) stopAccepting() {
	g.stopping.Store(true)
	for _, l := range g.listeners {
		_ = l.Close()
	}
	if g.stop != nil {
		g.stop()
	}
	if g.admin != nil {
		g.admin.close()
	}
}

// closePortal ends the portal, if there is one.
func (g *Gateway) closePortal(ctx context.Context) error {
	if g.portal == nil {
		return nil
	}
	return g.portal.close(ctx)
}

// close closes what build has made, in the opposite order.
func (g *Gateway) close() error {
	g.stopAccepting()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // nobody is to be waited for any more
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
	return errors.Join(err, g.state.Close())
}
