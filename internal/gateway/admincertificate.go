package gateway

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"postern/certs"
)

// CertificateState is a certificate of a configuration, as it is now.
type CertificateState struct {
	certs.Info
	LegacyTLS bool   // it is for listeners with TLS below 1.2
	Problem   string // why it cannot be shown, in words; then there is nothing but its source
}

// Certificates gives the certificates that listeners show, or would show. It makes none.
func (a *Admin) Certificates(ctx context.Context) ([]CertificateState, error) {
	sources, err := a.certificateSources()
	if err != nil {
		return nil, err
	}
	var all []CertificateState
	for _, kind := range []struct {
		sources []certs.Source
		legacy  bool
	}{{sources.ordinary, false}, {sources.legacy, true}} {
		for _, source := range kind.sources {
			infos, err := source.Look(ctx)
			switch {
			case err != nil:
				all = append(all, CertificateState{certs.Info{Source: source.String()}, kind.legacy, err.Error()})
			case len(infos) == 0:
				all = append(all, CertificateState{certs.Info{Source: source.String()}, kind.legacy, "none yet: the running gateway gets it"})
			}
			for _, i := range infos {
				all = append(all, CertificateState{Info: i, LegacyTLS: kind.legacy})
			}
		}
	}
	return all, nil
}

// errNoPrivateCA says that a configuration has no use for a private CA.
var errNoPrivateCA = errors.New("this configuration has no private CA: write - private_ca: {} under certificates")

// PrivateCARoot gives the root of the private CA. It makes one where there is none yet, and with replace another one in
// its place.
func (a *Admin) PrivateCARoot(ctx context.Context, replace bool) (*certs.Authority, error) {
	sources, err := a.certificateSources()
	switch {
	case err != nil:
		return nil, err
	case sources.private == nil:
		return nil, errNoPrivateCA
	case replace:
		return sources.private.Replace(ctx)
	}
	return sources.private.Root(ctx)
}

func (a *Admin) certificateSources() (certificateSources, error) {
	log := slog.New(slog.DiscardHandler)
	return newCertificateSources(a.config, certificateVault{a.state.Store, log}, a.state.Audit.Record, a.by, log)
}

// certificateStops looks at the certificates of the listeners, and at the root of the private CA.
func (a *Admin) certificateStops(ctx context.Context, _ time.Time) ([]Stop, error) {
	all, err := a.Certificates(ctx)
	var stops []Stop
	for _, c := range all {
		stops = append(stops, c.stop())
	}
	if err != nil {
		return stops, err
	}
	sources, err := a.certificateSources()
	if err != nil || sources.private == nil {
		return stops, err
	}
	root, err := sources.private.Look(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return stops, nil
	}
	return append(stops, Stop{"private-ca-root", "root of the private CA", root.NotAfter, "the root ends, and clients refuse all that it has signed",
		"postern certificate root --replace makes another one; install it in the devices"}), err
}

// stop says when a certificate ends.
func (c CertificateState) stop() Stop {
	subject := "certificate " + strings.TrimPrefix(c.Source, "file ")
	if c.Name() != "" && c.Renewed {
		subject = "certificate for " + c.Name() + ", " + c.Source
	}
	switch {
	case c.Problem != "":
		return Stop{Kind: "gateway-certificate", Subject: subject, Why: c.Problem, Remedy: "postern certificate list shows all of them"}
	case c.Renewed:
		return Stop{"gateway-certificate", subject, c.NotAfter, "the certificate ends, and clients refuse it",
			"a gateway that runs renews it in time; where it does not, its log says why"}
	}
	return Stop{"gateway-certificate", subject, c.NotAfter, "the certificate ends, and clients refuse it",
		"put a new one into the file; the running gateway takes it up"}
}
