// Package metrics shows what the gateway does as figures for Prometheus, and whether it lives and is ready.
//
// Counters follow the audit log: each decision is one event there, and one step of a counter here, so the two cannot tell
// different stories. Gauges are asked for when somebody looks. Labels have few values, all of them ours: never a login, a
// mailbox or an address, which would make as many time series as there are people, and tell about them.
package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern/internal/audit"
)

// Config is what the figures are made of.
type Config struct {
	Version string
	Sources Sources
	Log     *slog.Logger     // required
	Now     func() time.Time // nil means time.Now
}

// Metrics counts, and serves the figures. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	health   health
	log      *slog.Logger

	events   *prometheus.CounterVec
	signIns  *prometheus.CounterVec
	ended    *prometheus.CounterVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	messages *prometheus.CounterVec
	reloaded prometheus.Gauge // whether the last configuration was taken up
	since    prometheus.Gauge // since when the configuration is in force
	now      func() time.Time
}

// New makes the figures of a gateway.
func New(c Config) *Metrics {
	if c.Now == nil {
		c.Now = time.Now
	}
	m := &Metrics{registry: prometheus.NewRegistry(), health: health{c.Sources.Ready, c.Sources.Notes}, log: c.Log, now: c.Now}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.events = counter("postern_audit_events_total", "Events recorded in the audit log.", "kind")
	m.signIns = counter("postern_sign_ins_total", "Attempts of mail clients to sign in, and how they were answered.", "protocol", "outcome", "reason")
	m.ended = counter("postern_sessions_ended_total", "Sessions that have ended, and why.", "protocol", "cause")
	m.received = counter("postern_session_received_bytes_total", "Bytes from clients after they had signed in, of sessions that have ended.", "protocol")
	m.sent = counter("postern_session_sent_bytes_total", "Bytes to clients after they had signed in, of sessions that have ended.", "protocol")
	m.messages = counter("postern_messages_total", "Messages that clients submitted, and how they were answered.", "outcome", "reason")
	gauge := func(name, help string) prometheus.Gauge {
		v := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(v)
		return v
	}
	m.reloaded = gauge("postern_config_last_reload_successful", "Whether the configuration file was taken up when it was last read: 1, or 0.")
	m.since = gauge("postern_config_last_reload_success_timestamp_seconds", "When the configuration that is in force was taken up.")
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_build_info", Help: "Which version this is; always 1."}, []string{"version"})
	info.WithLabelValues(c.Version).Set(1)
	m.registry.MustRegister(info, &gauges{sources: c.Sources, now: c.Now, log: c.Log},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// anyProtocol labels the sign-ins of a flood, which the audit log sums up for all protocols.
const anyProtocol = "any"

// Event counts an event that is in the audit log.
func (m *Metrics) Event(event audit.Event) {
	m.events.WithLabelValues(event.Kind()).Inc()
	switch e := event.(type) {
	case audit.SignIn:
		m.signIns.WithLabelValues(e.Protocol, string(e.Outcome), e.Reason).Inc()
	case audit.SignInsRefused:
		for reason, n := range e.Reasons {
			m.signIns.WithLabelValues(anyProtocol, string(audit.Refused), reason).Add(float64(n))
		}
	case audit.SessionEnd:
		m.ended.WithLabelValues(e.Protocol, e.Cause).Inc()
		m.received.WithLabelValues(e.Protocol).Add(float64(e.Received))
		m.sent.WithLabelValues(e.Protocol).Add(float64(e.Sent))
	case audit.GatewayStarted, audit.ConfigurationChanged:
		m.reloaded.Set(1)
		m.since.Set(float64(m.now().Unix()))
	case audit.ConfigurationRefused:
		m.reloaded.Set(0)
	case audit.Message:
		m.messages.WithLabelValues(string(e.Outcome), e.Reason).Inc()
	}
}

// Handler serves /metrics, /livez and /readyz. Nothing of it is secret, and nothing of it is for strangers: it asks for no
// credentials, so it belongs on an address that only the monitoring reaches.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
	}))
	mux.HandleFunc("GET /livez", m.health.live)
	mux.HandleFunc("GET /readyz", m.health.ready)
	return mux
}
