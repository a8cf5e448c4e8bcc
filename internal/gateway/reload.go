package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/audit"
	"postern/internal/config"
)

// change is what a part of the gateway will do for the next generation. Until commit nothing that a client could see is
// different; discard gives up what was opened for it.
type change struct {
	commit  func()   // cannot fail; nil where there is nothing to do
	discard func()   // likewise
	serves  []string // the addresses that clients will be served on, in words
}

// part is something of the gateway that follows the configuration. It prepares a change from the generation that is in
// force to the next one; for an error, which names the setting, nothing of the next one comes into force.
type part func(before, next *generation) (change, error)

// parts are all that a reload changes, in the order in which it does. What others stand on comes first.
func (g *Gateway) parts() []part {
	return []part{
		g.certificates.part,
		g.upstreamsPart,
		g.admissionPart,
		g.listeners.part,
		g.directoryPart,
		g.portalPart,
		g.trail.part,
		g.monitoringPart,
	}
}

// prepare has every part prepare its change. After an error nothing has changed.
func (g *Gateway) prepare(before, next *generation) ([]change, error) {
	var changes []change
	for _, prepare := range g.parts() {
		c, err := prepare(before, next)
		if err != nil {
			discard(changes)
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// commit puts changes in place, in their order.
func commit(changes []change) {
	for _, c := range changes {
		if c.commit != nil {
			c.commit()
		}
	}
}

// discard gives up changes, the last first.
func discard(changes []change) {
	for i := len(changes) - 1; i >= 0; i-- {
		if changes[i].discard != nil {
			changes[i].discard()
		}
	}
}

// Reloaded says what a reload has changed.
type Reloaded struct {
	Comparison
	Before string `json:"before"` // SHA-256 of the file that was in force, in hex
	After  string `json:"after"`
	Cut    int    `json:"sessions_cut"` // sessions that had nothing to stand on any more
}

// Reload puts another configuration in the place of the one that the gateway runs with. It is built whole first: after
// an error, which says what is in the way, everything goes on as it was. Sessions go on, unless what they stand on is not
// there any more: see [auth.Directory.Upholds]. What cannot change while the gateway runs stays as it is. by is who wants
// it, for the audit log, in which it is before it is done.
//
// It is safe for concurrent use; one reload follows the other.
func (g *Gateway) Reload(c *config.Config, by string) (Reloaded, error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.stopping.Load() || g.succeeded() {
		return Reloaded{}, errors.New("the gateway is stopping")
	}
	before := g.generation()
	asked := *c
	waiting := keepFixed(c, before.config)
	next, err := newGeneration(c, before)
	if err != nil {
		return Reloaded{}, err
	}
	done := Reloaded{Comparison: compare(before, next, nil), Before: before.config.Digest, After: c.Digest}
	done.Settings, done.Waiting = config.Differences(before.config, &asked), waiting
	changes, err := g.prepare(before, next)
	if err != nil {
		return Reloaded{}, err
	}
	event := audit.ConfigurationChanged{Before: done.Before, After: done.After, Changes: done.summary(), Waiting: waiting, By: by}
	if err := g.state.Audit.Record(event); err != nil {
		discard(changes)
		return Reloaded{}, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	commit(changes)
	done.Cut = g.cutUnfounded(before, next)
	return done, nil
}

// fixed are the settings of the top level that cannot change while a gateway runs.
var fixed = []string{"domain", "store", "store_password_file", "store_password_env", "store_password_credential", "keys_file",
	"audit_file", "audit", "spool", "admin_socket"}

// keepFixed has a configuration keep what cannot change while a gateway runs, and gives the settings that are different.
func keepFixed(next, running *config.Config) []string {
	var different []string
	for _, d := range config.Differences(running, next) {
		if top, _, _ := strings.Cut(d.Setting, "."); slices.Contains(fixed, top) {
			different = append(different, d.Setting)
		}
	}
	next.Domain, next.Store, next.KeysFile = running.Domain, running.Store, running.KeysFile
	next.StorePasswordFile, next.StorePasswordEnv = running.StorePasswordFile, running.StorePasswordEnv
	next.StorePasswordCredential = running.StorePasswordCredential
	next.AuditFile, next.Audit = running.AuditFile, running.Audit
	next.Spool, next.AdminSocket = running.Spool, running.AdminSocket
	return different
}

// upstreamsPart has tokens come from the next generation's providers, and mail go to them.
func (g *Gateway) upstreamsPart(before, next *generation) (change, error) {
	return change{commit: func() {
		g.tokens.SetProviders(next.upstreams.tokens())
		g.current.Store(next)
		for name := range next.upstreams.moved(before.upstreams) {
			g.smtp.Leave(name)
		}
	}}, nil
}

// directoryPart has sign-ins decided by the next generation.
func (g *Gateway) directoryPart(_, next *generation) (change, error) {
	return change{commit: func() { g.gate.SetDirectory(next.directory) }}, nil
}

// admissionPart has connections counted by the next generation's limits.
func (g *Gateway) admissionPart(_, next *generation) (change, error) {
	limits := affordable(next.config.Limits, g.log)
	return change{commit: func() { g.admission.setLimits(limits) }}, nil
}
