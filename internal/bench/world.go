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
	imap, smtp      string                 // addresses; empty for what it does not have
	login, password string                 // for IMAP
	deliveries      map[string]credentials // for SMTP, by what a message goes by
	started         time.Duration          // from its start to the end of its first sign-in
	process         int                    // whose CPU and memory count, with its children; 0 for none
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
	smtps, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() { _ = imap.Close() }, func() { _ = smtp.Close() }, func() { _ = smtps.Close() })
	go serveIMAPUpstream(imap)
	go serveSMTPUpstream(smtp, config)
	go serveSMTPUpstream(smtps, config)
	w.targets = append(w.targets, &target{name: "upstream", imap: imap.Addr().String(), smtp: smtps.Addr().String(), roots: w.roots,
		login: "u", password: "p", deliveries: relayed})
	if err := w.addFloor(ctx, imap.Addr().String()); err != nil {
		return err
	}
	w.gateway = gateway{binary: binary, imap: imap.Addr().String(), smtp: smtp.Addr().String()}
	if err := w.addPostern(ctx, config); err != nil {
		return err
	}
	if err := w.addDovecot(ctx, imap.Addr().String(), smtps.Addr().String()); err != nil {
		return err
	}
	if err := w.addNginx(ctx, imap.Addr().String(), smtps.Addr().String()); err != nil {
		return err
	}
	return w.addPostfix(ctx, smtp.Addr().String())
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
