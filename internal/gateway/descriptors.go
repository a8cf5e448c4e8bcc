package gateway

import (
	"log/slog"
	"syscall"

	"postern/internal/config"
)

const (
	// descriptorsEach is how many file descriptors a session needs: its client and its upstream.
	descriptorsEach = 2
	// descriptorsBeside is how many the gateway needs beside its sessions: store, audit log, tokens, listeners.
	descriptorsBeside = 256
)

// affordable lowers limits to what the system's limit on open files allows. Without it, the clients of a flood would take
// the descriptors that the sessions of honest ones need towards upstream (threat model I-28, I-31).
func affordable(limits config.ConnectionLimits, log *slog.Logger) config.ConnectionLimits {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return limits // unknown; the accept loop survives it when there are too few
	}
	return within(limits, files.Cur, log)
}

// within lowers limits to what a number of open files allows.
func within(limits config.ConnectionLimits, files uint64, log *slog.Logger) config.ConnectionLimits {
	if files >= uint64(limits.Connections)*descriptorsEach+descriptorsBeside {
		return limits
	}
	most := max(1, (int(files)-descriptorsBeside)/descriptorsEach)
	log.Info("fewer connections than limits.connections says, because the system allows too few open files: raise the limit on them (LimitNOFILE= of the unit, or ulimit -n)",
		"connections", most, "wanted", limits.Connections, "open_files", files)
	limits.Connections = most
	limits.PerSource, limits.BeforeSignIn = min(limits.PerSource, most), min(limits.BeforeSignIn, most)
	return limits
}
