package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPackage builds the .deb and the .rpm, twice: they are equal byte for byte, and what is in the .deb is in its place,
// belongs to root, and runs.
func TestPackage(t *testing.T) {
	dpkg := need(t, "dpkg-deb")
	if out, err := inTop(t, "go", "list", "-modfile=deploy/tools/go.mod", "-deps", "github.com/goreleaser/nfpm/v2/cmd/nfpm"); err != nil {
		missing(t, "the modules of nfpm cannot be had: "+out)
	}
	first, second := packages(t), packages(t)
	for kind, path := range first {
		a, errA := os.ReadFile(path)
		b, errB := os.ReadFile(second[kind])
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if filepath.Base(path) != filepath.Base(second[kind]) || !bytes.Equal(a, b) {
			t.Errorf("%s: two builds of the same files differ", kind)
		}
	}

	t.Run("installed", func(t *testing.T) { debInstalls(t, first[".deb"]) })
	t.Run("rpm", func(t *testing.T) { rpmIsTheSame(t, first[".deb"], first[".rpm"]) })

	list := command{path: dpkg, args: []string{"--contents", first[".deb"]}}.must(t)
	for path, mode := range map[string]string{
		"usr/bin/postern":                                  "-rwxr-xr-x",
		"usr/lib/systemd/system/postern.service":           "-rw-r--r--",
		"usr/lib/systemd/system/postern.socket":            "-rw-r--r--",
		"usr/lib/sysusers.d/postern.conf":                  "-rw-r--r--",
		"usr/lib/tmpfiles.d/postern.conf":                  "-rw-r--r--",
		"usr/share/bash-completion/completions/postern":    "-rw-r--r--",
		"usr/share/zsh/vendor-completions/_postern":        "-rw-r--r--",
		"usr/share/fish/vendor_completions.d/postern.fish": "-rw-r--r--",
		"usr/share/man/man1/postern.1.gz":                  "-rw-r--r--",
		"usr/share/man/man1/postern-password-issue.1.gz":   "-rw-r--r--",
		"usr/share/doc/postern/README.md":                  "-rw-r--r--",
		"usr/share/doc/postern/CHANGELOG.md":               "-rw-r--r--",
		"usr/share/doc/postern/docs/operations.md":         "-rw-r--r--",
		"usr/share/doc/postern/monitoring/alerts.yaml":     "-rw-r--r--",
	} {
		want := regexp.MustCompile("(?m)^" + mode + " root/root .* \\./" + regexp.QuoteMeta(path) + "$")
		if !want.MatchString(list) {
			t.Errorf("the package has no %s with mode %s that is root's", path, mode)
		}
	}
	for line := range strings.Lines(list) {
		if !strings.Contains(line, " root/root ") || !strings.HasPrefix(line, "d") && !strings.HasPrefix(line, "-") || line[8] == 'w' {
			t.Errorf("the package has %s", line)
		}
	}
	if t.Failed() {
		t.Logf("the whole list:\n%s", list)
	}

	dir := t.TempDir()
	command{path: dpkg, args: []string{"-x", first[".deb"], dir}}.must(t)
	out := command{path: filepath.Join(dir, "usr/bin/postern"), args: []string{"version"}}.must(t)
	if want := "postern v1.2.3-rc1 "; !strings.HasPrefix(out, want) {
		t.Errorf("got %q, want %q first", out, want)
	}
}

// packages builds the packages of this machine's architecture and gives their paths by their endings.
func packages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if out, err := inTop(t, "deploy/package/build", dir, "v1.2.3-rc1", runtime.GOARCH); err != nil {
		t.Fatalf("building the packages: %v\n%s", err, out)
	}
	found := map[string]string{}
	for _, kind := range []string{".deb", ".rpm"} {
		paths, err := filepath.Glob(filepath.Join(dir, "postern*1.2.3~rc1-1*"+kind))
		if err != nil || len(paths) != 1 {
			t.Fatalf("got %v, want one %s (%v)", paths, kind, err)
		}
		found[kind] = paths[0]
	}
	return found
}

// inTop runs a program in the top folder of the module. It may have much to compile.
func inTop(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	return string(out), err
}
