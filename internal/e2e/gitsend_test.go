package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// needGitSendEmail gives the path of a git that can send patches by TLS, which Debian has in packages of their own.
func needGitSendEmail(t *testing.T) string {
	t.Helper()
	git := need(t, "git")
	if folder, _ := (command{path: git, args: []string{"--exec-path"}}).try(t); !isFile(filepath.Join(strings.TrimSpace(folder), "git-send-email")) {
		missing(t, "git send-email is not installed (Debian package git-email)")
	}
	for module, from := range map[string]string{"IO::Socket::SSL": "libio-socket-ssl-perl", "Authen::SASL": "libauthen-sasl-perl", "Mail::Address": "libmailtools-perl"} {
		if _, code := (command{path: need(t, "perl"), args: []string{"-M" + module, "-e1"}}).try(t); code != 0 {
			missing(t, "Perl's "+module+", which git send-email needs, is not installed (Debian package "+from+")")
		}
	}
	return git
}

// TestGitSendEmail sends a patch with characters beyond ASCII, which git does not announce.
func TestGitSendEmail(t *testing.T) {
	t.Parallel()
	git := needGitSendEmail(t)
	g := startDemo(t)
	alice := g.person(t)
	for _, way := range []struct{ encryption, address string }{{"tls", g.Submission}, {"ssl", g.SMTPS}} {
		prefix := "PATCH " + way.encryption
		body := sendPatch(t, git, g, alice, prefix, "--smtp-encryption", way.encryption, "--smtp-server-port", port(t, way.address))
		got := arrived(t, g.open(t, alice), "INBOX", "["+prefix+"] greet from Cologne")
		if !strings.HasSuffix(string(got.raw), body) {
			t.Errorf("got\n%s\nwant at its end\n%s", got.raw, body)
		}
	}
}

// sendPatch sends a patch whose subject begins with a prefix, over STARTTLS if more says nothing else, and gives what its
// message ends with.
func sendPatch(t *testing.T, git string, g *gateway, user login, prefix string, more ...string) (body string) {
	t.Helper()
	home := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		return command{path: git, args: args, home: home}.must(t)
	}
	repository := filepath.Join(home, "patches")
	run("init", "--quiet", repository)
	write(t, repository, "grüße.txt", "Grüße aus Köln\n")
	in := []string{"-C", repository, "-c", "user.name=Alice", "-c", "user.email=" + user.Mailbox}
	run(append(in, "add", ".")...)
	run(append(in, "commit", "--quiet", "--message", "greet from Cologne")...)
	send := append(in, "send-email", "--smtp-server", "localhost", "--smtp-server-port", port(t, g.Submission), "--smtp-encryption", "tls",
		"--smtp-ssl-cert-path", g.CAFile, "--smtp-user", user.Login, "--smtp-pass", user.Password, "--smtp-domain", "git.example",
		"--from", user.Mailbox, "--to", user.Mailbox, "--subject-prefix", prefix, "--confirm=never", "--quiet")
	run(append(append(send, more...), "-1")...)
	patch := run(append(in, "format-patch", "--stdout", "-1")...)
	_, body, _ = strings.Cut(patch, "\n---\n")
	return strings.ReplaceAll("---\n"+body, "\n", "\r\n")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
