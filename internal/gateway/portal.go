package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/auth/factor"
	"postern/certs"
	"postern/internal/config"
	"postern/internal/store"
	"postern/internal/web"
)

// portal is the portal's listener with its server.
type portal struct {
	address  string // as the configuration has it
	raw      net.Listener
	listener net.Listener // raw with the limits on connections and TLS
	server   *http.Server
	shown    atomic.Pointer[pages] // a reload may change them; a request keeps those with which it began
}

// pages are the portal as one generation has it.
type pages struct {
	*web.Portal
	url      string
	networks []netip.Prefix
}

// portalPart opens the portal's address where it is new, so that one that is taken is an error, and makes the next
// generation's pages.
func (g *Gateway) portalPart(before, next *generation) (change, error) {
	c, p := next.config.Portal, g.portal.Load()
	if c == nil {
		return change{commit: func() { g.replacePortal(nil) }}, nil
	}
	var ch change
	if p == nil || p.address != c.Address {
		var err error
		if p, err = g.openPortal(c.Address); err != nil {
			return change{}, fmt.Errorf("portal %s: %w", c.Address, err)
		}
		ch.discard = func() { _ = p.raw.Close() }
	}
	made, err := g.portalPages(next, p)
	if err != nil {
		if ch.discard != nil {
			ch.discard()
		}
		return change{}, fmt.Errorf("portal %s: %w", c.Address, err)
	}
	ch.serves = []string{"https implicit " + p.raw.Addr().String()}
	ch.commit = func() {
		p.shown.Store(made)
		g.replacePortal(p)
	}
	return ch, nil
}

// openPortal opens the portal's address. Serving begins with replacePortal.
func (g *Gateway) openPortal(address string) (*portal, error) {
	raw, err := g.sockets.Listen(net.ListenConfig{}, "portal", address)
	if err != nil {
		return nil, err
	}
	p := &portal{address: address, raw: raw}
	settings := certs.ServerTLS(g.certificates.ordinary.certificate)
	// An authority may prove the name here (RFC 8737): it gets a certificate that says so, and not one request answered.
	settings.NextProtos = []string{"http/1.1", certs.ChallengeProtocol}
	p.listener = tls.NewListener(&admitted{raw, g.admission, func() []netip.Prefix { return p.shown.Load().networks }}, settings)
	p.server = newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.shown.Load().ServeHTTP(w, r)
	}), g.log)
	return p, nil
}

// portalPages makes the pages of a generation.
func (g *Gateway) portalPages(of *generation, p *portal) (*pages, error) {
	c := of.config.Portal
	made := &pages{url: c.Origin(of.config.Domain, p.raw.Addr()), networks: c.Networks}
	factors, err := g.factors(made.url)
	if err != nil {
		return nil, err
	}
	var predecessor *web.Portal
	if was := g.portal.Load(); was != nil {
		predecessor = was.shown.Load().Portal
	}
	made.Portal, err = web.New(web.Config{
		URL: made.url, Administration: c.Administration, Providers: portalProviders(of.config), Factors: factors,
		Authority: g.tokens, Enroller: portalAccounts{of.directory, g.state.Store, g.tokens},
		Sessions: portalSessions{g.state.Store}, Keys: g.state.Keys, Audit: g.state.Audit, Log: g.log.With("protocol", "https"),
		Desk: &portalDesk{of.directory, g.state, &g.sessions, of.config.AuditFile,
			func() []web.Door { return doors(of.config, g.listeners.current()) }, time.Now},
		Office:      &portalOffice{of.config, of.directory, g.state, &g.sessions, time.Now},
		Predecessor: predecessor,
	})
	return made, err
}

// replacePortal has a portal be served in the place of the one that there was; nil for none. What is under way on another
// address may end.
func (g *Gateway) replacePortal(p *portal) {
	was := g.portal.Swap(p)
	if was == p {
		return
	}
	if p != nil {
		g.wait.Go(func() { p.run(g.log) })
	}
	if was != nil {
		g.wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
			defer cancel()
			if err := was.close(ctx); err != nil {
				g.log.Error("the portal's old address is not closed in order", "address", was.address, "error", err)
			}
		})
	}
}

// factors makes the keeper of people's second factors, for a portal of that URL.
func (g *Gateway) factors(portal string) (*factor.Keeper, error) {
	u, err := url.Parse(portal)
	if err != nil {
		return nil, err
	}
	return factor.New(factor.Config{
		Store: factorStore{g.state.Store}, Guesses: g.guesses, Audit: g.state.Audit, Portal: u, Issuer: "Postern " + u.Hostname(),
	})
}

// portalProviders gives the providers at which people sign in.
func portalProviders(c *config.Config) []web.Provider {
	var all []web.Provider
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		all = append(all, web.Provider{Name: name, Tenant: p.Tenant, Contexts: slices.DeleteFunc(
			slices.Sorted(maps.Keys(p.AuthenticationContexts)), func(c string) bool { return !p.Asserts(c) })})
	}
	return all
}

// httpDrain is how long requests may take that are under way on an address which is given up.
const httpDrain = 10 * time.Second

// newHTTPServer makes a server that bounds what a client may take: HTTP/1.1, so that a connection is one request at a
// time, and a limit on each of its phases (threat model I-28).
func newHTTPServer(pages http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler: pages, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// run serves until close.
func (p *portal) run(log *slog.Logger) {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("the portal is no longer served", "error", err)
	}
}

// close stops accepting, lets requests that are under way end until ctx does, and ends what is left then.
func (p *portal) close(ctx context.Context) error {
	_ = p.listener.Close() // the server does not know it before run
	if err := p.server.Shutdown(ctx); err != nil {
		return p.server.Close()
	}
	return nil
}

// admitted is a listener that keeps to the gateway's limits on connections and to the portal's networks. Whoever uses the
// portal has not signed in as a mail client does: such a connection may have to give way.
type admitted struct {
	net.Listener
	admission *admission
	networks  func() []netip.Prefix
}

// Accept gives the next connection that is admitted.
func (l *admitted) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remote(conn).Addr()
		networks := l.networks()
		if len(networks) > 0 && !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(from) }) {
			_ = conn.Close()
			continue
		}
		place, err := l.admission.enter(from, func() { _ = conn.Close() })
		if err != nil {
			_ = conn.Close()
			continue
		}
		return &placed{Conn: conn, leave: sync.OnceFunc(place.leave)}, nil
	}
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// portalSessions is the store as package web wants it for sessions.
type portalSessions struct{ *store.Store }

func (s portalSessions) PortalSession(ctx context.Context, hash []byte, now time.Time) (web.SessionRecord, bool, error) {
	row, found, err := s.Store.PortalSession(ctx, hash, now)
	return web.SessionRecord(row), found, err
}

func (s portalSessions) AddPortalSession(ctx context.Context, r web.SessionRecord, replaced []byte, now time.Time) error {
	return s.Store.AddPortalSession(ctx, store.PortalSession(r), replaced, now)
}

func (s portalSessions) ChangePortalSession(ctx context.Context, r web.SessionRecord) (bool, error) {
	return s.Store.ChangePortalSession(ctx, store.PortalSession(r))
}
