package certs

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, pairs ...Pair) *Store {
	t.Helper()
	s, err := loadAt(time.Now, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// loadAt opens a store of pairs for the domain mail.example.
func loadAt(now func() time.Time, pairs ...Pair) (*Store, error) {
	c := Config{Domain: "mail.example"}
	for _, pair := range pairs {
		c.Sources = append(c.Sources, newFiles(pair, c.Domain, now))
	}
	return Open(context.Background(), c)
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

func TestOpenNamesWhatIsWrong(t *testing.T) {
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
			_, err := loadAt(time.Now, test.pairs...)
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
	mail, smtp, wild := pairIn(folder, "mail"), pairIn(folder, "smtp"), pairIn(folder, "wild")
	issueTo(t, a, mail, "mail.example")
	issueTo(t, a, smtp, "smtp.example")
	issueTo(t, a, wild, "*.wild.example")
	s := load(t, wild, smtp, mail) // the domain is the last one
	for asked, want := range map[string]string{
		"mail.example":     "ECDSA mail.example",
		"smtp.example":     "ECDSA smtp.example",
		"SMTP.example":     "ECDSA smtp.example",
		"mail.example.":    "ECDSA mail.example",
		"unknown.example":  "ECDSA mail.example",
		"":                 "ECDSA mail.example",
		"a.wild.example":   "ECDSA *.wild.example",
		"a.b.wild.example": "ECDSA mail.example",
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

// reload gives the sources of what was taken up, and the error.
func reload(t *testing.T, s *Store) (taken []string, err error) {
	t.Helper()
	infos, err := s.Reload(t.Context())
	for _, i := range infos {
		taken = append(taken, i.Source)
	}
	return taken, err
}

func TestReloadTakesUpWhatIsGoodAndKeepsTheRest(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	one, two := pairIn(folder, "one"), pairIn(folder, "two")
	issueTo(t, a, one, "one.example")
	issueTo(t, a, two, "two.example")
	s := load(t, one, two)

	if taken, err := reload(t, s); taken != nil || err != nil {
		t.Fatalf("nothing changed: got %v, %v", taken, err)
	}

	write(t, one.Cert, []byte("half a cert"))
	issueTo(t, a, two, "two.example", "new.example")
	taken, err := reload(t, s)
	if !slices.Equal(taken, []string{"file " + two.Cert}) || err == nil || !strings.Contains(err.Error(), one.Cert) || strings.Contains(err.Error(), two.Cert) {
		t.Errorf("got %v, %v; want %s, and an error about %s alone", taken, err, two.Cert, one.Cert)
	}
	for asked, want := range map[string]string{"one.example": "ECDSA one.example", "new.example": "ECDSA two.example"} {
		if got := shown(t, s, asked); got != want {
			t.Errorf("asked for %s: got %s, want %s", asked, got, want)
		}
	}

	if err := os.Remove(one.Cert); err != nil {
		t.Fatal(err)
	}
	if taken, err := reload(t, s); taken != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a certificate was removed: got %v, %v; want no change and an error about the file", taken, err)
	}
	issueTo(t, a, one, "again.example", "one.example")
	if taken, err := reload(t, s); len(taken) != 1 || err != nil {
		t.Errorf("the certificate is back: got %v, %v; want a change", taken, err)
	}
	if got, want := shown(t, s, "one.example"), "ECDSA again.example"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestI35ABadCertificateChangesNothing: whatever is put into the place of a good certificate, the good one goes on, and the
// error names the file and what is wrong with it (threat model I-35).
func TestI35ABadCertificateChangesNothing(t *testing.T) {
	a := authority(t)
	stranger := pairIn(t.TempDir(), "stranger")
	issueTo(t, a, stranger, "mail.example")
	for name, test := range map[string]struct {
		replace func(t *testing.T, pair Pair)
		want    []string
	}{
		"expired": {func(t *testing.T, p Pair) {
			issueTo(t, authorityAt(t, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)), p, "mail.example")
		}, []string{"cert", "expired on 2020-12-31"}},
		"not yet valid": {func(t *testing.T, p Pair) {
			issueTo(t, authorityAt(t, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)), p, "mail.example")
		}, []string{"cert", "not valid before 2199-12-31"}},
		"another's key": {func(t *testing.T, p Pair) { write(t, p.Key, contents(t, stranger.Key)) }, []string{"key", "does not match"}},
		"not the domain": {func(t *testing.T, p Pair) { issueTo(t, a, p, "two.example", "other.example") },
			[]string{"cert", "two.example, other.example", "not for mail.example"}},
		"open key": {func(t *testing.T, p Pair) {
			issueTo(t, a, p, "mail.example")
			if err := os.Chmod(p.Key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{"key", "chmod 0600"}},
		"cut off": {func(t *testing.T, p Pair) { write(t, p.Cert, contents(t, p.Cert)[:100]) }, []string{"cert", "PEM"}},
		"gone":    {func(t *testing.T, p Pair) { _ = os.Remove(p.Key) }, []string{"key", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			pair := pairIn(t.TempDir(), "mail")
			issueTo(t, a, pair, "mail.example", "two.example")
			s := load(t, pair)
			before := s.Certificates()
			test.replace(t, pair)
			taken, err := reload(t, s)
			if taken != nil || err == nil {
				t.Fatalf("got %v, %v; want an error alone", taken, err)
			}
			for _, want := range test.want {
				want = strings.NewReplacer("cert", pair.Cert, "key", pair.Key).Replace(want)
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to contain %q", err, want)
				}
			}
			if diff := cmp.Diff(before, s.Certificates()); diff != "" {
				t.Errorf("what is shown changed (-want +got):\n%s", diff)
			}
			if got, want := shown(t, s, "mail.example"), "ECDSA mail.example"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestACertificateForOtherNamesIsNotTheNextOne(t *testing.T) {
	pair := pairIn(t.TempDir(), "smtp")
	a := authority(t)
	issueTo(t, a, pair, "smtp.example")
	s := load(t, pair)
	issueTo(t, a, pair, "shop.example")
	if _, err := reload(t, s); err == nil || !strings.Contains(err.Error(), "shop.example") || !strings.Contains(err.Error(), "smtp.example") {
		t.Errorf("got %v, want an error with both names", err)
	}
	if _, err := loadAt(time.Now, pair); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// Certbot and Kubernetes put a symbolic link in the place of another: /etc/letsencrypt/live/NAME/…, and ..data.
func TestReloadFollowsSymbolicLinks(t *testing.T) {
	folder := t.TempDir()
	a := authority(t)
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(folder, version), 0o700); err != nil {
			t.Fatal(err)
		}
		issueTo(t, a, pairIn(filepath.Join(folder, version), "tls"), "mail.example", version)
	}
	point := func(version string) {
		t.Helper()
		next := filepath.Join(folder, "..data_tmp")
		if err := errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(folder, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	point("v1")
	pair := pairIn(folder, "tls")
	for _, path := range []string{pair.Cert, pair.Key} {
		if err := os.Symlink(filepath.Join("..data", filepath.Base(path)), path); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, pair)
	point("v2")
	if taken, err := reload(t, s); len(taken) != 1 || err != nil {
		t.Fatalf("got %v, %v; want the other certificate", taken, err)
	}
	if got := s.Certificates()[0].Names; !slices.Contains(got, "v2") {
		t.Errorf("got a certificate for %v", got)
	}
}

func TestReloadTakesUpACertificateOnceItIsValid(t *testing.T) {
	pair := pairIn(t.TempDir(), "mail")
	now := time.Now()
	issueTo(t, authority(t), pair, "mail.example")
	s, err := loadAt(func() time.Time { return now }, pair)
	if err != nil {
		t.Fatal(err)
	}
	issueTo(t, authorityAt(t, now.Add(48*time.Hour)), pair, "mail.example")
	if taken, err := reload(t, s); taken != nil || err == nil {
		t.Errorf("too early: got %v, %v; want an error", taken, err)
	}
	now = now.Add(48 * time.Hour)
	if taken, err := reload(t, s); len(taken) != 1 || err != nil {
		t.Errorf("in time: got %v, %v; want a change", taken, err)
	}
}

// scripted is a source that fails as it is told.
type scripted struct {
	errs        []error // one for each time that it is asked
	certificate *tls.Certificate
	fresh       map[int]*tls.Certificate // asked for the nth time → what it has then
	asked       int
}

func (s *scripted) Refresh(context.Context) error {
	if c := s.fresh[s.asked]; c != nil {
		s.certificate = c
	}
	s.asked++
	return s.errs[s.asked-1]
}

func (s *scripted) Certificates() []*tls.Certificate     { return []*tls.Certificate{s.certificate} }
func (s *scripted) Look(context.Context) ([]Info, error) { return nil, nil }
func (s *scripted) String() string                       { return "script" }

// A failure is told once, and one that has passed by the next look is not: between a new certificate and its key, the two
// do not match.
func TestWatchReportsEachThingOnce(t *testing.T) {
	a := authority(t)
	one, two := issueTo(t, a, pairIn(t.TempDir(), "one"), "one.example"), issueTo(t, a, pairIn(t.TempDir(), "two"), "two.example")
	half, bad, worse := errors.New("half"), errors.New("bad"), errors.New("worse")
	source := &scripted{certificate: &one, errs: []error{nil, nil, half, nil, bad, bad, bad, worse, worse, nil, bad, bad},
		fresh: map[int]*tls.Certificate{3: &two}}
	s, err := Open(t.Context(), Config{Sources: []Source{source}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ticks, done := make(chan time.Time), make(chan struct{})
	var reports []string
	go func() {
		defer close(done)
		s.Watch(ctx, ticks, func(taken []Info, err error) { reports = append(reports, fmt.Sprint(len(taken), " ", err)) })
	}()
	for range len(source.errs) - 1 {
		ticks <- time.Time{}
	}
	stop()
	<-done
	if got, want := strings.Join(reports, "; "), "1 <nil>; 0 bad; 0 worse; 0 bad"; got != want {
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
		if _, err := s.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}
