package acme

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// core takes certmagic's lines to the gateway's log, one level lower than they come: what fails is told by [Manager.Refresh].
// Lines for debugging stay away, since they may hold whole requests.
type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func newCore(log *slog.Logger) zapcore.Core { return core{log: log} }

// Enabled is of [zapcore.Core], and so are all that follow.
func (c core) Enabled(level zapcore.Level) bool { return level >= zapcore.InfoLevel }

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log, append(append([]zapcore.Field{}, c.fields...), fields...)}
}

func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field{}, c.fields...), fields...) {
		f.AddTo(encoder)
	}
	level := slog.LevelDebug
	if e.Level >= zapcore.WarnLevel {
		level = slog.LevelInfo
	}
	attributes := make([]any, 0, len(encoder.Fields))
	for key, value := range encoder.Fields {
		attributes = append(attributes, slog.Any(key, value))
	}
	c.log.Log(context.Background(), level, "ACME: "+e.Message, attributes...)
	return nil
}

func (c core) Sync() error { return nil }
