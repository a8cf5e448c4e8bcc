package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/certs"
)

// dovecot is a real IMAP server that accepts XOAUTH2 and nothing else, with every extension that it has.
type dovecot struct {
	*process
	address   string // implicit TLS
	folder    string
	tokens    *introspection
	mailboxes int // that were made so far
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
		"introspection_mode = auth\nintrospection_url = %[1]s/\nusername_attribute = username\nactive_attribute = active\nactive_value = true\n"+
			"pass_attrs = userdb_uid=%[2]d userdb_gid=%[2]d userdb_home=%%{oauth2:home}\n", tokens.URL, nobodyID))
	address := freeAddress(t)
	config := write(t, folder, "dovecot.conf", dovecotConfig(folder, port(t, address), cert, key, oauth2))
	d := &dovecot{process: start(t, binary, "-F", "-c", config), address: byName(t, address), folder: folder, tokens: tokens}
	d.listening(t, address)
	d.empty()
	return d
}

// sasl gives the socket at which other servers have it judge their sign-ins.
func (d *dovecot) sasl() string { return filepath.Join(d.folder, "sasl") }

// empty gives the mailbox of every sign-in from now on a new and empty folder.
func (d *dovecot) empty() {
	d.mailboxes++
	d.tokens.keepAt(filepath.Join(d.folder, "mail", fmt.Sprint(d.mailboxes)))
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
mail_plugins = acl quota zlib notify
mail_attribute_dict = file:%%h/attributes
default_vsz_limit = 1G
mail_max_userip_connections = 50
protocol imap {
  mail_plugins = $mail_plugins imap_acl imap_quota imap_zlib
  imap_metadata = yes
  imap_urlauth_host = localhost
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Sent {
    special_use = \Sent
  }
}
plugin {
  acl = vfile
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=1G
}
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
service auth {
  unix_listener %[1]s/sasl {
    mode = 0666
  }
}
passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = %[5]s
}
userdb {
  driver = prefetch
}
`, folder, port, cert, key, oauth2, nobodyID)
}

// dovecotWorld is a gateway whose IMAP upstream is a Dovecot. The rest is the simulator's.
type dovecotWorld struct {
	sim        *simulator
	dovecot    *dovecot
	deployment *deployment
	gateway    *gateway
	caFile     string // of all that the gateway trusts
}

func overDovecot(t *testing.T) *dovecotWorld {
	t.Helper()
	need(t, "dovecot")
	s := startSim(t, binary(t, program))
	a := authority(t)
	upstream := startDovecot(t, a, startIntrospection(t, s, "alice@contoso.example", "IMAP.AccessAsApp"))
	up := s.upstreams()
	up.imap, up.caFile = upstream.address, bundle(t, s.CAFile, a)
	d, g := deploy(t, s, up)
	d.serve(t, g, binary(t, program))
	return &dovecotWorld{sim: s, dovecot: upstream, deployment: d, gateway: g, caFile: up.caFile}
}

// sides gives the two ways to alice's mailbox.
func (w *dovecotWorld) sides(t *testing.T) (straight, postern side) {
	t.Helper()
	return direct(t, w.sim, w.dovecot.address, w.caFile), through(w.gateway)
}

// TestDovecotUpstream has a real Dovecot be the upstream, so that the simulator's idea of XOAUTH2 is not the only
// judge. Tokens come from the simulator's Entra, and Dovecot asks the test about them.
func TestDovecotUpstream(t *testing.T) {
	t.Parallel()
	w := overDovecot(t)
	s, d, g := w.sim, w.deployment, w.gateway
	t.Run("bytes both ways", func(t *testing.T) {
		client := g.open(t, alice(t, g))
		message := letter("bob@fabrikam.example", "alice@contoso.example", "through Dovecot", trickyBody)
		put(t, client, "INBOX", message)
		if got := string(arrived(t, client, "INBOX", "through Dovecot").raw); got != message {
			t.Errorf("got\n%q\nwant\n%q", got, message)
		}
	})
	t.Run("another mailbox stays shut", func(t *testing.T) {
		before := len(d.audit(t))
		if got := d.imapSignIn(t, g, g.named(t, "scans-reader")); !strings.HasPrefix(got, "NO [CONTACTADMIN] ") {
			t.Errorf("got %q, want NO [CONTACTADMIN]", got)
		}
		if got := refusals(d.audit(t), before); len(got) != 1 || got[0].Reason != "upstream-refused" {
			t.Errorf("got refusals %+v in the audit log, want one for upstream-refused", got)
		}
	})
	seen := w.dovecot.tokens.seen()
	if len(seen) == 0 {
		t.Fatal("Dovecot asked about no token")
	}
	l := secretsOf(s, g)
	for _, token := range seen {
		l.add("access token", token)
		l.add("signature of an access token", token[strings.LastIndexByte(token, '.')+1:])
	}
	l.in(t, "the stderr of Dovecot", []byte(w.dovecot.stderr.String()))
	d.searchTwice(t, g, l)
}
