package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"postern/internal/audit"
	"postern/internal/audit/syslog"
	"postern/internal/config"
	"postern/internal/keys"
	"postern/internal/metrics"
)

// trail keeps the audit log, and sends it on.
type trail struct {
	state *State
	log   *slog.Logger

	mu     sync.Mutex
	keeper *audit.Keeper // nil before begin
	sink   *syslog.Sink  // nil where the log is not sent on
	made   config.Syslog // what the sink was made of
	err    error         // why there is no sink, where the configuration wants one
}

// part has the audit log kept and sent on as the next generation says, once that has begun.
func (t *trail) part(_, next *generation) (change, error) {
	return change{commit: func() {
		if keeper := t.kept(); keeper != nil {
			t.send(next.config)
			keeper.Change(t.keeping(next.config))
		}
	}}, nil
}

// begin has the audit log kept and sent on as a configuration says. One process does that at a time, and the start of the gateway
// is in the log by then.
func (t *trail) begin(c *config.Config) {
	t.send(c)
	keeper := audit.Keep(t.state.Audit, t.keeping(c), t.log)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keeper = keeper
}

// kept gives the keeper; nil before begin.
func (t *trail) kept() *audit.Keeper {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keeper
}

// keeping says how a configuration wants the log to be kept.
func (t *trail) keeping(of *config.Config) audit.Keeping {
	c := of.Audit
	keeping := audit.Keeping{
		HeadEvery: time.Duration(c.Heads.Every), Copies: c.Heads.Copies,
		RotateSize: int64(c.Rotate.Size), RotateAge: time.Duration(c.Rotate.Age),
		KeepSize: int64(c.Keep.Size), KeepAge: time.Duration(c.Keep.Age),
	}
	if c.Syslog != nil {
		keeping.Received, keeping.Unsent = t.received, int64(c.Syslog.Unsent)
	}
	return keeping
}

// send has the log go to the receiver that a configuration names.
func (t *trail) send(c *config.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := c.Audit.Syslog
	if t.sink != nil && s != nil && reflect.DeepEqual(t.made, *s) {
		return
	}
	if t.sink != nil {
		t.sink.Close()
	}
	t.sink, t.err = nil, nil
	if s == nil {
		return
	}
	t.made = *s
	t.sink, t.err = syslog.Start(syslog.Config{
		Log: c.AuditFile, Host: c.Domain, Address: s.Address, Program: t.log,
		TLS: &tls.Config{ServerName: s.ServerName, RootCAs: s.Roots, Certificates: s.Certificates},
	})
	if t.err != nil {
		t.log.Error("the audit log is not sent on", "error", t.err)
	}
}

// received gives the number of the last line that the receiver has had. While there is no sink nothing more counts as received.
func (t *trail) received() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sink == nil {
		return 0
	}
	return t.sink.Received()
}

// close signs the log once more, if it is kept, and sends what is under way. A second call does nothing.
func (t *trail) close() (err error) {
	if keeper := t.kept(); keeper != nil {
		err = keeper.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sink != nil {
		t.sink.Close()
		t.sink = nil
	}
	return err
}

// notes says how the audit log is sent on, and what is wrong with its keeping.
func (t *trail) notes() map[string]string {
	notes := map[string]string{}
	if err := t.kept().Err(); err != nil {
		notes["audit-log"] = err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		notes["audit-syslog"] = "not sent: " + t.err.Error()
	case t.sink != nil:
		notes["audit-syslog"] = fmt.Sprintf("%s; behind: %d lines", t.sink.Status(), t.state.Audit.Last()-t.sink.Received())
	}
	return notes
}

// figures says the same for the figures.
func (t *trail) figures() metrics.Audit {
	a := metrics.Audit{Kept: t.kept().Err() == nil}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sink != nil {
		status := t.sink.Status()
		a.Syslog = &metrics.Syslog{Up: status.Up, Behind: max(0, t.state.Audit.Last()-status.Received), Missed: status.Missed}
	}
	return a
}

// AuditVerifiers gives the keys that verify the audit log of a configuration: in the form that postern audit key prints, the
// newest first.
func AuditVerifiers(c *config.Config) ([]string, error) {
	ring, err := keys.Open(c.KeysFile)
	if err != nil {
		return nil, err
	}
	log, err := audit.LogID(c.AuditFile)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, public := range ring.Verifiers() {
		key, err := audit.VerifierKey(log, public)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, nil
}

// AuditTrust gives the keys of a configuration, to verify the audit log with.
func AuditTrust(c *config.Config) (audit.Verifiers, error) {
	ring, err := keys.Open(c.KeysFile)
	if err != nil {
		return audit.Verifiers{}, err
	}
	return audit.VerifiersOf(ring), nil
}

// SignAudit signs the newest line of the audit log now. Of a log whose newest line is signed already, the head is zero.
func (a *Admin) SignAudit() (audit.Head, error) { return a.state.Audit.SignHead() }
