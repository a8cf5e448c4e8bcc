// Package entra is the simulator's Entra ID: the v2.0 endpoints of one tenant over TLS, as Microsoft's own libraries
// use them. It has discovery, keys with rotation, the authorization code with its pages, the device code, refresh
// tokens, client credentials with secret or certificate, and the errors in Entra's form.
//
// It issues tokens for the tenant's people and applications and, as a [tenant.Verifier], tells its own tokens from
// others. It knows nothing of mail. Everything is in memory and ends with Close.
package entra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/sim/tenant"
)

// Config is what a server is made of.
type Config struct {
	Tenant  *tenant.Tenant // required
	TLS     *tls.Config    // required: with the certificate of the host in Address
	Address string         // host:port to listen on; port 0 takes a free one
	// TokenLife is how long access tokens last; 0 is a random 60 to 90 minutes for each, as Entra does it.
	TokenLife time.Duration
	Now       func() time.Time // nil for time.Now
	Log       *slog.Logger     // nil for none
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	tenant   *tenant.Tenant
	life     time.Duration
	now      func() time.Time
	log      *slog.Logger
	url      string // https://host:port
	keys     *keyring
	mux      *http.ServeMux
	more     *http.ServeMux // what Handle adds
	http     *http.Server
	listener net.Listener
	served   chan struct{}  // closed when no connection is accepted any more
	open     sync.WaitGroup // connections
	state    state
	requests atomic.Int64 // to the token endpoint
}

// Start listens and serves. Close ends it.
func Start(config Config) (*Server, error) {
	s := &Server{
		tenant: config.Tenant, life: config.TokenLife, now: config.Now, log: config.Log,
		mux: http.NewServeMux(), more: http.NewServeMux(), served: make(chan struct{}), state: newState(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.keys, err = newKeyring(s.now()); err != nil {
		return nil, fmt.Errorf("simulated Entra ID: %w", err)
	}
	if s.listener, err = net.Listen("tcp", config.Address); err != nil {
		return nil, fmt.Errorf("simulated Entra ID: %w", err)
	}
	s.url = "https://" + nameOf(s.listener.Addr())
	s.routes()
	s.serve(config.TLS)
	return s, nil
}

// serve accepts connections until Close.
func (s *Server) serve(config *tls.Config) {
	// HTTP/1.1 alone, so that a fault that drops the connection drops it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler: s.logged(http.HandlerFunc(s.route)), TLSConfig: config, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.open.Add(1)
			case http.StateClosed:
				s.open.Done()
			}
		},
	}
	go s.acceptConnections()
}

func (s *Server) acceptConnections() {
	defer close(s.served)
	if err := s.http.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the simulated Entra ID ended", "error", err)
	}
}

// Close ends every connection and waits for what they were doing.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.served
	s.open.Wait()
	return err
}

// Address gives host:port of the listener.
func (s *Server) Address() string { return s.listener.Addr().String() }

// URL gives https://host:port, to which a tenant is added for an authority.
func (s *Server) URL() string { return s.url }

// Handle serves more paths, as [http.ServeMux.Handle] does. They go before Entra's own, in which a tenant may have any
// name.
func (s *Server) Handle(pattern string, handler http.Handler) { s.more.Handle(pattern, handler) }

// route picks between the paths of Handle and Entra's own.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.more.Handler(r); pattern != "" {
		s.more.ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) routes() {
	s.mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.openIDConfiguration)
	s.mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.publishedKeys)
	s.mux.HandleFunc("GET /common/discovery/instance", s.instanceDiscovery)
	s.mux.HandleFunc("/{tenant}/oauth2/v2.0/token", s.token)
	s.mux.HandleFunc("/{tenant}/oauth2/v2.0/devicecode", s.deviceCode)
	s.mux.HandleFunc("/{tenant}/oauth2/v2.0/authorize", s.authorize)
	s.mux.HandleFunc("GET /{tenant}/oauth2/v2.0/logout", s.logout)
	s.mux.HandleFunc("POST /{tenant}/login", s.login)
	s.mux.HandleFunc("GET /devicelogin", s.devicePage)
	s.mux.HandleFunc("POST /devicelogin", s.deviceSignIn)
}

// logged writes a line for each request: the path without its query, which may hold codes.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		w.Header().Set("x-ms-request-id", newGUID())
		w.Header().Set("x-ms-ests-server", "2.1.0 - SIM ProdSlices")
		s.log.Debug("entra request", "method", r.Method, "path", r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

// maxBody bounds a request's body, in bytes. An assertion with its chain of certificates fits.
const maxBody = 64 << 10

// wait lets time pass, or less where the client gives up or the server ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// nameOf gives host:port of a listener, with the name that its certificate is sure to have where it is on loopback.
func nameOf(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return strings.ToLower(net.JoinHostPort(host, port))
}
