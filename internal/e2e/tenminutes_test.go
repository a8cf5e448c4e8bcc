package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTenMinutes is the afternoon's beginning as an administrator types it: init, check, an app password, serve, and then a scanner's
// message is in the mailbox. The tenant is the simulator; of what init wrote, ports are changed, and the device may read its mailbox, so
// that curl can look.
func TestTenMinutes(t *testing.T) {
	t.Parallel()
	swaks, curl, postern := needSwaks(t), need(t, "curl"), binary(t, program)
	sim := startSim(t, postern)
	folder := t.TempDir()
	file, root := filepath.Join(folder, "postern.yaml"), filepath.Join(folder, "ca.pem")
	run := func(arguments ...string) string {
		t.Helper()
		return command{path: postern, args: append(arguments, "-c", file)}.must(t)
	}
	const mailbox = "scans@contoso.example"
	told := command{path: postern, args: []string{"init", "--out", file, "--domain", "localhost", "--tenant", sim.provider.Tenant,
		"--client-id", sim.provider.ClientID, "--client-secret-file", write(t, t.TempDir(), secretFile, sim.secret+"\n"),
		"--mailbox", mailbox, "--network", "127.0.0.0/8", "--state-dir", t.TempDir(), "--people", "--administrator", "bob@contoso.example",
		"--authority", sim.Authority, "--imap", sim.IMAP, "--smtp", sim.SMTP, "--ca-file", sim.CAFile}}.must(t)
	if !strings.Contains(told, "Set-CASMailbox "+mailbox) {
		t.Errorf("init does not say what the tenant needs:\n%s", told)
	}
	g := &gateway{ready: ready{IMAP: freeAddress(t), IMAPS: freeAddress(t), Submission: freeAddress(t), SMTPS: freeAddress(t), CAFile: root}}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(written)
	for _, change := range [][2]string{{`":143"`, g.IMAP}, {`":993"`, g.IMAPS}, {`":587"`, g.Submission}, {`":465"`, g.SMTPS},
		{`":8443"`, freeAddress(t)}, {"protocols: [smtp]", "protocols: [imap, smtp]"}} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("%s is not there once:\n%s", change[0], text)
		}
		text = strings.Replace(text, change[0], fmt.Sprintf(map[bool]string{true: "%q", false: "%s"}[change[0][0] == '"'], change[1]), 1)
	}
	write(t, folder, "postern.yaml", text)

	run("config", "check")
	if out := run("check"); !strings.Contains(out, " 0 failed, ") || !strings.Contains(out, "ok      login scans: ") {
		t.Errorf("postern check says:\n%s", out)
	}
	user := login{Login: "scans", Mailbox: mailbox}
	if err := json.Unmarshal([]byte(run("password", "issue", user.Login, "--label", "the first copier", "--json")), &user); err != nil {
		t.Fatal(err)
	}
	g.process = start(t, postern, "serve", "-c", file)
	g.listening(t, g.IMAP, g.IMAPS, g.Submission, g.SMTPS)
	run("certificate", "root", "--out", root)

	command{path: swaks, args: append(swaksArgs(t, g, false, "LOGIN", user), "--from", "copier@printers.local", "--to", mailbox,
		"--header", "Subject: the first scanned page")}.must(t)
	fetch := func(what string) string {
		t.Helper()
		return command{path: curl, args: []string{"--silent", "--show-error", "--max-time", "60", "--cacert", root,
			"--user", user.Login + ":" + user.Password, "imaps://" + byName(t, g.IMAPS) + "/INBOX" + what}}.must(t)
	}
	found := strings.Fields(fetch(`?SUBJECT%20"the%20first%20scanned%20page"`))
	if len(found) != 3 {
		t.Fatalf("curl found %q, want one message", found)
	}
	if page := fetch(";MAILINDEX=" + found[2]); !strings.Contains(page, "Subject: the first scanned page\r\n") || !strings.Contains(page, "<"+mailbox+">") {
		t.Errorf("curl read\n%s", page)
	}
	if out := run("check", "--login", user.Login); !strings.Contains(out, "served by the running gateway") {
		t.Errorf("beside the running gateway, postern check says:\n%s", out)
	}
}
