package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/certs"
)

// world is everything that runs during a measurement.
type world struct {
	folder  string
	roots   *x509.CertPool
	targets []*target
	gateway gateway
	closers []func()
}

// target is something that clients sign in to.
type target struct {
	name            string
	imap, smtp      string // addresses; empty for what it does not have
	login, password string
	started         time.Duration // from its start to the end of its first sign-in
	process         int           // whose CPU and memory count, with its children; 0 for none
	roots           *x509.CertPool
}

func newWorld(ctx context.Context, binary string) (*world, error) {
	folder, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{folder: folder}
	w.closers = append(w.closers, func() { _ = os.RemoveAll(folder) })
	if err := w.build(ctx, binary); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

// build starts the upstream, the token service and all targets.
func (w *world) build(ctx context.Context, binary string) error {
	authority, err := certs.NewAuthority("bench")
	if err != nil {
		return err
	}
	w.roots = authority.Roots()
	certificate, certPEM, keyPEM, err := authority.Issue("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"ca.pem": authority.RootPEM(), "mail.pem": certPEM, "mail.key": keyPEM} {
		if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
			return err
		}
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	imap, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	smtp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() { _ = imap.Close() }, func() { _ = smtp.Close() })
	go serveIMAPUpstream(imap)
	go serveSMTPUpstream(smtp, config)
	w.targets = append(w.targets, &target{name: "direct", imap: imap.Addr().String(), roots: w.roots, login: "u", password: "p"})
	if err := w.addFloor(ctx, imap.Addr().String()); err != nil {
		return err
	}
	w.gateway = gateway{binary: binary, imap: imap.Addr().String(), smtp: smtp.Addr().String()}
	if err := w.addPostern(ctx, config); err != nil {
		return err
	}
	if err := w.addDovecot(ctx, imap.Addr().String()); err != nil {
		return err
	}
	return w.addNginx(ctx, imap.Addr().String())
}

// run starts a process on the second processor and waits until its address takes connections.
func (w *world) run(ctx context.Context, address string, environment []string, command ...string) (int, error) {
	c := exec.CommandContext(ctx, "taskset", append([]string{"-c", "1"}, command...)...)
	c.Env = append(os.Environ(), environment...)
	var words bytes.Buffer
	c.Stderr, c.Stdout = &words, &words
	if err := c.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	w.closers = append(w.closers, func() { _ = c.Process.Signal(syscall.SIGTERM); <-ended })
	for range 1000 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return c.Process.Pid, conn.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return 0, fmt.Errorf("%s: %w\n%s", command[0], err, words.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("%s does not listen on %s\n%s", command[0], address, words.String())
}

// freeAddress gives an address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (w *world) addFloor(ctx context.Context, upstream string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	pid, err := w.run(ctx, address, []string{roleVariable + "=floor"}, self, w.path("mail.pem"), w.path("mail.key"), upstream, w.path("ca.pem"), address)
	w.targets = append(w.targets, &target{name: "floor", imap: address, roots: w.roots, login: "u", password: "p", process: pid})
	return err
}

// addDovecot adds Dovecot's IMAP proxy, where it is installed. It signs in upstream by PLAIN with a master password: it has
// no way to get tokens.
func (w *world) addDovecot(ctx context.Context, upstream string) error {
	binary, err := exec.LookPath("/usr/sbin/dovecot")
	if err != nil {
		return nil
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	host, upstreamPort, _ := net.SplitHostPort(upstream)
	base := w.path("dovecot")
	config := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap
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
  args = nopassword=y proxy=y host=%[5]s port=%[6]s ssl=any-cert pass=p
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
`, base, w.path("mail.pem"), w.path("mail.key"), w.path("ca.pem"), host, upstreamPort, port)
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
	w.targets = append(w.targets, &target{name: "dovecot", imap: address, roots: w.roots, login: "u", password: "p", process: pid})
	return nil
}

// addNginx adds nginx's stream module with TLS on both sides, where it is installed. It does not sign in: the client's
// LOGIN goes through to upstream.
func (w *world) addNginx(ctx context.Context, upstream string) error {
	binary, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		return nil
	}
	address, err := freeAddress()
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
  server {
    listen %s ssl;
    ssl_certificate %s;
    ssl_certificate_key %s;
    ssl_protocols TLSv1.3;
    proxy_pass %s;
    proxy_ssl on;
    tcp_nodelay on;
  }
}
`, module, w.path("nginx.pid"), w.path("nginx.log"), address, w.path("mail.pem"), w.path("mail.key"), upstream)
	file := w.path("nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	pid, err := w.run(ctx, address, nil, binary, "-c", file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nginx is left out:", err)
		return nil
	}
	w.targets = append(w.targets, &target{name: "nginx", imap: address, roots: w.roots, login: "u", password: "p", process: pid})
	return nil
}

// family gives a process and all its descendants.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", all[i], all[i]))
		for child := range strings.FieldsSeq(string(children)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// cpu gives the processor time that a target has used, that of its ended children included.
func (t *target) cpu() time.Duration {
	total := 0
	for _, pid := range family(t.process) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, after, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(after))
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime of proc(5)
			n, _ := strconv.Atoi(field)
			total += n
		}
	}
	return time.Duration(total) * 10 * time.Millisecond
}

// memory gives the proportional set size of a target in bytes.
func (t *target) memory() float64 {
	total := 0
	for _, pid := range family(t.process) {
		rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.SplitSeq(string(rollup), "\n") {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
				total += n
			}
		}
	}
	return float64(total) * 1024
}
