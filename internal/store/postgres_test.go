package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/postgrestest"
	"postern/internal/secret"
)

// openPostgresAt opens a store until the end of the test.
func openPostgresAt(t *testing.T, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, newRing(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestNodesMigrateOnce: gateways that start at the same moment on a new database make it once, and all of them open it.
func TestNodesMigrateOnce(t *testing.T) {
	dsn, ring := postgrestest.DSN(t), newRing(t)
	stores := make([]*Store, 4)
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() {
			var err error
			if stores[i], err = Open(t.Context(), dsn, ring); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, s := range stores {
		if s == nil {
			continue
		}
		addOne(t, s, fmt.Sprint(i))
		defer s.Close()
	}
	if t.Failed() {
		return
	}
	twice, err := rows(t.Context(), stores[0].reader, scanText, `SELECT CAST(version_id AS TEXT) FROM `+versionTable+` GROUP BY version_id HAVING COUNT(*) > 1`)
	if err != nil || len(twice) > 0 {
		t.Errorf("migrations that ran twice: %q, %v", twice, err)
	}
	if _, err := Open(t.Context(), dsn, newRing(t)); err == nil || !strings.Contains(err.Error(), "keys of ring") {
		t.Errorf("with another ring: got %v", err)
	}
}

func TestPostgreSQLSettings(t *testing.T) {
	s := openPostgresAt(t, postgrestest.DSN(t))
	e := s.engine.(*postgres)
	for _, test := range []struct {
		pool, setting, want string
	}{
		{"writer", "synchronous_commit", "on"}, {"quick", "synchronous_commit", "off"}, {"reader", "default_transaction_read_only", "on"},
		{"writer", "statement_timeout", "30s"}, {"writer", "lock_timeout", "10s"}, {"writer", "transaction_isolation", "read committed"},
		{"writer", "application_name", "postern"},
	} {
		db := map[string]*sql.DB{"writer": e.writer, "quick": e.quick, "reader": e.reader}[test.pool]
		if got, err := scanText(db.QueryRowContext(t.Context(), "SHOW "+test.setting)); err != nil || got != test.want {
			t.Errorf("%s of the %s: got %q (%v), want %q", test.setting, test.pool, got, err, test.want)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), `DELETE FROM accounts`); err == nil {
		t.Error("a reader can write")
	}
	storage, err := scanText(s.reader.QueryRowContext(t.Context(), `SELECT CAST(attstorage AS TEXT) FROM pg_attribute WHERE attrelid = 'queue_parts'::regclass AND attname = 'sealed'`))
	if err != nil || storage != "e" {
		t.Errorf("the content of messages is stored %q (%v), want e (external)", storage, err)
	}
}

// TestPostgreSQLPassword: it comes from where it was given, or from libpq's password file, and no error shows it.
func TestPostgreSQLPassword(t *testing.T) {
	dsn := postgrestest.DSN(t)
	postgrestest.Do(t, dsn, `DROP ROLE IF EXISTS asked`, `CREATE ROLE asked LOGIN PASSWORD 'hunter2'`, `GRANT CREATE ON SCHEMA public TO asked`)
	asked := strings.Replace(dsn, postgrestest.User+"@", "asked@", 1)
	try := func(options ...Option) error {
		s, err := Open(t.Context(), asked, newRing(t), options...)
		if err == nil {
			err = s.Close()
			postgrestest.Do(t, dsn, `DROP OWNED BY asked`, `GRANT CREATE ON SCHEMA public TO asked`)
		}
		return err
	}
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	if err := try(); err == nil {
		t.Error("it opens without a password")
	}
	if err := try(WithPassword(secret.New("hunter3"))); err == nil || strings.Contains(err.Error(), "hunter3") || !strings.Contains(err.Error(), "asked") {
		t.Errorf("a wrong password: got %v, want an error with the user and without the password", err)
	}
	if err := try(WithPassword(secret.New("hunter2"))); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:asked:hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", file)
	if err := try(); err != nil {
		t.Errorf("with a password file: %v", err)
	}
}

// TestPostgreSQLProvesItself: a server on another machine has to show a good certificate unless the URL says otherwise.
func TestPostgreSQLProvesItself(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://postern@db.contoso.example/postern":                 "verified",
		"postgres://postern@db.contoso.example/postern?sslmode=require": "unverified",
		"postgres://postern@db.contoso.example/postern?sslmode=disable": "clear",
		"postgres://postern@192.0.2.7/postern":                          "verified",
		"postgres://postern@127.0.0.1/postern?sslmode=disable":          "clear",
		"postgres:///postern?host=/var/run/postgresql":                  "clear",
	} {
		config, err := postgresConfig(dsn, secret.Text{})
		if err != nil {
			t.Fatal(err)
		}
		got := "clear"
		switch {
		case config.TLSConfig != nil && config.TLSConfig.InsecureSkipVerify:
			got = "unverified"
		case config.TLSConfig != nil && config.TLSConfig.ServerName == config.Host && len(config.Fallbacks) == 0:
			got = "verified"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", dsn, got, want)
		}
	}
}

// TestPostgreSQLGoesOn: connections that break, because the server was started anew, are made anew.
func TestPostgreSQLGoesOn(t *testing.T) {
	dsn := postgrestest.DSN(t)
	s := openPostgresAt(t, dsn)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		addOne(t, s, fmt.Sprint("before ", i))
		if _, err := s.Passwords(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		postgrestest.Do(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = '`+strings.Trim(u.Path, "/")+`'`)
		goesOn(t, "reading", func() error {
			_, err := s.Passwords(t.Context(), "")
			return err
		})
		goesOn(t, "writing", func() error { return s.LockLogin(t.Context(), Lock{Login: fmt.Sprint(i), Since: time.Now()}) })
	}
}

// goesOn fails the test unless a call succeeds soon.
func goesOn(t *testing.T, what string, call func() error) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := call()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s after the connections broke: %v", what, err)
		}
	}
}

// TestLostPartsAreNoticed: a message whose parts went with a server that fell is not accepted.
func TestLostPartsAreNoticed(t *testing.T) {
	dsn := postgrestest.DSN(t)
	s := openPostgresAt(t, dsn)
	for _, part := range []int{0, 1} {
		if err := s.WriteParts(t.Context(), "m", []Part{{Number: part, Content: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	postgrestest.Do(t, dsn, `DELETE FROM queue_parts WHERE number = 0`)
	m := QueuedMessage{ID: "m", Mailbox: "m", Login: "l", State: Waiting, Parts: 3, Accepted: time.Now(), NextTry: time.Now(), Record: []byte("r")}
	if err := s.Enqueue(t.Context(), m, []Part{{Number: 2, Content: []byte("x")}}, s.Generation()); err == nil {
		t.Error("a message of three parts was accepted with two")
	}
	if _, err := s.QueuedMessage(t.Context(), "m"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want nothing in the queue", err)
	}
}

// TestSharedClock: the clock is the server's, whatever this machine's says, and does not stand still.
func TestSharedClock(t *testing.T) {
	s := openPostgresAt(t, postgrestest.DSN(t))
	if off := time.Since(s.Now()).Abs(); off > 2*time.Second {
		t.Errorf("the server on this machine is %v off", off)
	}
	var c sharedClock
	c.reading.Store(&clockReading{theirs: time.Unix(1000, 0), ours: time.Now().Add(-time.Minute)})
	if got := c.now(); got.Before(time.Unix(1060, 0)) || got.After(time.Unix(1070, 0)) {
		t.Errorf("a minute after 1000 s it is %v", got.Unix())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.look(ctx, s.reader); err == nil {
		t.Error("an ended context reads a clock")
	}
}
