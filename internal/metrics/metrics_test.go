package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern/internal/audit"
)

// noon is when these tests happen.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a gateway as the figures see it.
type world struct {
	now       time.Time
	stops     []Stop
	forecasts int // how often one was made
	broken    error
	checks    map[string]error
	notes     map[string]string
}

func (w *world) metrics() *Metrics {
	return New(Config{Version: "v1", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }, Sources: Sources{
		Sessions:  func() map[string]int { return map[string]int{"imap": 3, "smtp": 0} },
		Queue:     func(context.Context) (map[string]int, error) { return map[string]int{"waiting": 7}, w.broken },
		Lockdowns: func(context.Context) (map[string]int, error) { return map[string]int{"all": 1, "login": 0}, w.broken },
		Notes:     func(context.Context) map[string]string { return w.notes },
		Audit:     func() Audit { return Audit{Kept: true, Syslog: &Syslog{Up: true, Behind: 12}} },
		Forecast:  func(context.Context) ([]Stop, error) { w.forecasts++; return w.stops, w.broken },
		Ready:     func(context.Context) map[string]error { return maps.Clone(w.checks) },
		Certificates: func() []Certificate {
			return []Certificate{{Source: "file mail.pem", Name: "mail.example", Key: "ECDSA P-256", NotAfter: noon}}
		},
	}})
}

// get gives the status and the body of an answer.
func get(t *testing.T, m *Metrics, method, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

// lines holds that each of these is a line of text.
func lines(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestCountersFollowTheAuditLog(t *testing.T) {
	m := (&world{now: noon}).metrics()
	for _, event := range []audit.Event{
		audit.SignIn{Outcome: audit.Allowed, Protocol: "imap", Login: "alice@contoso.com"},
		audit.SignIn{Outcome: audit.Refused, Reason: "wrong-password", Protocol: "smtp", Login: "copier-3"},
		audit.SignInsRefused{Attempts: 5, Reasons: map[string]int{"held-off": 4, "unknown-login": 1}},
		audit.SessionEnd{Protocol: "imap", Cause: "client-closed", Received: 10, Sent: 2000},
		audit.Message{Outcome: audit.Allowed},
	} {
		m.Event(event)
	}
	_, body := get(t, m, http.MethodGet, "/metrics")
	lines(t, body,
		`postern_sign_ins_total{outcome="allowed",protocol="imap",reason=""} 1`,
		`postern_sign_ins_total{outcome="refused",protocol="smtp",reason="wrong-password"} 1`,
		`postern_sign_ins_total{outcome="refused",protocol="any",reason="held-off"} 4`,
		`postern_sessions_ended_total{cause="client-closed",protocol="imap"} 1`,
		`postern_session_received_bytes_total{protocol="imap"} 10`,
		`postern_session_sent_bytes_total{protocol="imap"} 2000`,
		`postern_messages_total{outcome="allowed",reason=""} 1`,
		`postern_audit_events_total{kind="sign-in"} 2`,
		`postern_build_info{version="v1"} 1`,
		`postern_sessions{protocol="imap"} 3`,
		`postern_queue_messages{state="waiting"} 7`,
		`postern_audit_kept 1`,
		`postern_audit_syslog_up 1`,
		`postern_audit_syslog_behind_lines 12`,
		`postern_audit_syslog_missed_lines_total 0`,
		`postern_lockdown{scope="all"} 1`,
		`postern_lockdown{scope="login"} 0`,
		`postern_certificate_expiry_timestamp_seconds{key="ECDSA P-256",name="mail.example",source="file mail.pem"} 1.7955216e+09`,
	)
	for _, name := range []string{"alice", "copier-3"} {
		if strings.Contains(body, name) {
			t.Errorf("the figures name %s", name)
		}
	}
}

func TestForecastIsShownAndNotMadeForEveryLook(t *testing.T) {
	day := 24 * time.Hour
	w := &world{now: noon, stops: []Stop{
		{"password-expiry", noon.Add(-day)}, {"password-expiry", noon.Add(29 * day)}, {"password-expiry", noon.Add(31 * day)},
		{"evidence-age", noon.Add(90 * day)}, {"client-secret", time.Time{}},
	}}
	m := w.metrics()
	_, body := get(t, m, http.MethodGet, "/metrics")
	lines(t, body,
		`postern_forecast_stops{kind="password-expiry"} 2`,
		`postern_forecast_stops{kind="client-secret"} 1`,
		`postern_forecast_next_timestamp_seconds{kind="password-expiry"} 1.7954352e+09`,
		`postern_forecast_next_timestamp_seconds{kind="evidence-age"} 1.8032976e+09`,
	)
	for _, absent := range []string{`postern_forecast_stops{kind="evidence-age"}`, `next_timestamp_seconds{kind="client-secret"}`} {
		if strings.Contains(body, absent) {
			t.Errorf("there is a line of %s", absent)
		}
	}
	get(t, m, http.MethodGet, "/metrics")
	if w.forecasts != 1 {
		t.Errorf("%d forecasts for two looks in one minute, want 1", w.forecasts)
	}
	w.now = noon.Add(-time.Hour) // the clock was set back: what was made is of no known age
	get(t, m, http.MethodGet, "/metrics")
	if w.forecasts != 2 {
		t.Errorf("%d forecasts after the clock was set back, want 2", w.forecasts)
	}
}

// TestABrokenSourceIsAbsent: and takes nothing else with it.
func TestABrokenSourceIsAbsent(t *testing.T) {
	w := &world{now: noon, broken: errors.New("no store")}
	status, body := get(t, w.metrics(), http.MethodGet, "/metrics")
	if status != http.StatusOK {
		t.Errorf("got status %d", status)
	}
	lines(t, body, `postern_sessions{protocol="imap"} 3`)
	if strings.Contains(body, "postern_queue_messages{") || strings.Contains(body, "postern_forecast_stops{") {
		t.Error("there are figures of a source that gave none")
	}
}

func TestReadyGivesReasons(t *testing.T) {
	w := &world{now: noon, checks: map[string]error{"store": nil, "audit": nil}}
	m := w.metrics()
	if status, body := get(t, m, http.MethodGet, "/readyz"); status != http.StatusOK || body != "audit: ok\nstore: ok\n" {
		t.Errorf("got %d %q", status, body)
	}
	w.notes = map[string]string{"lockdown": "all since noon"}
	if status, body := get(t, m, http.MethodGet, "/readyz"); status != http.StatusOK || body != "audit: ok\nstore: ok\nlockdown: all since noon\n" {
		t.Errorf("with a note: got %d %q", status, body)
	}
	w.notes = nil
	w.checks["audit"] = errors.New("no space left on device")
	status, body := get(t, m, http.MethodGet, "/readyz")
	if status != http.StatusServiceUnavailable || body != "audit: not ready: no space left on device\nstore: ok\n" {
		t.Errorf("got %d %q", status, body)
	}
	if status, _ := get(t, m, http.MethodGet, "/livez"); status != http.StatusOK {
		t.Errorf("a gateway that is not ready is told to be dead: %d", status)
	}
	if status, _ := get(t, m, http.MethodPost, "/metrics"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST got status %d", status)
	}
}
