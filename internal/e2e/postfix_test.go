package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern/certs"
)

// postfix is a real submission server with STARTTLS that accepts XOAUTH2 and nothing else. It keeps all mail in one
// maildir, whoever it is for.
type postfix struct {
	*process
	address string
	maildir string
	dovecot *dovecot // judges its sign-ins
}

// startPostfix runs a Postfix of the test's own, beside any that the machine may have.
func startPostfix(t *testing.T, a *certs.Authority, d *dovecot) *postfix {
	t.Helper()
	binary := need(t, "postfix")
	folder, err := os.MkdirTemp("", "postfix-") // its sockets' paths have an end, as Dovecot's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	p := &postfix{address: freeAddress(t), maildir: filepath.Join(folder, "mail", "all"), dovecot: d}
	for name, mode := range map[string]os.FileMode{".": 0o755, "config": 0o755, "queue": 0o755, "data": 0o700, "mail": 0o700} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(folder, "mail"), nobodyID, nobodyID); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(folder, "data")).CombinedOutput(); err != nil {
		t.Fatalf("giving Postfix its folder: %v\n%s", err, out)
	}
	config := filepath.Join(folder, "config")
	cert, key := issue(t, a, folder)
	write(t, config, "main.cf", postfixMain(folder, cert, key, d.sasl()))
	write(t, config, "master.cf", postfixMaster(p.address))
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := os.Chmod(filepath.Join(config, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.process = start(t, binary, "-c", config, "start-fg")
	t.Cleanup(func() { p.leave(t, binary, config) })
	p.listening(t, p.address)
	return p
}

// leave ends Postfix as an administrator does: what was started waits for the master process, which is in a group of its own
// and hears no signal that is meant for its parent.
func (p *postfix) leave(t *testing.T, binary, config string) {
	t.Helper()
	p.asked.Do(func() {
		if out, code := (command{path: binary, args: []string{"-c", config, "stop"}}).try(t); code != 0 {
			t.Errorf("postfix stop ended with exit code %d:\n%s", code, out)
		}
		<-p.ended // by a signal, so that its exit code says nothing
		if t.Failed() {
			t.Logf("what Postfix said:\n%s%s", p.stdout, p.stderr)
		}
	})
}

// postfixMain is main.cf. A token is longer than the lines that Postfix takes by itself.
func postfixMain(folder, cert, key, sasl string) string {
	return fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
myhostname = postfix.contoso.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
line_length_limit = 12288
message_size_limit = 157286400
virtual_mailbox_limit = 0
virtual_mailbox_domains = contoso.example, fabrikam.example
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:%[5]d
virtual_gid_maps = static:%[5]d
smtpd_tls_cert_file = %[2]s
smtpd_tls_key_file = %[3]s
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = %[4]s
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{nobody@contoso.example=REJECT}
smtputf8_enable = yes
smtpd_forbid_bare_newline = yes
`, folder, cert, key, sasl, nobodyID)
}

func postfixMaster(address string) string {
	return address + ` inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
}

// arrived waits for the one message of a subject, as it crosses the wire: Postfix keeps lines that end in LF. Its own
// fields, from Return-Path to its Received, are taken off.
func (p *postfix) arrived(t *testing.T, subject string) string {
	t.Helper()
	var found string
	eventually(t, deliveryTime, fmt.Sprintf("message %q in Postfix's maildir", subject), func() error {
		all := p.subject(t, subject)
		if len(all) != 1 {
			return fmt.Errorf("it is there %d times\n%s", len(all), p.stdout)
		}
		found = all[0]
		return nil
	})
	return found
}

// subject gives all messages of a subject.
func (p *postfix) subject(t *testing.T, subject string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.maildir, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		if (stored{raw: text}).header(t, "Subject") == subject {
			all = append(all, withoutPostfix(string(text)))
		}
	}
	return all
}

// withoutPostfix takes the fields off that Postfix puts in front of a message.
func withoutPostfix(text string) string {
	for _, name := range []string{"Return-Path:", "X-Original-To:", "Delivered-To:", "Received:"} {
		for strings.HasPrefix(text, name) {
			_, text, _ = strings.Cut(text, "\r\n")
			for strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
				_, text, _ = strings.Cut(text, "\r\n")
			}
			if name == "Received:" { // one is Postfix's, the next Postern's
				break
			}
		}
	}
	return text
}

// postfixWorld is a gateway whose SMTP upstream is a Postfix. The rest is the simulator's. Besides alice, whose messages
// go straight through, auto and queued send for her mailbox by these ways.
type postfixWorld struct {
	sim        *simulator
	postfix    *postfix
	deployment *deployment
	gateway    *gateway
}

func overPostfix(t *testing.T) *postfixWorld {
	t.Helper()
	need(t, "postfix")
	need(t, "dovecot")
	s := startSim(t, binary(t, program))
	a := authority(t)
	judge := startDovecot(t, a, startIntrospection(t, s, "alice@contoso.example", "SMTP.SendAsApp"))
	w := &postfixWorld{sim: s, postfix: startPostfix(t, a, judge)}
	up := s.upstreams()
	up.smtp, up.caFile = byName(t, w.postfix.address), bundle(t, s.CAFile, a)
	w.deployment, w.gateway = deploy(t, s, up)
	w.deployment.change(t, "    endpoints:", "    smtp_messages_per_minute: 1000\n    endpoints:",
		"policies:\n", "policies:\n  auto: {protocols: [smtp], send: {delivery: auto}}\n  queued: {protocols: [smtp], send: {delivery: queue}}\n",
		"users:\n", `users:
  - {login: auto, mailbox: alice@contoso.example, provider: contoso, grant: application, policy: auto}
  - {login: queued, mailbox: alice@contoso.example, provider: contoso, grant: application, policy: queued}
`)
	w.deployment.serve(t, w.gateway, binary(t, program))
	for _, name := range []string{"auto", "queued"} {
		w.deployment.issue(t, w.gateway, binary(t, program), login{Login: name, Mailbox: "alice@contoso.example", Protocols: []string{"smtp"}})
	}
	return w
}

// change replaces texts of the configuration, which come in pairs of an old and a new one.
func (d *deployment) change(t *testing.T, pairs ...string) {
	t.Helper()
	content, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(content, []byte(pairs[i])) {
			t.Fatalf("the configuration has no %q", pairs[i])
		}
	}
	if err := os.WriteFile(d.config, []byte(strings.NewReplacer(pairs...).Replace(string(content))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// whole checks that a message came as it was submitted, with one Received field of Postern's in front and nothing else.
func (p *postfix) whole(t *testing.T, subject, want string) {
	t.Helper()
	got := p.arrived(t, subject)
	trace, rest := cutField(got)
	if !strings.HasPrefix(trace, "Received: from ") || !strings.Contains(trace, " (Postern) with ") {
		t.Errorf("%s: got in front %q, want Postern's Received field", subject, trace)
	}
	if rest != want {
		t.Errorf("%s: got\n%q\nwant\n%q", subject, rest, want)
	}
}

// cutField gives the first field of a message, and what follows it.
func cutField(text string) (field, rest string) {
	lines := strings.SplitAfter(text, "\r\n")
	n := 1
	for n < len(lines) && (strings.HasPrefix(lines[n], " ") || strings.HasPrefix(lines[n], "\t")) {
		n++
	}
	return strings.Join(lines[:n], ""), strings.Join(lines[n:], "")
}
