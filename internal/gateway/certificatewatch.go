package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"postern/certs"
	"postern/internal/audit"
)

// certificateCheck is how often certificates are looked at: for new ones, and for their end.
const certificateCheck = 10 * time.Second

// certificateWatch looks after the certificates of a store.
type certificateWatch struct {
	store  *certs.Store
	legacy bool
	expiry certs.Expiry
	record func(audit.Event) error
	log    *slog.Logger
}

// run takes up new certificates, and warns of those that end, until ctx ends.
func (w *certificateWatch) run(ctx context.Context) {
	ticks := make(chan time.Time)
	var ticking sync.WaitGroup
	ticking.Go(func() { w.tick(ctx, ticks) })
	w.store.Watch(ctx, ticks, w.report)
	ticking.Wait()
}

// tick warns of certificates that end, and has the store look for new ones, every now and then.
func (w *certificateWatch) tick(ctx context.Context, ticks chan<- time.Time) {
	ticker := time.NewTicker(certificateCheck)
	defer ticker.Stop()
	for now := time.Now(); ; {
		w.warn(now)
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
		select {
		case <-ctx.Done():
			return
		case ticks <- now:
		}
	}
}

// report tells of certificates that clients see from now on, and of what is wrong with one that they will not see.
func (w *certificateWatch) report(taken []certs.Info, problem error) {
	var err error
	for _, c := range taken {
		err = errors.Join(err, w.record(audit.CertificateShown{Certificate: w.event(c)}))
		w.log.Info("certificate shown", "source", c.Source, "names", c.Names, "key", c.Key, "expires", c.NotAfter)
	}
	if problem != nil {
		err = errors.Join(err, w.record(audit.CertificateRefused{Reason: problem.Error(), Legacy: w.legacy}))
		w.log.Error("a new certificate is not used; the one before it goes on", "error", problem)
	}
	w.recorded(err)
}

// warn tells of certificates that end soon.
func (w *certificateWatch) warn(now time.Time) {
	for _, c := range w.expiry.Due(w.store.Certificates(), now) {
		level, message := slog.LevelWarn, "a certificate ends soon"
		if c.Days <= 1 {
			level = slog.LevelError
		}
		if c.Days == 0 {
			message = "a certificate has ended, and clients refuse it"
		}
		w.log.Log(context.Background(), level, message, "source", c.Source, "names", c.Names, "expires", c.NotAfter)
		w.recorded(w.record(audit.CertificateExpiring{Certificate: w.event(c.Info), Days: c.Days}))
	}
}

// recorded logs that a line of the audit log is missing: the certificate is there whether it is recorded or not.
func (w *certificateWatch) recorded(err error) {
	if err != nil {
		w.log.Error("an event about a certificate is missing in the audit log", "error", err)
	}
}

func (w *certificateWatch) event(c certs.Info) audit.Certificate {
	return audit.Certificate{Source: c.Source, Names: c.Names, Key: c.Key, Issuer: c.Issuer, Expires: c.NotAfter, SHA256: c.SHA256, Legacy: w.legacy}
}
