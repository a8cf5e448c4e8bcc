package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a vault in memory.
type memory struct {
	mu     sync.Mutex
	items  map[string][]byte
	locks  map[string]*sync.Mutex
	broken error
}

func newMemory() *memory {
	return &memory{items: make(map[string][]byte), locks: make(map[string]*sync.Mutex)}
}

func (m *memory) Load(_ context.Context, name string) (Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, found := m.items[name]
	if m.broken != nil {
		return Item{}, m.broken
	}
	if !found {
		return Item{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return Item{Name: name, Content: bytes.Clone(content)}, nil
}

func (m *memory) Store(_ context.Context, name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[name] = bytes.Clone(content)
	return m.broken
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, name)
	return nil
}

func (m *memory) List(context.Context, string) ([]Item, error) {
	return nil, errors.New("not asked for")
}

func (m *memory) Lock(_ context.Context, name string) (func(), error) {
	m.mu.Lock()
	lock := m.locks[name]
	if lock == nil {
		lock = new(sync.Mutex)
		m.locks[name] = lock
	}
	m.mu.Unlock()
	lock.Lock()
	return lock.Unlock, nil
}

func privateCA(vault Vault, now func() time.Time, names ...string) (ca *PrivateCA, made *int) {
	made = new(int)
	ca = NewPrivateCA(vault, names, func(Info) error { *made++; return nil })
	ca.now = now
	return ca, made
}

func TestPrivateCAIssuesForModernAndOldClients(t *testing.T) {
	vault := newMemory()
	ca, made := privateCA(vault, time.Now, "mail.contoso.com", "10.0.8.2")
	ordinary, err := Open(t.Context(), Config{Domain: "mail.contoso.com", Sources: []Source{ca.Certificates([]string{"mail.contoso.com", "10.0.8.2"}, Modern, Compatible)}})
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := Open(t.Context(), Config{Sources: []Source{ca.Certificates([]string{"mail.contoso.com"}, Legacy)}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.Root(t.Context())
	if err != nil || *made != 1 {
		t.Fatalf("got %d roots, %v; want one", *made, err)
	}
	if left := root.root.NotAfter.Sub(time.Now()); left < 9*365*24*time.Hour || root.root.NotAfter.Year() >= 2038 && time.Now().Year() < 2028 {
		t.Errorf("the root ends on %v", root.root.NotAfter)
	}
	for name, test := range map[string]struct {
		server *tls.Config
		change func(*tls.Config)
		want   x509.PublicKeyAlgorithm
	}{
		"modern":     {ServerTLS(ordinary.GetCertificate), func(*tls.Config) {}, x509.ECDSA},
		"by address": {ServerTLS(ordinary.GetCertificate), func(c *tls.Config) { c.ServerName = "10.0.8.2" }, x509.ECDSA},
		"RSA only": {ServerTLS(ordinary.GetCertificate), func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}, x509.RSA},
		"TLS 1.0": {LegacyTLS(legacy.GetCertificate), func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS10, tls.VersionTLS10, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}, x509.RSA},
	} {
		client := UpstreamTLS("mail.contoso.com", root.Roots())
		test.change(client)
		_, state, err := handshake(t, test.server, client)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := state.PeerCertificates[0].PublicKeyAlgorithm; got != test.want {
			t.Errorf("%s: got a key of %v, want %v", name, got, test.want)
		}
	}
	if a, b := ordinary.Certificates(), legacy.Certificates(); len(a) != 2 || len(b) != 1 || a[1].SHA256 == b[0].SHA256 {
		t.Errorf("got %v and %v; want a certificate of its own for old TLS", a, b)
	}
	if taken, err := ordinary.Reload(t.Context()); taken != nil || err != nil {
		t.Errorf("nothing is due: got %v, %v", taken, err)
	}
}

func TestPrivateCARenewsAfterTwoThirds(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ca, _ := privateCA(newMemory(), func() time.Time { return now }, "mail.contoso.com")
	source := ca.Certificates([]string{"mail.contoso.com"}, Modern)
	end := func() time.Time {
		t.Helper()
		if err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return source.Certificates()[0].Leaf.NotAfter
	}
	first := end()
	now = now.Add(240 * 24 * time.Hour)
	if got := end(); !got.Equal(first) {
		t.Errorf("renewed after 240 days of 365")
	}
	now = now.Add(5 * 24 * time.Hour)
	if got := end(); got.Sub(now) != leafLife {
		t.Errorf("after 245 days it ends at %v, want a year from %v", got, now)
	}
	now = now.AddDate(9, 3, 0) // the root's last months
	root, err := ca.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := end()
	if !last.Equal(root.root.NotAfter) {
		t.Errorf("got a certificate to %v of a root to %v", last, root.root.NotAfter)
	}
	now = now.AddDate(0, 1, 0)
	if got := source.Certificates()[0]; !end().Equal(last) || source.Certificates()[0] != got {
		t.Error("it is renewed though that helps nobody")
	}
}

func TestPrivateCAIsSharedAndReplaced(t *testing.T) {
	vault := newMemory()
	one, madeOne := privateCA(vault, time.Now, "mail.contoso.com")
	two, madeTwo := privateCA(vault, time.Now, "mail.contoso.com")
	var all sync.WaitGroup
	sources := []Source{one.Certificates([]string{"mail.contoso.com"}, Modern), two.Certificates([]string{"mail.contoso.com"}, Modern)}
	for _, s := range sources {
		all.Go(func() {
			if err := s.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if *madeOne+*madeTwo != 1 {
		t.Errorf("got %d roots, want one", *madeOne+*madeTwo)
	}
	show := func(s Source) []byte { return s.Certificates()[0].Leaf.Raw }
	if !bytes.Equal(show(sources[0]), show(sources[1])) {
		t.Error("two gateways show different certificates")
	}
	before := show(sources[0])
	root, err := one.Replace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sources[1].Refresh(t.Context()), sources[0].Refresh(t.Context())); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, show(sources[0])) || !bytes.Equal(show(sources[0]), show(sources[1])) || sources[0].Certificates()[0].Leaf.CheckSignatureFrom(root.root) != nil {
		t.Error("they do not show a certificate of the new root")
	}
}

func TestPrivateCARootIsBound(t *testing.T) {
	vault := newMemory()
	ca, _ := privateCA(vault, time.Now, "mail.contoso.co.uk", "*.scan.contoso.co.uk", "203.0.113.7")
	root, err := ca.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := root.root.PermittedDNSDomains; !slices.Equal(got, []string{"contoso.co.uk"}) || root.root.PermittedDNSDomainsCritical {
		t.Errorf("got domains %v, critical %v", got, root.root.PermittedDNSDomainsCritical)
	}
	for name, good := range map[string]bool{
		"smtp.contoso.co.uk": true, "192.168.1.4": true, "fd00::1": true, "203.0.113.7": true,
		"mail.example": false, "www.gov.uk": false, "203.0.113.8": false, "2001:db8::1": false,
	} {
		err := ca.Certificates([]string{name}, Modern).Refresh(t.Context())
		if good && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !good && (err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "root --replace")) {
			t.Errorf("%s: got %v, want an error with the name and what to do", name, err)
		}
	}
}

// What cannot be recorded is not done, and what the store does not give is not made anew.
func TestPrivateCAMakesNoRootInDoubt(t *testing.T) {
	vault := newMemory()
	broken := errors.New("disk full")
	ca := NewPrivateCA(vault, []string{"mail.contoso.com"}, func(Info) error { return broken })
	if _, err := ca.Root(t.Context()); !errors.Is(err, broken) || len(vault.items) != 0 {
		t.Errorf("got %v and %d items; want the error, and nothing kept", err, len(vault.items))
	}
	ca, made := privateCA(vault, time.Now, "mail.contoso.com")
	vault.broken = errors.New("it does not open")
	if err := ca.Certificates([]string{"mail.contoso.com"}, Modern).Refresh(t.Context()); !errors.Is(err, vault.broken) || *made != 0 {
		t.Errorf("got %v and %d roots; want the error alone", err, *made)
	}
}
