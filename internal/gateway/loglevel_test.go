package gateway

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern/internal/audit"
	"postern/internal/handover"
	"postern/internal/session"
)

// TestI43LogLevelChangesOnceThatIsInTheAuditLog and not when it cannot be.
func TestI43LogLevelChangesOnceThatIsInTheAuditLog(t *testing.T) {
	record, level := &fullRecorder{}, new(slog.LevelVar)
	running := reachLevel(t, &logLevel{level: level, audit: record, log: quiet})
	if before, err := running.ChangeLogLevel(t.Context(), slog.LevelDebug); err != nil || before != slog.LevelInfo || level.Level() != slog.LevelDebug {
		t.Errorf("got %v, %v, and the level %v", before, err, level.Level())
	}
	if e, ok := record.last.(audit.LogLevelChanged); !ok || e.Level != "debug" || e.Before != "info" || e.By == "" {
		t.Errorf("got the event %+v", record.last)
	}
	record.err = errors.New("no space left on device")
	if _, err := running.ChangeLogLevel(t.Context(), slog.LevelError); err == nil || level.Level() != slog.LevelDebug {
		t.Errorf("got %v, and the level %v: it was changed, and that is in no log", err, level.Level())
	}
	if now, err := running.LogLevel(t.Context()); err != nil || now != slog.LevelDebug {
		t.Errorf("got %v, %v", now, err)
	}
}

// TestALogWithoutALevelSaysSo: so does an order that names none.
func TestALogWithoutALevelSaysSo(t *testing.T) {
	running := reachLevel(t, &logLevel{audit: &fullRecorder{}, log: quiet})
	if _, err := running.LogLevel(t.Context()); err == nil || err.Error() != errFixedLevel.Error() {
		t.Errorf("show: got %v, want %v", err, errFixedLevel)
	}
	if _, err := running.ChangeLogLevel(t.Context(), slog.LevelDebug); err == nil || err.Error() != errFixedLevel.Error() {
		t.Errorf("change: got %v, want %v", err, errFixedLevel)
	}
	running = reachLevel(t, &logLevel{level: new(slog.LevelVar), audit: &fullRecorder{}, log: quiet})
	for order, want := range map[string]string{
		`{}`:                 "name a level",
		`{"level":"chatty"}`: "chatty",
		`{"livel":"debug"}`:  "livel",
	} {
		if err := running.ask(t.Context(), http.MethodPost, "/log/level", json.RawMessage(order), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", order, err, want)
		}
	}
}

// reachLevel serves the orders of a gateway that has nothing but a level, and gives the client of it.
func reachLevel(t *testing.T, level *logLevel) *Running {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	g := &Gateway{level: level}
	a, serve, err := startAdmin(new(handover.Sockets), path, &session.Register{}, level.audit, nil, quiet, g.orders()...)
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(serve)
	t.Cleanup(func() {
		a.close()
		done.Wait()
	})
	return Reach(path)
}

// fullRecorder is an audit log that may be full.
type fullRecorder struct {
	last audit.Event
	err  error
}

func (r *fullRecorder) Record(event audit.Event) error { r.last = event; return r.err }
