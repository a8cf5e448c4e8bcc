package acme

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/certs"
	"postern/internal/secret"
)

const name = "gw.contoso.com"

// config is what the tests share.
func (p *pebble) config(challenge string, vault certs.Vault) Config {
	return Config{
		Names: []string{name}, Directory: p.directory, Roots: p.roots, Email: "postmaster@contoso.com", Challenge: challenge, Listen: p.listen,
		Vault: vault, Log: slog.New(slog.DiscardHandler), Check: 200 * time.Millisecond,
	}
}

// run runs a manager to the end of the test.
func run(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// obtained waits for a certificate that is not the one of that serial.
func obtained(t *testing.T, m *Manager, but string) *tls.Certificate {
	t.Helper()
	var got *tls.Certificate
	eventually(t, "a certificate", func() bool {
		if err := m.Refresh(t.Context()); err != nil {
			t.Log(err)
		}
		if all := m.Certificates(); len(all) == 1 && all[0].Leaf.SerialNumber.String() != but {
			got = all[0]
		}
		return got != nil
	})
	if err := got.Leaf.VerifyHostname(m.config.Names[0]); err != nil {
		t.Error(err)
	}
	return got
}

func TestHTTP01(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour, false)
	vault := newMemory()
	m := New(p.config(HTTP01, vault))
	if err := m.Refresh(t.Context()); err != nil || len(m.Certificates()) != 0 {
		t.Fatalf("before: got %v and %d certificates", err, len(m.Certificates()))
	}
	stop := run(t, m)
	got := obtained(t, m, "")
	if _, err := net.Dial("tcp", p.listen); err == nil {
		t.Error("it still listens for the authority")
	}
	stop()

	again := New(p.config(HTTP01, vault))
	if infos, err := again.Look(t.Context()); err != nil || len(infos) != 1 || !infos[0].Renewed || !slices.Equal(infos[0].Names, []string{name}) {
		t.Errorf("after a restart: got %v, %v; want the certificate", infos, err)
	}
	run(t, again)
	if next := obtained(t, again, ""); !next.Leaf.Equal(got.Leaf) {
		t.Error("a restart gets another certificate")
	}

	rsa := p.config(HTTP01, vault)
	rsa.RSA = true
	both := New(rsa)
	run(t, both)
	if key := obtained(t, both, "").Leaf.PublicKeyAlgorithm.String(); key != "RSA" {
		t.Errorf("beside it, with RSA: got a key of %s", key)
	}
}

// TestTLSALPN01 has the authority look at a listener of ours, as it is with the portal.
func TestTLSALPN01(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour, false)
	m := New(p.config(TLSALPN01, newMemory()))
	store, err := certs.Open(t.Context(), certs.Config{Sources: []certs.Source{m}})
	if err != nil {
		t.Fatal(err)
	}
	settings := certs.ServerTLS(store.GetCertificate)
	settings.NextProtos = []string{"http/1.1", certs.ChallengeProtocol}
	listener, err := tls.Listen("tcp", p.listen, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}()
		}
	}()
	run(t, m)
	obtained(t, m, "")
	if _, err := store.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", p.listen, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{certs.ChallengeProtocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if leaf := conn.ConnectionState().PeerCertificates[0]; leaf.Issuer.String() == leaf.Subject.String() {
		t.Error("who asks when no order is open gets a certificate that proves something")
	}
}

func TestDNS01ByUpdate(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour, true)
	c := p.config(DNS01, newMemory())
	c.Names = []string{"*.contoso.com"}
	c.DNS = Update{Server: p.names.address, Zone: "contoso.com", KeyName: "postern", Key: secret.New(p.names.key)}
	c.ExternalAccount = &ExternalAccount{KeyID: "kid-1", MACKey: secret.New(macKey)}
	m := New(c)
	run(t, m)
	eventually(t, "a certificate", func() bool { _ = m.Refresh(t.Context()); return len(m.Certificates()) == 1 })
	if err := m.Certificates()[0].Leaf.VerifyHostname("any.contoso.com"); err != nil {
		t.Error(err)
	}
	eventually(t, "the record is gone", func() bool { now, ever := p.names.records(); return now == 0 && ever == 1 })

	wrong := Update{Server: p.names.address, Zone: "contoso.com", KeyName: "postern", Key: secret.New("d3JvbmcgIGtleQ==")}
	if err := wrong.Present(t.Context(), "_acme-challenge.contoso.com", "x"); err == nil || strings.Contains(err.Error(), "d3Jvb") {
		t.Errorf("with a wrong key: got %v, want an error without it", err)
	}
}

func TestDNS01ByHook(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour, false)
	folder := t.TempDir()
	hook := filepath.Join(folder, "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"$@\" >> "+folder+"/calls\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := p.config(DNS01, newMemory())
	c.DNS = told{Hook{Command: []string{hook, "--quiet"}}, p.names}
	m := New(c)
	run(t, m)
	obtained(t, m, "")
	var lines []string
	eventually(t, "both calls", func() bool {
		calls, _ := os.ReadFile(filepath.Join(folder, "calls"))
		lines = strings.Split(strings.TrimSpace(string(calls)), "\n")
		return len(lines) == 2
	})
	for i, want := range []string{"--quiet present _acme-challenge." + name + " ", "--quiet cleanup _acme-challenge." + name + " "} {
		if !strings.HasPrefix(lines[i], want) || len(lines[i]) != len(want)+43 {
			t.Errorf("got call %q, want %q and a digest", lines[i], want)
		}
	}
}

// told runs a hook and puts the record into the DNS of the test, as the hook's program would.
type told struct {
	Hook
	names *nameServer
}

func (d told) Present(ctx context.Context, name, value string) error {
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	d.names.change(name, value, true)
	return d.Hook.Present(ctx, name, value)
}

func TestHookSaysWhatWentWrong(t *testing.T) {
	err := Hook{Command: []string{"sh", "-c", "echo the zone is locked >&2; exit 3"}}.Present(t.Context(), "_acme-challenge.x", "v")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: the zone is locked") {
		t.Errorf("got %v", err)
	}
	flood := Hook{Command: []string{"sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; exit 1"}}.Present(t.Context(), "n", "v")
	if flood == nil || len(flood.Error()) > 2*hookWords {
		t.Errorf("got an error of %d bytes", len(flood.Error()))
	}
}

// TestI35RenewalAndItsFailure: a certificate is renewed in time; where that fails, the one that there is goes on, and the
// error says why.
func TestI35RenewalAndItsFailure(t *testing.T) {
	p := startPebble(t, 90*24*time.Hour, false)
	c := p.config(HTTP01, newMemory())
	c.RenewalRatio = 1 // it is due from its first moment on
	m := New(c)
	stop := run(t, m)
	first := obtained(t, m, "")
	obtained(t, m, first.Leaf.SerialNumber.String())
	stop()

	// Somebody else has the port: the authority finds nothing of ours there.
	blocker, err := net.Listen("tcp", p.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	go func() {
		for {
			conn, err := blocker.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	blocked := New(c)
	if err := blocked.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := blocked.Certificates()[0]
	run(t, blocked)
	var problem error
	eventually(t, "a failure", func() bool { problem = blocked.Refresh(t.Context()); return problem != nil })
	if !strings.Contains(problem.Error(), name) || !strings.Contains(problem.Error(), p.directory) {
		t.Errorf("got %v, want an error with the name and the authority", problem)
	}
	if got := blocked.Certificates(); len(got) != 1 || !got[0].Leaf.Equal(last.Leaf) {
		t.Error("the certificate before does not go on")
	}
}
