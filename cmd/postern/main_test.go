package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

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
	_, certificate, key, err := authority.Issue("mail.contoso.com", "localhost")
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"waitfor": waitFor, "enqueue": enqueue, "terminate": terminate},
	})
}

// terminate ends the process that the last command has named in JSON.
func terminate(s *testscript.TestScript, _ bool, _ []string) {
	var named struct{ PID int }
	s.Check(json.Unmarshal([]byte(s.ReadFile("stdout")), &named))
	s.Check(syscall.Kill(named.PID, syscall.SIGTERM))
}

// waitFor waits until a file is there.
func waitFor(s *testscript.TestScript, _ bool, args []string) {
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Lstat(s.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.Fatalf("%s is not there", args[0])
		}
	}
}
