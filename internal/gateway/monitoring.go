package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"postern/internal/metrics"
	"postern/internal/session"
)

// monitoring is the listener of the figures, with its server.
type monitoring struct {
	listener net.Listener
	server   *http.Server
}

// watchEvents has the figures follow the audit log. It comes before anything is recorded.
func (g *Gateway) watchEvents(version string) {
	if g.config.Metrics == nil {
		return
	}
	g.metrics = metrics.New(metrics.Config{Version: version, Log: g.log, Sources: metrics.Sources{
		Sessions:  func() map[string]int { return sessionsByProtocol(&g.sessions) },
		Queue:     g.queueByState,
		Lockdowns: g.lockdownsByScope,
		Forecast:  g.forecast,
		Ready:     g.readiness,
		Notes:     g.notes,
	}})
	g.state.Audit.Watch(g.metrics.Event)
}

// openMonitoring opens the address of the figures, so that one that is taken is an error of the start.
func (g *Gateway) openMonitoring() error {
	if g.metrics == nil {
		return nil
	}
	raw, err := net.Listen("tcp", g.config.Metrics.Address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	g.monitoring = &monitoring{raw, newHTTPServer(g.metrics.Handler(), g.log)}
	return nil
}

// run serves until close.
func (m *monitoring) run(log *slog.Logger) {
	if err := m.server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("figures are no longer served", "error", err)
	}
}

// closeMonitoring stops serving figures, if there are any: whoever looks at them looks again.
func (g *Gateway) closeMonitoring() error {
	if g.monitoring == nil {
		return nil
	}
	_ = g.monitoring.listener.Close() // the server does not know it before run
	if err := g.monitoring.server.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Metrics gives the address of the figures, host:port; empty where there are none.
func (g *Gateway) Metrics() string {
	if g.monitoring == nil {
		return ""
	}
	return g.monitoring.listener.Addr().String()
}

// sessionsByProtocol counts live sessions. A protocol without any has a zero, so that its series does not come and go.
func sessionsByProtocol(r *session.Register) map[string]int {
	counts := map[string]int{"imap": 0, "smtp": 0}
	for protocol := range counts {
		counts[protocol] = r.Count(func(i session.Info) bool { return i.Protocol == protocol })
	}
	return counts
}

// queueByState counts the messages that wait.
func (g *Gateway) queueByState(ctx context.Context) (map[string]int, error) {
	all, err := g.state.Store.QueueCounts(ctx)
	counts := map[string]int{"waiting": 0, "held": 0, "barred": 0, "damaged": 0}
	for _, c := range all {
		counts[string(c.State)] += c.Messages
	}
	return counts, err
}

// forecast says what has stopped and what ever will, for the figures.
func (g *Gateway) forecast(ctx context.Context) ([]metrics.Stop, error) {
	admin := Admin{config: g.config, directory: g.directory, state: g.state}
	now := time.Now()
	stops, err := admin.Forecast(ctx, now, now.AddDate(100, 0, 0))
	all := make([]metrics.Stop, len(stops))
	for i, s := range stops {
		all[i] = metrics.Stop{Kind: s.Kind, At: s.At}
	}
	return all, err
}

// notes says what an administrator has ordered that keeps clients out.
func (g *Gateway) notes(ctx context.Context) map[string]string {
	all, err := g.state.Store.Lockdowns(ctx)
	if err != nil || len(all) == 0 {
		return nil // a store that cannot be read is one of the checks
	}
	var words []string
	for _, l := range all {
		words = append(words, fmt.Sprintf("%s since %s", l.Scope, l.Since.Format(time.RFC3339)))
	}
	return map[string]string{"lockdown": strings.Join(words, ", ")}
}

// readiness looks at what the gateway cannot serve clients without.
func (g *Gateway) readiness(ctx context.Context) map[string]error {
	_, err := g.state.Store.LastWithdrawal(ctx)
	checks := map[string]error{"store": err, "audit": g.state.Audit.Err(), "gateway": nil}
	if g.stopping.Load() {
		checks["gateway"] = errors.New("it is stopping")
	}
	return checks
}
