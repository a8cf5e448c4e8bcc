package gateway

import (
	"time"

	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/keys"
)

// trailPart has the audit log kept as the next generation says. It is kept from the first one on, which comes into force once
// the start of the gateway is in the log.
func (g *Gateway) trailPart(_, next *generation) (change, error) {
	c := next.config.Audit
	keeping := audit.Keeping{
		HeadEvery: time.Duration(c.Heads.Every), Copies: c.Heads.Copies,
		RotateSize: int64(c.Rotate.Size), RotateAge: time.Duration(c.Rotate.Age),
		KeepSize: int64(c.Keep.Size), KeepAge: time.Duration(c.Keep.Age),
	}
	return change{commit: func() {
		if g.trail == nil {
			g.trail = audit.Keep(g.state.Audit, keeping, g.log)
			return
		}
		g.trail.Change(keeping)
	}}, nil
}

// closeTrail signs the log once more, if it is kept. A second call does nothing.
func (g *Gateway) closeTrail() error {
	if g.trail == nil {
		return nil
	}
	return g.trail.Close()
}

// trailNotes says what is wrong with the keeping of the audit log.
func (g *Gateway) trailNotes() map[string]string {
	notes := map[string]string{}
	if err := g.trail.Err(); err != nil {
		notes["audit-log"] = err.Error()
	}
	return notes
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
