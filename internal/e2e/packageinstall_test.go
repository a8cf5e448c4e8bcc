package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// debInstalls installs the .deb into an empty root, upgrades it, and removes it again: the user and the folders are made, the
// gateway's user can read what `postern init` writes there, and what is the administrator's stays. (Package house looks at the units.)
func debInstalls(t *testing.T, deb string) {
	dpkg := need(t, "dpkg")
	need(t, "systemd-sysusers")
	if os.Getuid() != 0 {
		missing(t, "only root can make files that are another user's")
	}
	root := emptyRoot(t)
	run := func(arguments ...string) string {
		t.Helper()
		return command{path: dpkg, args: append([]string{"--root=" + root, "--force-script-chrootless", "--force-depends", "--log="}, arguments...)}.must(t)
	}
	if out := run("--install", deb); !strings.Contains(out, "postern init --out /etc/postern/postern.yaml") {
		t.Errorf("the first installation says nothing of what comes next:\n%s", out)
	}
	users, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(users), "\npostern:x:") || !strings.Contains(string(users), ":/var/lib/postern:/usr/sbin/nologin\n") {
		t.Errorf("the users are %q, %v, want postern among them, who cannot sign in", users, err)
	}
	command{path: filepath.Join(root, "usr/bin/postern"), args: []string{"init", "--out", filepath.Join(root, "etc/postern/postern.yaml"),
		"--domain", "mail.contoso.com", "--tenant", "contoso.onmicrosoft.com", "--mailbox", "scans@contoso.com"}}.must(t)
	for path, want := range map[string]string{
		"etc/postern": "drwxr-x--- root:postern", "var/lib/postern": "drwx------ postern:postern",
		"etc/postern/postern.yaml": "-rw-r----- root:postern", "etc/postern/app.pem": "-rw-r----- root:postern",
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		names := map[bool]string{true: "root", false: "postern"}
		owner := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%v %s:%s", info.Mode(), names[owner.Uid == 0], names[owner.Gid == 0]); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if out := run("--install", deb); !strings.Contains(out, "systemctl enable --now postern") {
		t.Errorf("an upgrade says:\n%s", out)
	}
	for _, how := range []string{"--remove", "--purge"} {
		if out := run(how, "postern"); !strings.Contains(out, "/etc/postern and /var/lib/postern stay") {
			t.Errorf("%s says nothing of what stays:\n%s", how, out)
		}
	}
	for path, want := range map[string]bool{"etc/postern/postern.yaml": true, "var/lib/postern": true, "usr/bin/postern": false, "usr/share/doc/postern": false} {
		if _, err := os.Lstat(filepath.Join(root, path)); (err == nil) != want {
			t.Errorf("after the removal %s is there: %v, want %v", path, err == nil, want)
		}
	}
}

// emptyRoot makes the root of a machine on which nothing is installed, as far as dpkg and systemd's tools want one.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "var/lib/dpkg/status": "", "var/lib/dpkg/available": "",
		"var/lib/dpkg/info/format": "1\n", "var/lib/dpkg/updates/.there": "", "run/.there": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// rpmIsTheSame holds the .rpm to the files, modes and owners of the .deb; where zsh looks is another place.
func rpmIsTheSame(t *testing.T, deb, rpm string) {
	program := need(t, "rpm")
	query := func(arguments ...string) []string {
		t.Helper()
		out := command{path: program, args: append([]string{"--query", "--package", "--nosignature", rpm}, arguments...)}.must(t)
		return strings.Split(strings.TrimSpace(out), "\n")
	}
	got := query("--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`)
	var want []string
	for line := range strings.Lines(command{path: need(t, "dpkg-deb"), args: []string{"--contents", deb}}.must(t)) {
		if f := strings.Fields(line); strings.HasPrefix(f[0], "-") {
			want = append(want, f[0]+" "+f[1]+" "+strings.Replace(strings.TrimPrefix(f[5], "."), "zsh/vendor-completions", "zsh/site-functions", 1))
		}
	}
	got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "d") })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the .rpm has\n%s\nand the .deb\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	scripts := strings.Join(query("--scripts"), "\n")
	for _, script := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet"} {
		if !strings.Contains(scripts, script) {
			t.Errorf("the .rpm has no %s", script)
		}
	}
}
