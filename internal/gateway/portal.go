package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"postern/auth"
	"postern/auth/factor"
	"postern/certs"
	"postern/internal/config"
	"postern/internal/store"
	"postern/internal/web"
)

// portal is the portal's listener with its server.
type portal struct {
	listener net.Listener
	server   *http.Server
	url      string
}

// openPortal opens the portal's address, so that one that is taken is an error of the start. Serving begins with run.
func (g *Gateway) openPortal(certificates *certs.Store, admission *admission) (*portal, error) {
	c := g.config.Portal
	raw, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, err
	}
	p := &portal{url: c.Origin(g.config.Domain, raw.Addr())}
	factors, err := g.factors(p.url)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	pages, err := web.New(web.Config{
		URL: p.url, Administration: c.Administration, Providers: portalProviders(g.config), Factors: factors,
		Authority: g.tokens, Enroller: portalAccounts{auth.NewDirectory(g.config), g.state.Store, g.tokens},
		Sessions: portalSessions{g.state.Store}, Keys: g.state.Keys, Audit: g.state.Audit, Log: g.log.With("protocol", "https"),
		Desk:   &portalDesk{g.directory, g.state, &g.sessions, g.config.AuditFile, doors(g.config, g.listeners), time.Now},
		Office: &portalOffice{g.config, g.directory, g.state, &g.sessions, time.Now},
	})
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	settings := certs.ServerTLS(certificates.GetCertificate)
	settings.NextProtos = []string{"http/1.1"}
	p.listener = tls.NewListener(&admitted{raw, admission, c.Networks}, settings)
	p.server = newHTTPServer(pages, g.log)
	return p, nil
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
	networks  []netip.Prefix
}

// Accept gives the next connection that is admitted.
func (l *admitted) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remote(conn).Unmap()
		if len(l.networks) > 0 && !slices.ContainsFunc(l.networks, func(n netip.Prefix) bool { return n.Contains(from) }) {
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
