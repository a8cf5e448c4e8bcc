package auth

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/keys"
	"postern/internal/secret"
	"postern/internal/store"
	"postern/internal/throttle"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// passwords and guesses are the store as the packages want it; package gateway has the like.
type passwords struct{ *store.Store }

func (s passwords) AddPassword(ctx context.Context, r apppassword.Record, hash []byte) error {
	return s.Store.AddPassword(ctx, store.Password{ID: r.ID, Login: r.Login, Label: r.Label, Protocols: r.Protocols, Networks: r.Networks,
		Created: r.Created, Expires: r.Expires, Evidence: store.Evidence(r.Evidence)}, hash)
}

func (s passwords) PasswordByHash(ctx context.Context, hashes [][]byte) (apppassword.Record, bool, error) {
	p, found, err := s.Store.PasswordByHash(ctx, hashes)
	return apppassword.Record{ID: p.ID, Login: p.Login, Label: p.Label, Protocols: p.Protocols, Networks: p.Networks,
		Created: p.Created, Expires: p.Expires, Revoked: p.Revoked, Evidence: apppassword.Evidence(p.Evidence)}, found, err
}

func (s passwords) StampUses(context.Context, []apppassword.Use) error { return nil }

type guesses struct{ *store.Store }

func (s guesses) Guesses(ctx context.Context) (counts []throttle.Count, known []throttle.Known, err error) {
	rows, err := s.Store.GuessCounts(ctx)
	sources, knownErr := s.Store.KnownSources(ctx)
	for _, row := range rows {
		counts = append(counts, throttle.Count(row))
	}
	for _, source := range sources {
		known = append(known, throttle.Known(source))
	}
	return counts, known, errors.Join(err, knownErr)
}

func (s guesses) SaveGuesses(ctx context.Context, counts []throttle.Count, known []throttle.Known) error {
	var rows []store.GuessCount
	var sources []store.KnownSource
	for _, count := range counts {
		rows = append(rows, store.GuessCount(count))
	}
	for _, source := range known {
		sources = append(sources, store.KnownSource(source))
	}
	return s.Store.SaveGuesses(ctx, rows, sources)
}

// world is a gate with everything real around it but the waiting.
type world struct {
	*Gate
	t       testing.TB
	folder  string
	ring    *keys.Ring
	store   *store.Store
	audit   *audit.Log
	guesses *throttle.Guesses
	waited  atomic.Int64 // the last wait, in nanoseconds
}

// configuration has a person with everything allowed, and a device that stands on evidence of an hour.
func configuration() *config.Config {
	return &config.Config{
		Policies: map[string]*config.Policy{
			"person": {Name: "person", Protocols: []string{"imap", "smtp"}},
			"device": {Name: "device", Protocols: []string{"smtp"}, MFA: config.MFA{Evidence: []string{"command-line"}, MaxAge: config.Duration(time.Hour)}},
		},
		Users: []config.User{
			{Login: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
			{Login: "copier-3", Mailbox: "scans@contoso.example", Provider: "contoso", Grant: "application", Policy: "device"},
			{Match: "*@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "person"},
		},
	}
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, folder: t.TempDir()}
	var err error
	if w.ring, err = keys.Create(filepath.Join(w.folder, "postern.keys")); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// open starts everything, after close as after a restart.
func (w *world) open() {
	w.t.Helper()
	var storeErr, auditErr, guessErr error
	w.store, storeErr = store.Open(w.t.Context(), "sqlite:"+filepath.Join(w.folder, "postern.db"), w.ring)
	if storeErr != nil {
		w.t.Fatal(storeErr)
	}
	w.audit, auditErr = audit.Open(filepath.Join(w.folder, "postern.audit"), nil)
	w.guesses, guessErr = throttle.Open(w.t.Context(), throttle.Config{Store: guesses{w.store}, Hash: w.store.Print, Log: slog.New(slog.DiscardHandler)})
	if err := errors.Join(auditErr, guessErr); err != nil {
		w.t.Fatal(err)
	}
	w.Gate = NewGate(GateConfig{
		Directory: NewDirectory(configuration()),
		Passwords: apppassword.NewVerifier(passwords{w.store}, w.ring, nil),
		Guesses:   w.guesses, Locks: w.store, Audit: w.audit,
		Stamp: func(apppassword.Use) {},
		Wait:  func(_ context.Context, d time.Duration) { w.waited.Store(int64(d)) },
	})
}

func (w *world) close() {
	err := w.Gate.Close()
	w.guesses.Close()
	if err := errors.Join(err, w.store.Close(), w.audit.Close()); err != nil {
		w.t.Error(err)
	}
}

// issue issues a password whose evidence is of some age.
func (w *world) issue(login string, age time.Duration, method string) (id string, password secret.Text) {
	w.t.Helper()
	now := time.Now()
	record, password, err := apppassword.Issue(w.t.Context(), passwords{w.store}, w.ring, apppassword.Request{
		Login: login, Label: "test", Protocols: []string{"smtp"},
		Evidence: apppassword.Evidence{Method: method, By: "root", At: now.Add(-age)},
	}, now, rand.Reader, func(apppassword.Record) error { return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return record.ID, password
}

// try signs in and gives why that was refused; empty when it was not.
func (w *world) try(login, from string, password secret.Text) Reason {
	w.t.Helper()
	return w.tryBy(SMTP, login, from, password)
}

// tryBy signs in by a protocol.
func (w *world) tryBy(protocol Protocol, login, from string, password secret.Text) Reason {
	w.t.Helper()
	if refusal := w.refusalBy(protocol, login, from, password); refusal != nil {
		return refusal.Reason
	}
	return ""
}

func (w *world) refusal(login, from string, password secret.Text) *Refusal {
	return w.refusalBy(SMTP, login, from, password)
}

func (w *world) refusalBy(protocol Protocol, login, from string, password secret.Text) *Refusal {
	_, err := w.SignIn(w.t.Context(), Attempt{Session: "s1", Protocol: protocol, Login: login, Secret: password, Mechanism: "PLAIN",
		Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 49152), TLS: tls.VersionTLS13, Client: "copier"}, nil)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		w.t.Errorf("got %v, want a refusal", err)
	}
	return refusal
}

// line is what the tests read of a line of the audit log.
type line struct {
	Kind     string
	Reason   string
	Login    string
	Remote   string
	Attempts int
	Reasons  map[string]int
	Logins   []audit.Tally
	Remotes  []audit.Tally
}

// lines reads the audit log.
func (w *world) lines() (all []line) {
	w.t.Helper()
	file, err := os.Open(filepath.Join(w.folder, "postern.audit"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}
