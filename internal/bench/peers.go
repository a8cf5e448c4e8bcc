package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
)

// relayed is how those deliver who keep nothing: upstream's word is theirs. The gateway's auto is compared with them, too.
var relayed = map[string]credentials{"direct": {"u", "p", "u@contoso.example"}, "auto": {"u", "p", "u@contoso.example"}}

// addDovecot adds Dovecot's IMAP and submission proxies, where it is installed. It signs in upstream by PLAIN with a master password: it has
// no way to get tokens.
func (w *world) addDovecot(ctx context.Context, upstream, submission string) error {
	binary, err := exec.LookPath("/usr/sbin/dovecot")
	if err != nil {
		return nil
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	smtp, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	_, smtpPort, _ := net.SplitHostPort(smtp)
	host, upstreamPort, _ := net.SplitHostPort(upstream)
	_, submissionPort, _ := net.SplitHostPort(submission)
	protocols := "imap submission"
	if _, err := os.Stat("/usr/lib/dovecot/submission-login"); err != nil {
		protocols, smtp = "imap", ""
	}
	base := w.path("dovecot")
	config := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = %[8]s
ssl = required
ssl_cert = <%[2]s
ssl_key = <%[3]s
ssl_client_ca_file = %[4]s
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
auth_mechanisms = plain
login_trusted_networks =
passdb {
  driver = static
  args = nopassword=y proxy=y host=%[5]s port=%%{if;%%s;eq;submission;%[9]s;%[6]s} ssl=any-cert pass=p
}
service submission-login {
  service_count = 0
  process_min_avail = 1
  client_limit = 20000
  inet_listener submission {
    port = 0
  }
  inet_listener submissions {
    address = 127.0.0.1
    port = %[10]s
    ssl = yes
  }
}
service imap-login {
  service_count = 0
  process_min_avail = 1
  client_limit = 20000
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[7]s
    ssl = yes
  }
}
service anvil {
  client_limit = 30000
}
service auth {
  client_limit = 30000
}
service stats {
  client_limit = 30000
}
`, base, w.path("mail.pem"), w.path("mail.key"), w.path("ca.pem"), host, upstreamPort, port, protocols, submissionPort, smtpPort)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(w.folder, 0o755); err != nil {
		return err
	}
	file := w.path("dovecot.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	pid, err := w.run(ctx, address, nil, binary, "-F", "-c", file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Dovecot is left out:", err)
		return nil
	}
	t := &target{name: "dovecot", imap: address, smtp: smtp, roots: w.roots, login: "u", password: "p", process: pid}
	if smtp != "" {
		t.deliveries = relayed
	}
	w.targets = append(w.targets, t)
	return nil
}

// addNginx adds nginx's stream module with TLS on both sides, where it is installed. It does not sign in: what the client
// says goes through to upstream.
func (w *world) addNginx(ctx context.Context, upstream, submission string) error {
	binary, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		return nil
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	smtp, err := freeAddress()
	if err != nil {
		return err
	}
	module := ""
	if found, _ := filepath.Glob("/usr/lib/nginx/modules/ngx_stream_module.so"); len(found) > 0 {
		module = "load_module " + found[0] + ";"
	}
	config := fmt.Sprintf(`%s
daemon off;
worker_processes 1;
pid %s;
error_log %s;
events { worker_connections 20000; }
stream {
  ssl_certificate %s;
  ssl_certificate_key %s;
  ssl_protocols TLSv1.3;
  proxy_ssl on;
  tcp_nodelay on;
  server {
    listen %s ssl;
    proxy_pass %s;
  }
  server {
    listen %s ssl;
    proxy_pass %s;
  }
}
`, module, w.path("nginx.pid"), w.path("nginx.log"), w.path("mail.pem"), w.path("mail.key"), address, upstream, smtp, submission)
	file := w.path("nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	pid, err := w.run(ctx, address, nil, binary, "-c", file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nginx is left out:", err)
		return nil
	}
	w.targets = append(w.targets, &target{name: "nginx", imap: address, smtp: smtp, roots: w.roots, login: "u", password: "p", deliveries: relayed, process: pid})
	return nil
}

// addPostfix adds Postfix, where it is installed and may be started, as the one to whom mail is handed that has to be kept
// before it is accepted. It asks for no sign-in, and throws away what it has accepted, or, to one domain, hands it on at once.
func (w *world) addPostfix(ctx context.Context, upstream string) error {
	binary, err := exec.LookPath("/usr/sbin/postfix")
	if err != nil {
		return nil
	}
	owner, err := user.Lookup("postfix")
	if err != nil || os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "Postfix is left out: only root may start it")
		return nil
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return err
	}
	base := w.path("postfix")
	files := map[string]string{
		"main.cf": fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = /dev/stdout
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
message_size_limit = 157286400
mailbox_size_limit = 0
default_transport = discard:
transport_maps = inline:{ unlimited.example=smtp:[127.0.0.1]:%[4]s }
smtp_tls_security_level = encrypt
smtpd_tls_cert_file = %[2]s
smtpd_tls_key_file = %[3]s
smtpd_tls_mandatory_protocols = >=TLSv1.3
`, base, w.path("mail.pem"), w.path("mail.key"), port),
		"master.cf": address + ` inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
discard unix - - n - - discard
smtp unix - - n - - smtp
error unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
`,
	}
	for _, folder := range []string{"spool", "data"} {
		if err := os.MkdirAll(filepath.Join(base, folder), 0o755); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(base, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	id, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(base, "data"), id, -1); err != nil {
		return err
	}
	pid, err := w.run(ctx, address, nil, binary, "-c", base, "start-fg")
	if err != nil {
		fmt.Fprintln(os.Stderr, "Postfix is left out:", err)
		return nil
	}
	// What was started waits for Postfix's master, which is in a group of its own.
	w.closers = append(w.closers, func() { _ = exec.Command(binary, "-c", base, "stop").Run() })
	keeps := map[string]credentials{"queue": {mailbox: "u@contoso.example"}, "auto": {mailbox: "u@contoso.example"}, "unlimited-queue": {mailbox: "u@unlimited.example"}}
	w.targets = append(w.targets, &target{name: "postfix", smtp: address, roots: w.roots, deliveries: keeps, process: pid})
	return nil
}
