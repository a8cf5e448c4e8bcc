package certs

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func load(t *testing.T, pairs ...Pair) *Store {
	t.Helper()
	s, err := LoadFiles(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shown gives the first name of the certificate that a client gets which asks for host.
func shown(t *testing.T, s *Store, host string) string {
	t.Helper()
	return shownTo(t, s, &tls.Config{ServerName: host})
}

func shownTo(t *testing.T, s *Store, client *tls.Config) string {
	t.Helper()
	client.InsecureSkipVerify = true // the test is about the choice, wrong names included
	_, state, err := handshake(t, ServerTLS(s.GetCertificate), client)
	if err != nil {
		t.Fatal(err)
	}
	leaf := state.PeerCertificates[0]
	return leaf.PublicKeyAlgorithm.String() + " " + leaf.DNSNames[0]
}

func TestLoadFilesNamesWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	good, other := pairIn(folder, "good"), pairIn(folder, "other")
	issueTo(t, a, good, "mail.example")
	issueTo(t, a, other, "other.example")
	old, early := pairIn(folder, "old"), pairIn(folder, "early")
	issueTo(t, authorityAt(t, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)), old, "mail.example")
	issueTo(t, authorityAt(t, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)), early, "mail.example")
	empty, encrypted := filepath.Join(folder, "empty.pem"), filepath.Join(folder, "encrypted.key")
	write(t, empty, nil)
	write(t, encrypted, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))

	for name, test := range map[string]struct {
		pairs []Pair
		want  []string // all of these are in the error
	}{
		"none":                {nil, []string{"no certificate is configured"}},
		"no certificate file": {[]Pair{{filepath.Join(folder, "absent.pem"), good.Key}}, []string{"absent.pem", "no such file"}},
		"no key file":         {[]Pair{{good.Cert, filepath.Join(folder, "absent.key")}}, []string{"absent.key", "no such file"}},
		"another's key":       {[]Pair{{good.Cert, other.Key}}, []string{good.Cert, other.Key, "does not match"}},
		"empty certificate":   {[]Pair{{empty, good.Key}}, []string{empty, "failed to find any PEM data"}},
		"empty key":           {[]Pair{{good.Cert, empty}}, []string{empty, "failed to find any PEM data"}},
		"swapped":             {[]Pair{{good.Key, good.Cert}}, []string{good.Key, "may have been switched"}},
		"encrypted key":       {[]Pair{{good.Cert, encrypted}}, []string{encrypted, "passphrase", "openssl pkey"}},
		"expired":             {[]Pair{old}, []string{old.Cert, "expired on 2020-12-31", "renew"}},
		"not yet valid":       {[]Pair{early}, []string{early.Cert, "not valid before 2199-12-31", "clock"}},
		"two of three":        {[]Pair{old, good, early}, []string{old.Cert, early.Cert}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadFiles(test.pairs)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestCertificateIsChosenByName(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	mail, smtp := pairIn(folder, "mail"), pairIn(folder, "smtp")
	issueTo(t, a, mail, "mail.example")
	issueTo(t, a, smtp, "smtp.example")
	s := load(t, mail, smtp)
	for asked, want := range map[string]string{
		"mail.example":    "ECDSA mail.example",
		"smtp.example":    "ECDSA smtp.example",
		"SMTP.example":    "ECDSA smtp.example",
		"unknown.example": "ECDSA mail.example",
		"":                "ECDSA mail.example",
	} {
		if got := shown(t, s, asked); got != want {
			t.Errorf("asked for %q: got %s, want %s", asked, got, want)
		}
	}
}

func TestCertificateIsOneThatTheClientCanVerify(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	rsa, ecdsa, other := pairIn(folder, "rsa"), pairIn(folder, "ecdsa"), pairIn(folder, "other")
	issueRSA(t, a, rsa, "mail.example")
	issueTo(t, a, ecdsa, "mail.example")
	issueTo(t, a, other, "other.example")
	s := load(t, other, rsa, ecdsa)

	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for name, test := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"modern":                 {&tls.Config{ServerName: "mail.example"}, "ECDSA mail.example"},
		"RSA only":               {&tls.Config{ServerName: "mail.example", MaxVersion: tls.VersionTLS12, CipherSuites: rsaOnly}, "RSA mail.example"},
		"RSA only and nameless":  {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: rsaOnly}, "RSA mail.example"},
		"RSA only, ECDSA's name": {&tls.Config{ServerName: "other.example", MaxVersion: tls.VersionTLS12, CipherSuites: rsaOnly}, "RSA mail.example"},
	} {
		if got := shownTo(t, s, test.client); got != test.want {
			t.Errorf("%s client: got %s, want %s", name, got, test.want)
		}
	}
}

func TestReloadTakesUpWhatIsGoodAndKeepsTheRest(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	one, two := pairIn(folder, "one"), pairIn(folder, "two")
	issueTo(t, a, one, "one.example")
	issueTo(t, a, two, "two.example")
	s := load(t, one, two)

	if changed, err := s.Reload(); changed || err != nil {
		t.Fatalf("nothing changed: got %v, %v", changed, err)
	}

	write(t, one.Cert, []byte("half a cert"))
	issueTo(t, a, two, "new.example")
	changed, err := s.Reload()
	if !changed || err == nil || !strings.Contains(err.Error(), one.Cert) || strings.Contains(err.Error(), two.Cert) {
		t.Errorf("got %v, %v; want a change, and an error about %s alone", changed, err, one.Cert)
	}
	for asked, want := range map[string]string{"one.example": "ECDSA one.example", "new.example": "ECDSA new.example"} {
		if got := shown(t, s, asked); got != want {
			t.Errorf("asked for %s: got %s, want %s", asked, got, want)
		}
	}

	if err := os.Remove(one.Cert); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Reload(); changed || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a certificate was removed: got %v, %v; want no change and an error about the file", changed, err)
	}
	issueTo(t, a, one, "one.again.example")
	if changed, err := s.Reload(); !changed || err != nil {
		t.Errorf("the certificate is back: got %v, %v; want a change", changed, err)
	}
	if got, want := shown(t, s, "one.again.example"), "ECDSA one.again.example"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReloadTakesUpACertificateOnceItIsValid(t *testing.T) {
	pair := pairIn(t.TempDir(), "mail")
	now := time.Now()
	issueTo(t, authority(t), pair, "old.example")
	s, err := loadFiles([]Pair{pair}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	issueTo(t, authorityAt(t, now.Add(48*time.Hour)), pair, "new.example")
	if changed, err := s.Reload(); changed || err == nil {
		t.Errorf("too early: got %v, %v; want an error", changed, err)
	}
	now = now.Add(48 * time.Hour)
	if changed, err := s.Reload(); !changed || err != nil {
		t.Errorf("in time: got %v, %v; want a change", changed, err)
	}
}

func TestWatchReportsEachThingOnce(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	pair := pairIn(folder, "mail")
	issueTo(t, a, pair, "mail.example")
	s := load(t, pair)

	var reports []string
	ctx, stop := context.WithCancel(context.Background())
	ticks, done := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, ticks, func(changed bool, err error) {
			if err != nil {
				reports = append(reports, "failed")
			} else if changed {
				reports = append(reports, "changed")
			}
		})
	}()
	// The watcher takes a tick only when it is done with the one before, so that two ticks mean one whole look.
	look := func() { ticks <- time.Time{}; ticks <- time.Time{} }

	look()
	write(t, pair.Cert, []byte("bad"))
	look()
	look()
	issueTo(t, a, pair, "new.example")
	look()
	write(t, pair.Cert, []byte("bad"))
	look()
	stop()
	<-done
	if got, want := strings.Join(reports, " "), "failed changed failed"; got != want {
		t.Errorf("got reports %q, want %q", got, want)
	}
}

func TestReloadUnderHandshakes(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	one, two := pairIn(folder, "one"), pairIn(folder, "two")
	issueTo(t, a, one, "mail.example")
	issueTo(t, a, two, "two.example")
	s := load(t, one, two)
	server := ServerTLS(s.GetCertificate)

	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 20 {
				if _, _, err := handshake(t, server, UpstreamTLS("mail.example", a.Roots())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 40 {
		issueTo(t, a, one, "mail.example")
		if _, err := s.Reload(); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}
