package gateway

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/certs"
	"postern/internal/config"
	"postern/internal/keys"
)

// TestI42WithoutItsKeysNothingStarts: where the keys file is missing, is another store's, is damaged, or is open to others, the
// gateway does not start, no command of the administrator works, the error names the file, and nothing on the disk has changed.
// With the keys back everything is as it was.
func TestI42WithoutItsKeysNothingStarts(t *testing.T) {
	folder := t.TempDir()
	c := minimal(t, folder)
	ran(t, c)
	good, err := os.ReadFile(c.KeysFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"missing": func() error { return os.Remove(c.KeysFile) },
		"another store's": func() error {
			if err := os.Remove(c.KeysFile); err != nil {
				return err
			}
			_, err := keys.Create(c.KeysFile)
			return err
		},
		"empty": func() error { return os.WriteFile(c.KeysFile, nil, 0o600) },
		"cut":   func() error { return os.WriteFile(c.KeysFile, good[:len(good)/2], 0o600) },
		"no keys": func() error {
			return os.WriteFile(c.KeysFile, []byte(`{"version":1,"id":"x","seal":{},"hash":{}}`), 0o600)
		},
		"open": func() error { return os.Chmod(c.KeysFile, 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		before := content(t, folder)
		g, err := Start(t.Context(), c, Options{Log: quiet})
		if err == nil {
			_ = g.Stop(t.Context())
		}
		_, adminErr := NewAdmin(t.Context(), c, "root")
		for who, err := range map[string]error{"the gateway": err, "a command": adminErr} {
			if err == nil || !strings.Contains(err.Error(), filepath.Base(c.KeysFile)) {
				t.Errorf("%s: %s got %v, want an error that names the keys file", name, who, err)
			}
			if err != nil && strings.Contains(err.Error(), string(good[40:60])) {
				t.Errorf("%s: the error of %s shows what is in the keys file", name, who)
			}
		}
		if diff := cmp.Diff(before, content(t, folder)); diff != "" {
			t.Errorf("%s: something has changed (-before +after):\n%s", name, diff)
		}
		if err := os.WriteFile(c.KeysFile, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.KeysFile, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran(t, c)
}

// ran starts a gateway and stops it.
func ran(t *testing.T, c *config.Config) {
	t.Helper()
	g, err := Start(t.Context(), c, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// minimal is a configuration that can be run, with its state in a folder.
func minimal(t *testing.T, folder string) *config.Config {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, key, err := authority.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"mail.pem": certificate, "mail.key": key, "secret": []byte("s3cr3t\n"),
		"postern.yaml": []byte(`domain: localhost
certificates: [{files: {cert: mail.pem, key: mail.key}}]
providers:
  contoso: {kind: microsoft, tenant: contoso.example, client_id: 11111111-2222-3333-4444-555555555555, client_secret_file: secret}
listeners: [{protocol: smtp, address: "127.0.0.1:0", tls: implicit}]
policies: {device: {protocols: [smtp]}}
users: [{login: copier-3, mailbox: scans@contoso.example, provider: contoso, grant: application, policy: device}]
`),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(folder, "postern.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// content gives what is in a folder: the path of each file → its mode and its content.
func content(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
