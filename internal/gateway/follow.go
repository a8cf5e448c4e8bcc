package gateway

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"postern/internal/audit"
	"postern/internal/config"
)

const (
	// fileCheck is how often the configuration file is looked at. It is polled, as certificates are: notices from the
	// kernel do not come from every file system, and have to be set up anew when an editor or Kubernetes replaces the file.
	fileCheck = time.Second
	// maxRefusal bounds in bytes what is kept of why a file is refused.
	maxRefusal = 2000
	// ByFile is who wants a reload that a changed file began.
	ByFile = "the changed file"
)

// fileIdentity tells whether a file is the one that was seen before. The time of its last change of status is among it,
// which nobody can set.
type fileIdentity struct {
	device, inode uint64
	size          int64
	changed       time.Time
}

// identify gives the identity of a file as it is now; the zero identity where it cannot be looked at.
func identify(path string) fileIdentity {
	info, err := os.Stat(path)
	if err != nil {
		return fileIdentity{}
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileIdentity{size: info.Size(), changed: info.ModTime()}
	}
	return fileIdentity{uint64(status.Dev), status.Ino, status.Size, time.Unix(status.Ctim.Unix())}
}

// identifyRead gives the identity of the file that a configuration was read from; the zero identity if it has changed since, so
// that whatever is there now counts as new.
func identifyRead(path string, c *config.Config) fileIdentity {
	now := identify(path) // before its content: a later change shows in the identity
	if digest, err := config.Digest(path); err != nil || digest != c.Digest {
		return fileIdentity{}
	}
	return now
}

// follow takes up the configuration file whenever it has changed, until ctx ends. A file has to be the same at two looks,
// so that one that is being written is left alone. seen is the one in force.
func (g *Gateway) follow(ctx context.Context, seen fileIdentity) {
	ticker := time.NewTicker(fileCheck)
	defer ticker.Stop()
	last := seen
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := identify(g.file)
		switch {
		case now == seen || now != last:
		case g.succeeded():
			seen = now
			if err := g.upholdFile(); err != nil {
				g.log.Warn("sessions are not held against the changed configuration", "error", err)
			}
		default:
			seen = now
			_, _ = g.ReloadFile(ByFile) // it is in the log
		}
		last = now
	}
}

// ReloadFile reads the configuration file again and has it take the place of what is in force; see [Gateway.Reload]. A file
// that is not right changes nothing: the error, the log, the audit log and the readiness say what is wrong with it, and
// in which line (threat model I-35). by is who wants it.
func (g *Gateway) ReloadFile(by string) (Reloaded, error) {
	done, err := g.reloadFile(by)
	if err != nil {
		detail := err.Error()
		detail = detail[:min(len(detail), maxRefusal)]
		g.refused.Store(detail)
		g.log.Error("the configuration is not taken up; the one before it goes on", "by", by, "error", err)
		return Reloaded{}, errors.Join(err, g.state.Audit.Record(audit.ConfigurationRefused{Detail: detail, By: by}))
	}
	g.refused.Store("")
	for _, setting := range done.Waiting {
		g.log.Warn("a changed setting waits for the next start", "setting", setting)
	}
	g.log.Info("configuration reloaded", "by", by, "sha256", done.After, "changes", done.summary(), "sessions_cut", done.Cut)
	return done, nil
}

func (g *Gateway) reloadFile(by string) (Reloaded, error) {
	if g.file == "" {
		return Reloaded{}, errors.New("this gateway was not started from a file")
	}
	loaded, err := config.Load(g.file)
	if err != nil {
		return Reloaded{}, err
	}
	for _, warning := range loaded.Warnings {
		g.log.Warn("configuration", "warning", warning.String())
	}
	return g.Reload(loaded, by)
}

// CompareFile says what a reload would change now.
func (g *Gateway) CompareFile(ctx context.Context) (Comparison, error) {
	if g.file == "" {
		return Comparison{}, errors.New("this gateway was not started from a file")
	}
	loaded, err := config.Load(g.file)
	if err != nil {
		return Comparison{}, err
	}
	current := g.generation()
	admin := Admin{config: current.config, directory: current.directory, state: g.state}
	known, err := admin.knownLogins(ctx)
	if err != nil {
		return Comparison{}, err
	}
	return Compare(current.config, loaded, known), nil
}
