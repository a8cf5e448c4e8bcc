package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
)

// running is a gateway with the file that it was started from.
type running struct {
	*Gateway
	t      *testing.T
	folder string
	file   string
}

// startReloadable starts a gateway from a minimal configuration.
func startReloadable(t *testing.T) *running {
	t.Helper()
	folder := t.TempDir()
	c := minimal(t, folder)
	g, err := Start(t.Context(), c, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return &running{g, t, folder, filepath.Join(folder, "postern.yaml")}
}

// edit replaces text in the file, and gives what it says now.
func (r *running) edit(pairs ...string) *config.Config {
	r.t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	edited := strings.NewReplacer(pairs...).Replace(string(text))
	if edited == string(text) {
		r.t.Fatalf("%q is not in the file", pairs)
	}
	if err := os.WriteFile(r.file, []byte(edited), 0o600); err != nil {
		r.t.Fatal(err)
	}
	c, err := config.Load(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// reload replaces text in the file and has the gateway take it up.
func (r *running) reload(pairs ...string) {
	r.t.Helper()
	if err := r.Reload(r.edit(pairs...)); err != nil {
		r.t.Fatal(err)
	}
}

// greeting gives the first line that a client hears at an address, or why it hears nothing.
func greeting(address string, secured bool) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if secured {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the test is not about the certificate
	}
	line := make([]byte, 200)
	n, err := conn.Read(line)
	if err != nil && err != io.EOF {
		return err.Error()
	}
	return string(line[:n])
}

// TestReloadListeners: an address that stays is never closed, whatever changes about it; another is opened, and one that is
// gone is closed.
func TestReloadListeners(t *testing.T) {
	r := startReloadable(t)
	first := r.Addresses()[0].Address
	if got := greeting(first, true); !strings.HasPrefix(got, "220 ") {
		t.Fatalf("before: got %q, want a greeting", got)
	}
	r.reload(`tls: implicit}]`, `tls: starttls}, {protocol: imap, address: "127.0.0.1:0", tls: implicit}]`, "protocols: [smtp]", "protocols: [smtp, imap]")
	all := r.Addresses()
	if len(all) != 2 || all[0].Address != first || all[0].TLS != config.StartTLS {
		t.Fatalf("got %+v, want %s with starttls and another one", all, first)
	}
	if got := greeting(first, false); !strings.HasPrefix(got, "220 ") {
		t.Errorf("changed: got %q, want a greeting in clear", got)
	}
	if got := greeting(all[1].Address, true); !strings.HasPrefix(got, "* OK") {
		t.Errorf("added: got %q, want a greeting", got)
	}
	r.reload(`{protocol: smtp, address: "127.0.0.1:0", tls: starttls}, `, "")
	// Which of two that are for any free port is gone, the file does not tell; the one that is left is IMAP's.
	if all := r.Addresses(); len(all) != 1 || all[0].Protocol != "imap" || all[0].Address != first {
		t.Fatalf("got %+v, want one for IMAP at %s", all, first)
	}
	if got := greeting(all[1].Address, true); !strings.Contains(got, "refused") {
		t.Errorf("removed: got %q, want a refused connection", got)
	}
}

// TestI35ABadChangeChangesNothing: where one part of the next configuration cannot be had, none of it comes into force, and
// the error names the setting.
func TestI35ABadChangeChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	r := startReloadable(t)
	before, addresses := r.generation(), r.Addresses()
	c := r.edit(`tls: implicit}]`, `tls: implicit}, {protocol: smtp, address: "127.0.0.1:0", tls: starttls}]`+
		"\nmetrics: {address: \""+taken.Addr().String()+"\"}", "copier-3", "copier-4")
	if err := r.Reload(c); err == nil || !strings.Contains(err.Error(), "metrics") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("got %v, want an error about metrics and %s", err, taken.Addr())
	}
	if r.generation() != before {
		t.Error("another generation is in force")
	}
	if after := r.Addresses(); len(after) != 1 || after[0] != addresses[0] {
		t.Errorf("got the addresses %v, want %v", after, addresses)
	}
	if got := greeting(addresses[0].Address, true); !strings.HasPrefix(got, "220 ") {
		t.Errorf("got %q, want a greeting", got)
	}
}

// TestReloadKeepsWhatCannotChange: the gateway goes on with its store, and takes up the rest.
func TestReloadKeepsWhatCannotChange(t *testing.T) {
	r := startReloadable(t)
	store := r.generation().config.Store
	r.reload("domain: localhost", "domain: localhost\nstore: sqlite:other.db", "copier-3", "copier-4")
	if got := r.generation().config.Store; got != store {
		t.Errorf("got the store %s, want %s", got, store)
	}
	if _, known := r.generation().directory.Lookup("copier-4"); !known {
		t.Error("the rest has not been taken up")
	}
}
