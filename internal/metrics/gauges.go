package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are what gauges ask.
type Sources struct {
	// Sessions gives the live sessions, by protocol.
	Sessions func() map[string]int
	// Queue gives the messages in the queue, by state.
	Queue func(context.Context) (map[string]int, error)
	// Lockdowns gives the lockdowns that are on, by scope.
	Lockdowns func(context.Context) (map[string]int, error)
	// Forecast gives what has stopped, and what will.
	Forecast func(ctx context.Context) ([]Stop, error)
	// Audit gives how the audit log is kept.
	Audit func() Audit
	// Certificates gives the certificates that listeners show.
	Certificates func() []Certificate
	// Ready gives each check of the gateway's readiness with what is wrong; nil for what is in order.
	Ready func(context.Context) map[string]error
	// Notes gives what somebody who looks at the readiness has to know though clients can be served, by subject.
	Notes func(context.Context) map[string]string
}

// Stop is something that will not work any more from some time on.
type Stop struct {
	Kind string    // such as password-expiry
	At   time.Time // zero where nobody here knows
}

// Audit is how the audit log is kept.
type Audit struct {
	Kept   bool    // signed, rotated and copied as the configuration says
	Syslog *Syslog // nil where the log is not sent on
}

// Syslog is how the audit log is sent on.
type Syslog struct {
	Up     bool
	Behind int64 // lines that the receiver has not had
	Missed int64 // lines that were removed before it had them
}

// Certificate is a certificate that listeners show.
type Certificate struct {
	Source   string // where it comes from, such as a file
	Name     string // the first of its names
	Key      string // such as ECDSA P-256
	NotAfter time.Time
}

const (
	// forecastAge is how long a forecast serves. It looks at every app password and account, and what it says moves by
	// the day.
	forecastAge = time.Minute
	// scrapeTime bounds what one look at the sources may take.
	scrapeTime = 10 * time.Second
	// soon is how far ahead a stop counts, as for postern forecast.
	soon = 30 * 24 * time.Hour
)

var (
	sessionsDesc = prometheus.NewDesc("postern_sessions", "Live sessions.", []string{"protocol"}, nil)
	queueDesc    = prometheus.NewDesc("postern_queue_messages", "Messages that wait in the queue.", []string{"state"}, nil)
	lockdownDesc = prometheus.NewDesc("postern_lockdown", "Lockdowns that are on.", []string{"scope"}, nil)
	stopsDesc    = prometheus.NewDesc("postern_forecast_stops",
		"What has stopped and can be mended, or stops within 30 days, as postern forecast lists it.", []string{"kind"}, nil)
	nextDesc = prometheus.NewDesc("postern_forecast_next_timestamp_seconds",
		"When the next of a kind stops, or the first of it did.", []string{"kind"}, nil)
	certificateDesc = prometheus.NewDesc("postern_certificate_expiry_timestamp_seconds",
		"When a certificate that listeners show ends.", []string{"source", "name", "key"}, nil)
)

var (
	keptDesc   = prometheus.NewDesc("postern_audit_kept", "Whether the audit log is signed, rotated and copied as it should be.", nil, nil)
	upDesc     = prometheus.NewDesc("postern_audit_syslog_up", "Whether the syslog receiver of the audit log can be reached.", nil, nil)
	behindDesc = prometheus.NewDesc("postern_audit_syslog_behind_lines", "Lines of the audit log that its syslog receiver has not had.", nil, nil)
	missedDesc = prometheus.NewDesc("postern_audit_syslog_missed_lines_total", "Lines of the audit log that were removed before its syslog receiver had them.", nil, nil)
)

// audit gives the figures of the audit log.
func (g *gauges) audit(out chan<- prometheus.Metric) {
	is := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	a := g.sources.Audit()
	out <- prometheus.MustNewConstMetric(keptDesc, prometheus.GaugeValue, is(a.Kept))
	if s := a.Syslog; s != nil {
		out <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, is(s.Up))
		out <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, float64(s.Behind))
		out <- prometheus.MustNewConstMetric(missedDesc, prometheus.CounterValue, float64(s.Missed))
	}
}

// gauges asks the sources whenever somebody looks.
type gauges struct {
	sources Sources
	now     func() time.Time
	log     *slog.Logger

	mu       sync.Mutex
	forecast []Stop
	made     time.Time
}

// Describe is of [prometheus.Collector].
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sessionsDesc, queueDesc, lockdownDesc, stopsDesc, nextDesc, certificateDesc, keptDesc, upDesc, behindDesc, missedDesc} {
		out <- d
	}
}

// Collect is of [prometheus.Collector]. A source that fails is left out and logged: an absent series is what an alert can
// see, and a zero would be a lie.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	g.audit(out)
	for protocol, n := range g.sources.Sessions() {
		gauge(sessionsDesc, float64(n), protocol)
	}
	for _, c := range g.sources.Certificates() {
		gauge(certificateDesc, float64(c.NotAfter.Unix()), c.Source, c.Name, c.Key)
	}
	for d, source := range map[*prometheus.Desc]func(context.Context) (map[string]int, error){
		queueDesc: g.sources.Queue, lockdownDesc: g.sources.Lockdowns,
	} {
		counts, err := source(ctx)
		if err != nil {
			g.log.Warn("a figure cannot be had", "figure", d.String(), "error", err)
			continue
		}
		for label, n := range counts {
			gauge(d, float64(n), label)
		}
	}
	stops, err := g.fresh(ctx)
	if err != nil {
		g.log.Warn("no forecast can be made", "error", err)
		return
	}
	count, next := make(map[string]int), make(map[string]time.Time)
	for _, s := range stops {
		if !s.At.After(g.now().Add(soon)) {
			count[s.Kind]++
		}
		if first, ok := next[s.Kind]; !s.At.IsZero() && (!ok || s.At.Before(first)) {
			next[s.Kind] = s.At
		}
	}
	for kind, n := range count {
		gauge(stopsDesc, float64(n), kind)
	}
	for kind, at := range next {
		gauge(nextDesc, float64(at.Unix()), kind)
	}
}

// fresh gives a forecast that is not older than forecastAge.
func (g *gauges) fresh(ctx context.Context) ([]Stop, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if age := g.now().Sub(g.made); g.made.IsZero() || age < 0 || age > forecastAge {
		stops, err := g.sources.Forecast(ctx)
		if err != nil {
			return nil, err
		}
		g.forecast, g.made = stops, g.now()
	}
	return g.forecast, nil
}
