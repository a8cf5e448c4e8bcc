package gateway

import (
	"errors"

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

// Reload puts another configuration in the place of the one that the gateway runs with. It is built whole first: after
// an error, which says what is in the way, everything goes on as it was. Sessions go on, unless what they stand on is not
// there any more: see [auth.Directory.Upholds]. What cannot change while the gateway runs stays as it is, and is in the
// log.
//
// It is safe for concurrent use; one reload follows the other.
func (g *Gateway) Reload(c *config.Config) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.stopping.Load() {
		return errors.New("the gateway is stopping")
	}
	before := g.generation()
	for _, setting := range keepFixed(c, before.config) {
		g.log.Warn("a changed setting waits for the next start", "setting", setting)
	}
	next, err := newGeneration(c, before)
	if err != nil {
		return err
	}
	changes, err := g.prepare(before, next)
	if err != nil {
		return err
	}
	commit(changes)
	g.cutUnfounded(before, next)
	g.log.Info("configuration reloaded", "before", before.config.Digest, "after", c.Digest)
	return nil
}

// keepFixed has a configuration keep what cannot change while a gateway runs, and gives the settings that are different.
func keepFixed(next, running *config.Config) []string {
	var different []string
	for _, fixed := range []struct {
		setting       string
		next, running *string
	}{
		{"domain", &next.Domain, &running.Domain},
		{"store", &next.Store, &running.Store},
		{"keys_file", &next.KeysFile, &running.KeysFile},
		{"audit_file", &next.AuditFile, &running.AuditFile},
		{"spool", &next.Spool, &running.Spool},
		{"admin_socket", &next.AdminSocket, &running.AdminSocket},
	} {
		if *fixed.next != *fixed.running {
			different = append(different, fixed.setting)
			*fixed.next = *fixed.running
		}
	}
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
