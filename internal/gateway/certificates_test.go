package gateway

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/certs"
	"postern/internal/audit"
)

// pairFor writes a certificate for hosts and its key into files.
func pairFor(t *testing.T, a *certs.Authority, pair certs.Pair, hosts ...string) {
	t.Helper()
	_, certPEM, keyPEM, err := a.Issue(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{pair.Cert: certPEM, pair.Key: keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestI35CertificatesAreOnRecord: each certificate that clients see, each that is refused and each that ends soon is one
// event.
func TestI35CertificatesAreOnRecord(t *testing.T) {
	folder := t.TempDir()
	a, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair := certs.Pair{Cert: filepath.Join(folder, "mail.pem"), Key: filepath.Join(folder, "mail.key")}
	pairFor(t, a, pair, "mail.example")
	store, err := certs.Open(t.Context(), certs.Config{Domain: "mail.example", Sources: []certs.Source{certs.Files(pair, "mail.example")}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	w := &certificateWatch{store: store, log: slog.New(slog.DiscardHandler), record: func(e audit.Event) error {
		text := e.Kind()
		switch e := e.(type) {
		case audit.CertificateRefused:
			text += " " + strings.ReplaceAll(e.Reason, folder, "")
		case audit.CertificateShown:
			text += " " + strings.Join(e.Names, " ") + " " + e.Key
		}
		got = append(got, text)
		return nil
	}}
	w.report(store.Certificates(), nil)
	pairFor(t, a, pair, "www.example")
	w.report(store.Reload(t.Context()))
	pairFor(t, a, pair, "mail.example", "imap.example")
	w.report(store.Reload(t.Context()))
	for _, days := range []int{-40, -29, -28, -6, 1} {
		w.warn(store.Certificates()[0].NotAfter.AddDate(0, 0, days))
	}
	want := []string{
		"certificate-shown mail.example ECDSA P-256",
		`certificate-refused certificate "/mail.pem": it is for www.example, and not for mail.example as the one before it: put the right one there`,
		"certificate-shown mail.example imap.example ECDSA P-256",
		"certificate-expiring", "certificate-expiring", "certificate-expiring",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	var c certificates
	c.ordinary.store.Store(store)
	c.legacy.store.Store(store)
	figures := c.figures()
	if len(figures) != 1 || figures[0].Name != "mail.example" || figures[0].NotAfter.Before(time.Now()) {
		t.Errorf("got figures %v, want one", figures)
	}
}
