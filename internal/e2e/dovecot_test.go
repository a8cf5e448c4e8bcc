package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/certs"
)

// dovecot is a real IMAP server that accepts XOAUTH2 and nothing else.
type dovecot struct {
	*process
	address string // implicit TLS
}

// nobodyID is the user and group under which Dovecot keeps mail: Debian's nobody and nogroup.
const nobodyID = 65534

// startDovecot runs a Dovecot of the test's own, beside any that the machine may have.
func startDovecot(t *testing.T, a *certs.Authority, tokens *introspection) *dovecot {
	t.Helper()
	binary := need(t, "dovecot")
	if os.Geteuid() != 0 {
		t.Skip("Dovecot is run as root here, so that it can separate its processes")
	}
	folder := dovecotFolder(t)
	cert, key := issue(t, a, folder)
	oauth2 := write(t, folder, "oauth2.conf", fmt.Sprintf(
		"introspection_mode = auth\nintrospection_url = %s/\nusername_attribute = username\nactive_attribute = active\nactive_value = true\n",
		tokens.URL))
	address := freeAddress(t)
	config := write(t, folder, "dovecot.conf", dovecotConfig(folder, port(t, address), cert, key, oauth2))
	d := &dovecot{process: start(t, binary, "-F", "-c", config), address: net.JoinHostPort("localhost", port(t, address))}
	d.listening(t, address)
	return d
}

// dovecotFolder makes a folder that Dovecot's unprivileged processes can reach, with a short path: its sockets are in
// there, and a socket's path has an end at 108 bytes.
func dovecotFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	mail := filepath.Join(folder, "mail")
	for _, err := range []error{os.Chmod(folder, 0o755), os.Mkdir(mail, 0o700), os.Chown(mail, nobodyID, nobodyID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func dovecotConfig(folder, port, cert, key, oauth2 string) string {
	return fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <%[3]s
ssl_key = <%[4]s
auth_mechanisms = xoauth2
first_valid_uid = %[6]d
mail_location = maildir:~/Maildir
default_vsz_limit = 1G
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = %[2]s
    ssl = yes
  }
}
service anvil {
  chroot =
}
passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = %[5]s
}
userdb {
  driver = static
  args = uid=%[6]d gid=%[6]d home=%[1]s/mail/%%u
}
`, folder, port, cert, key, oauth2, nobodyID)
}

// TestDovecotUpstream has a real Dovecot be the upstream, so that the simulator's idea of XOAUTH2 is not the only
// judge. Tokens come from the simulator's Entra, and Dovecot asks the test about them.
func TestDovecotUpstream(t *testing.T) {
	need(t, "dovecot")
	s := startSim(t, binary(t, program))
	a := authority(t)
	tokens := startIntrospection(t, s, "alice@contoso.example")
	upstream := startDovecot(t, a, tokens)
	up := s.upstreams()
	up.imap, up.caFile = upstream.address, bundle(t, s.CAFile, a)
	d, g := deploy(t, s, up)
	d.serve(t, g, binary(t, program))

	t.Run("bytes both ways", func(t *testing.T) {
		client := g.open(t, alice(t, g))
		message := letter("bob@fabrikam.example", "alice@contoso.example", "through Dovecot", trickyBody)
		put(t, client, "INBOX", message)
		if got := string(arrived(t, client, "INBOX", "through Dovecot").raw); got != message {
			t.Errorf("got\n%q\nwant\n%q", got, message)
		}
	})
	t.Run("imaplib", func(t *testing.T) { runPython(t, g, alice(t, g), imaplibScript) })
	t.Run("another mailbox stays shut", func(t *testing.T) {
		before := len(d.audit(t))
		if got := d.imapSignIn(t, g, g.named(t, "scans-reader")); !strings.HasPrefix(got, "NO [CONTACTADMIN] ") {
			t.Errorf("got %q, want NO [CONTACTADMIN]", got)
		}
		if got := refusals(d.audit(t), before); len(got) != 1 || got[0].Reason != "upstream-refused" {
			t.Errorf("got refusals %+v in the audit log, want one for upstream-refused", got)
		}
	})
	seen := tokens.seen()
	if len(seen) == 0 {
		t.Fatal("Dovecot asked about no token")
	}
	l := secretsOf(s, g)
	for _, token := range seen {
		l.add("access token", token)
		l.add("signature of an access token", token[strings.LastIndexByte(token, '.')+1:])
	}
	l.in(t, "the stderr of Dovecot", []byte(upstream.stderr.String()))
	d.searchTwice(t, g, l)
}
