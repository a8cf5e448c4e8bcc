package audit

// LogRotated is the last line of a file of the audit log. The log goes on in another file.
type LogRotated struct {
	File  string `json:"file"`  // the name of this file from now on
	First int64  `json:"first"` // the number of its first line
}

// LogContinued is the first line of a file of the audit log that is not the log's first one.
type LogContinued struct {
	Log  string `json:"log"`  // the log's id
	File string `json:"file"` // the name of the file before this one
}

// LogPruned is the removal of the oldest closed file of the audit log, which is past what is to be kept.
type LogPruned struct {
	File string `json:"file"`           // its name
	Last int64  `json:"last"`           // the number of the last line that is removed
	Hash string `json:"hash"`           // that line's SHA-256 in hex, which the first remaining line has as its prev
	Why  string `json:"why"`            // age or size
	Lost int64  `json:"lost,omitempty"` // of its lines, how many the syslog receiver has not had
}

// LogLevelChanged is another level of the program's log, until the gateway stops. That log is not this one, whose lines do not depend
// on any level.
type LogLevelChanged struct {
	Level  string `json:"level"`  // debug, info, warn or error
	Before string `json:"before"` // the level until then
	By     string `json:"by"`
}

func (LogLevelChanged) Kind() string     { return "log-level-changed" }
func (LogLevelChanged) Privileged() bool { return true }

func (LogRotated) Kind() string   { return "log-rotated" }
func (LogContinued) Kind() string { return "log-continued" }
func (LogPruned) Kind() string    { return "log-pruned" }

func (LogRotated) Privileged() bool   { return true }
func (LogContinued) Privileged() bool { return true }
func (LogPruned) Privileged() bool    { return true }
