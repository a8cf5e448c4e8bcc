package gateway

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"postern/internal/audit"
)

// LogLevel is a level of the program's log, as the admin socket tells of it.
type LogLevel struct {
	Level slog.Level `json:"level"`
}

// logLevel shows and changes the level of the program's log.
type logLevel struct {
	level    *slog.LevelVar // of log; nil where it cannot be changed
	audit    interface{ Record(audit.Event) error }
	log      *slog.Logger
	changing sync.Mutex // so that the audit log names the level that each change takes the place of
}

// errFixedLevel is a log that was made without a level that can be changed.
var errFixedLevel = errors.New("this gateway's log has no level that can be changed")

// show gives the level that counts now.
func (l *logLevel) show() (LogLevel, error) {
	if l.level == nil {
		return LogLevel{}, errFixedLevel
	}
	return LogLevel{l.level.Level()}, nil
}

// change reads a [LogLevel], has it count, and gives the one before. It is in the audit log before it is done.
func (l *logLevel) change(by string, from io.Reader) (LogLevel, error) {
	var order struct{ Level *slog.Level }
	if err := readOrder(from, &order); err != nil {
		return LogLevel{}, err
	}
	if order.Level == nil {
		return LogLevel{}, errors.New("order: name a level: debug, info, warn or error")
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	before, err := l.show()
	if err != nil {
		return LogLevel{}, err
	}
	if err := l.audit.Record(audit.LogLevelChanged{Level: levelName(*order.Level), Before: levelName(before.Level), By: by}); err != nil {
		l.log.Error("the log's level is not changed: the audit log cannot be written", "error", err)
		return LogLevel{}, fmt.Errorf("nothing was done, because the audit log cannot be written: %w", err)
	}
	l.level.Set(*order.Level)
	return before, nil
}

// levelName gives a level as people write it.
func levelName(l slog.Level) string { return strings.ToLower(l.String()) }
