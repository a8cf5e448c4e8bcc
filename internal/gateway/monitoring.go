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
	address  string // as the configuration has it
	listener net.Listener
	server   *http.Server
}

// watchEvents has the figures follow the audit log, also where the configuration has nobody look at them: a reload may. It
// comes before anything is recorded.
func (g *Gateway) watchEvents(version string) {
	g.metrics = metrics.New(metrics.Config{Version: version, Log: g.log, Sources: metrics.Sources{
		Sessions:     func() map[string]int { return sessionsByProtocol(&g.sessions) },
		Queue:        g.queueByState,
		Lockdowns:    g.lockdownsByScope,
		Forecast:     g.forecast,
		Audit:        g.trail.figures,
		Ready:        g.readiness,
		Notes:        g.notes,
		Certificates: func() []metrics.Certificate { return g.certificates.figures() },
	}})
	g.state.Audit.Watch(g.metrics.Event)
}

// monitoringPart opens the address of the figures where it is new, so that one that is taken is an error.
func (g *Gateway) monitoringPart(_, next *generation) (change, error) {
	c, m := next.config.Metrics, g.monitoring.Load()
	switch {
	case c == nil:
		return change{commit: func() { g.replaceMonitoring(nil) }}, nil
	case m != nil && m.address == c.Address:
		return change{}, nil
	}
	raw, err := g.sockets.Listen(net.ListenConfig{}, "metrics", c.Address)
	if err != nil {
		return change{}, fmt.Errorf("metrics: %w", err)
	}
	m = &monitoring{c.Address, raw, newHTTPServer(g.metrics.Handler(), g.log)}
	return change{
		discard: func() { _ = raw.Close() },
		commit:  func() { g.replaceMonitoring(m) },
	}, nil
}

// replaceMonitoring has figures be served in the place of where they were; nil for nowhere. Whoever was looking looks
// again.
func (g *Gateway) replaceMonitoring(m *monitoring) {
	was := g.monitoring.Swap(m)
	if m != nil {
		g.wait.Go(func() { m.run(g.log) })
	}
	if was != nil {
		_ = was.close()
	}
}

// run serves until close.
func (m *monitoring) run(log *slog.Logger) {
	if err := m.server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("figures are no longer served", "error", err)
	}
}

// close stops serving.
func (m *monitoring) close() error {
	_ = m.listener.Close() // the server does not know it before run
	if err := m.server.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// closeMonitoring stops serving figures, if there are any: whoever looks at them looks again.
func (g *Gateway) closeMonitoring() error {
	if m := g.monitoring.Load(); m != nil {
		return m.close()
	}
	return nil
}

// Metrics gives the address of the figures, host:port; empty where there are none.
func (g *Gateway) Metrics() string {
	if m := g.monitoring.Load(); m != nil {
		return m.listener.Addr().String()
	}
	return ""
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
	current := g.generation()
	admin := Admin{config: current.config, directory: current.directory, state: g.state}
	now := time.Now()
	stops, err := admin.Forecast(ctx, now, now.AddDate(100, 0, 0))
	all := make([]metrics.Stop, len(stops))
	for i, s := range stops {
		all[i] = metrics.Stop{Kind: s.Kind, At: s.At}
	}
	return all, err
}

// notes says what somebody should know, and what leaves the gateway ready all the same: what an administrator has ordered
// that keeps clients out, and how the audit log is kept.
func (g *Gateway) notes(ctx context.Context) map[string]string {
	notes := g.trail.notes()
	if refused, _ := g.refused.Load().(string); refused != "" {
		notes["configuration"] = "the file is not taken up, the one before it goes on: " + strings.ReplaceAll(refused, "\n", "; ")
	}
	if note := restoredNote(ctx, g.state.Store); note != "" {
		notes["restored"] = note
	}
	all, err := g.state.Store.Lockdowns(ctx)
	if err != nil || len(all) == 0 {
		return notes // a store that cannot be read is one of the checks
	}
	var words []string
	for _, l := range all {
		words = append(words, fmt.Sprintf("%s since %s", l.Scope, l.Since.Format(time.RFC3339)))
	}
	notes["lockdown"] = strings.Join(words, ", ")
	return notes
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
