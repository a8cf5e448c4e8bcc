// Package postgrestest gives tests databases on a PostgreSQL server of their own. It is imported by tests alone.
//
// The server is started when the first test of a process asks for a database, in a folder under the system's temporary
// one, and listens on a unix socket in it and nowhere else. It ends, and its folder goes, when the process ends, however
// that ends. It does not sync unless it is asked to: what it has survives the end of the server, and not of the machine.
package postgrestest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is the server's superuser, who needs no password.
const User = "postern"

// server is a running server.
type server struct {
	folder string
	alive  io.Closer // the server ends with it
	ended  chan struct{}
}

// DSN gives the name of a new database that is empty. Where there is no PostgreSQL the test is skipped, or fails if the tools
// of tests are required.
func DSN(t testing.TB) string {
	t.Helper()
	s, err := start()
	if errors.Is(err, exec.ErrNotFound) {
		if os.Getenv("POSTERN_TEST_TOOLS") == "require" {
			t.Fatal("PostgreSQL's server is not installed; make tools installs it")
		}
		t.Skip("PostgreSQL's server is not installed; make tools installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	s.do(t, "CREATE DATABASE "+name)
	return s.dsn(name)
}

// DurableDSN is [DSN] on a server that syncs from now on, as one in use does: for what is about durability or its cost.
func DurableDSN(t testing.TB) string {
	t.Helper()
	dsn := DSN(t)
	s := running.Load()
	s.do(t, "ALTER SYSTEM SET fsync = on")
	s.do(t, "SELECT pg_reload_conf()")
	return dsn
}

var databases atomic.Int64

// start starts the server of this process once.
var start = sync.OnceValues(func() (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "postern-postgres-")
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder, ended: make(chan struct{})}
	if err := s.run(bin); err != nil {
		return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), os.RemoveAll(folder))
	}
	running.Store(s)
	return s, nil
})

// running is the server of this process, if one was started.
var running atomic.Pointer[server]

// Suite runs a package's tests and ends the server after them, so that a check for what is left behind finds nothing.
type Suite struct{ M *testing.M }

// Run runs the tests and gives their exit code.
func (s Suite) Run() int {
	code := s.M.Run()
	if server := running.Load(); server != nil {
		server.stop()
	}
	return code
}

// programs gives the folder of the newest server's programs, as Debian has them.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("initdb")
		return filepath.Dir(path), err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
	return filepath.Dir(newest), nil
}

// settings make a server that is quick rather than safe, and that is reached by nobody else.
const settings = `
listen_addresses = ''
unix_socket_permissions = 0700
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 32MB
autovacuum = off
logging_collector = off
deadlock_timeout = 200ms
`

// access lets everybody in who reaches the socket, but for one user who needs a password.
const access = "local all asked scram-sha-256\nlocal all all trust\n"

// run makes a cluster and starts its server. The shell between waits until this process closes its end of a pipe, or ends.
func (s *server) run(bin string) error {
	who, err := unprivileged(s.folder)
	if err != nil {
		return err
	}
	data := filepath.Join(s.folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", User, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: who}, s.folder
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	config := filepath.Join(data, "postgresql.conf")
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, append(text, fmt.Sprintf("%sunix_socket_directories = '%s'\n", settings, s.folder)...), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(access), 0o600); err != nil {
		return err
	}
	const watch = `"$1" -D "$2" >"$3/log" 2>&1 & server=$!; read -r _; kill -QUIT $server; wait $server; rm -rf "$3"`
	shell := exec.Command("/bin/sh", "-c", watch, "sh", filepath.Join(bin, "postgres"), data, s.folder)
	shell.SysProcAttr, shell.Dir = &syscall.SysProcAttr{Credential: who, Setpgid: true}, s.folder
	pipe, err := shell.StdinPipe()
	if err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return err
	}
	s.alive = pipe
	go func() {
		defer close(s.ended)
		_ = shell.Wait()
	}()
	return s.answers()
}

// unprivileged gives somebody to run the server as, who then owns the folder: PostgreSQL refuses to run as root.
func unprivileged(folder string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(folder, int(uid), int(gid))
}

// answers waits until the server takes connections.
func (s *server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it has ended: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server.
func (s *server) stop() {
	_ = s.alive.Close()
	<-s.ended
}

func (s *server) dsn(database string) string {
	return "postgres://" + User + "@/" + database + "?host=" + url.QueryEscape(s.folder)
}

// Do runs statements in the database that a DSN names, as somebody else would.
func Do(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) do(t testing.TB, statement string) {
	t.Helper()
	Do(t, s.dsn("postgres"), statement)
}
