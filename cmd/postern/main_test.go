package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/certs"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postern": func() { os.Exit(run()) }})
}

// TestScripts runs the command line as an administrator types it. Every script finds a certificate in mail.pem and
// mail.key, and an application's secret in client.secret.
func TestScripts(t *testing.T) {
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, key, err := authority.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for name, content := range map[string][]byte{"mail.pem": certificate, "mail.key": key, "client.secret": []byte("s3cr3t")} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), content, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
