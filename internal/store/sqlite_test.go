package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

func TestSQLiteFilesAreForTheirOwnerAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	folder := filepath.Join(t.TempDir(), "var", "postern")
	s := openAt(t, filepath.Join(folder, "postern.db"), newRing(t))
	if err := s.SaveEnrolment(t.Context(), Account{Provider: "contoso", Standing: Standing{Since: time.Now()}}, TokenCacheKey{}, nil); err != nil {
		t.Fatal(err)
	}
	files := slices.Sorted(maps.Keys(contents(t, folder)))
	if want := []string{"postern.db", "postern.db-shm", "postern.db-wal"}; !slices.Equal(files, want) {
		t.Errorf("got files %q, want %q", files, want)
	}
	for _, file := range files {
		if info, err := os.Stat(filepath.Join(folder, file)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: got mode %v (%v), want -rw-------", file, info.Mode(), err)
		}
	}
	for _, made := range []string{folder, filepath.Dir(folder)} {
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("folder %s: got mode %v (%v), want 0700", made, info.Mode(), err)
		}
	}
}

func TestSQLiteRefusesFilesThatOthersCanUse(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path, ring := database(t), newRing(t)
		makeAt(t, path, ring)
		file, err := os.OpenFile(path+suffix, os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if err := os.Chmod(path+suffix, 0o640); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), "sqlite:"+path, ring)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path+suffix+" is 0640") || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("database%s with mode 0640: got %v, want an error that names it and chmod 600", suffix, err)
		}
	}
}

// change runs statements on a database from outside.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefusesAndChangesNothing(t *testing.T) {
	newer := fmt.Sprintf(`INSERT INTO %s (version_id, is_applied) VALUES (99999, 1)`, versionTable)
	newest, err := newestVersion(migrationsOf("sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		ring  bool     // open with another ring
		want  []string // all in the error, besides the path
	}{
		"another ring":   {ring: true, want: []string{"postern.keys", "bring back the keys file"}},
		"a newer schema": {spoil: func(t *testing.T, path string) { change(t, path, newer) }, want: []string{"version 99999", fmt.Sprint("versions up to ", newest), "newer Postern"}},
		"both":           {spoil: func(t *testing.T, path string) { change(t, path, newer) }, ring: true, want: []string{"version 99999"}},
		"another's database": {
			spoil: func(t *testing.T, path string) {
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
				change(t, path, `CREATE TABLE bookmarks (url TEXT)`)
			},
			want: []string{"not a database of Postern"},
		},
		"no database": {
			spoil: func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte(strings.Repeat("precious ", 100)), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"not a database"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, ring := database(t), newRing(t)
			makeAt(t, path, ring)
			if test.spoil != nil {
				test.spoil(t, path)
			}
			if test.ring {
				ring = newRing(t)
			}
			before := contents(t, filepath.Dir(path))
			s, err := Open(t.Context(), "sqlite:"+path, ring)
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			for _, want := range append(test.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to contain %q", err, want)
				}
			}
			if diff := cmp.Diff(before, contents(t, filepath.Dir(path))); diff != "" {
				t.Errorf("files changed: %d bytes of difference", len(diff))
			}
		})
	}
}

// The same while a gateway has the database open, with its newest commits in the write-ahead log alone.
func TestOpenRefusesBesideARunningGateway(t *testing.T) {
	path := database(t)
	running := openAt(t, path, newRing(t))
	if _, err := Open(t.Context(), "sqlite:"+path, newRing(t)); err == nil || !strings.Contains(err.Error(), "keys of ring") {
		t.Errorf("another ring: got %v", err)
	}
	if _, err := running.writer.ExecContext(t.Context(), `INSERT INTO `+versionTable+` (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:"+path, running.ring); err == nil || !strings.Contains(err.Error(), "version 99999") {
		t.Errorf("a newer schema: got %v", err)
	}
}

func TestOpenGoesOnWhereACreatorDied(t *testing.T) {
	for name, died := range map[string]func(t *testing.T, path string){
		"before it migrated": func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"before the first migration": func(t *testing.T, path string) {
			change(t, path, `CREATE TABLE `+versionTable+` (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
				is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
				`INSERT INTO `+versionTable+` (version_id, is_applied) VALUES (0, 1)`)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"before it claimed it": func(t *testing.T, path string) {
			makeAt(t, path, newRing(t))
			change(t, path, `DELETE FROM facts`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, ring := database(t), newRing(t)
			died(t, path)
			openAt(t, path, ring)
			openAt(t, path, ring)
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("got mode %v (%v), want -rw-------", info.Mode(), err)
			}
			if _, err := Open(t.Context(), "sqlite:"+path, newRing(t)); err == nil {
				t.Error("it opens with another ring")
			}
		})
	}
}

func TestExists(t *testing.T) {
	path := database(t)
	check := func(what, dsn string, want bool) {
		t.Helper()
		if got, err := Exists(t.Context(), dsn); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", what, got, err, want)
		}
	}
	check("nothing", "sqlite:"+path, false)
	check("no folder", "sqlite:"+filepath.Join(path, "deeper", "postern.db"), false)
	for _, dsn := range []string{"mysql://db.example/postern", "postgres:///postern?host=" + t.TempDir()} {
		if got, err := Exists(t.Context(), dsn); err == nil {
			t.Errorf("%s: got %v and no error", dsn, got)
		}
	}
	makeAt(t, path, newRing(t))
	check("a database", "sqlite:"+path, true)
	check("a file for a folder", "sqlite:"+filepath.Join(path, "postern.db"), true)
}

func TestOpenRefusesOtherNames(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                "sqlite:FILE",
		"postern.db":      "sqlite:FILE",
		"sqlite:":         "no file",
		"sqlite::memory:": "no file",
		"postgres://u:hunter2@db.example/postern":          "a password in its URL",
		"postgres://u@db.example/postern?password=hunter2": "a password in its URL",
		"host=db.example password=hunter2":                 "postgres://USER@HOST",
	} {
		_, err := Open(t.Context(), dsn, newRing(t))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want an error with %q and without passwords", dsn, err, want)
		}
	}
}

func TestSQLiteTakesAnyFileName(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a?mode=memory", "b#c", "d%20e", "f g", "h;i", "ü", "-j", "k:l"} {
		openAt(t, filepath.Join(folder, name), newRing(t))
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	t.Chdir(folder)
	openAt(t, "relative.db", newRing(t))
	openAt(t, "./deeper//relative.db", newRing(t))
	for _, name := range []string{"relative.db", "deeper/relative.db"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestSQLiteSettings(t *testing.T) {
	s := openAt(t, database(t), newRing(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		var got string
		if err := s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s of the writer: got %q (%v), want %q", pragma, got, err, want)
		}
	}
	if n := s.writer.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("got %d connections that write, want 1", n)
	}
	if _, err := s.reader.ExecContext(t.Context(), `DELETE FROM accounts`); err == nil {
		t.Error("a reader can write")
	}
}

// A transaction that first reads and then writes must not find that another process wrote in between.
func TestTransactionsLockAsTheyBegin(t *testing.T) {
	path := database(t)
	s := openAt(t, path, newRing(t))
	err := s.inTransaction(t.Context(), func(*sql.Tx) error {
		other, err := sql.Open("sqlite", sqliteURI(path, "_pragma=busy_timeout(0)"))
		if err != nil {
			return err
		}
		defer other.Close()
		if _, err := other.ExecContext(t.Context(), `INSERT INTO facts VALUES ('a', 'b')`); err == nil || !strings.Contains(err.Error(), "SQLITE_BUSY") {
			t.Errorf("another writer: got %v, want that the database is busy", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The ring is looked at before a migration, which would be a change.
func TestRingIsCheckedReadingOnly(t *testing.T) {
	path := database(t)
	makeAt(t, path, newRing(t))
	other, err := newSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.inspect(t.Context(), newRing(t)); err == nil || !strings.Contains(err.Error(), "keys of ring") {
		t.Errorf("got %v, want an error about the ring", err)
	}
}

func TestReadersDoNotWaitForAWriter(t *testing.T) {
	s := openAt(t, database(t), newRing(t))
	err := s.inTransaction(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO facts VALUES ('a', 'b')`); err != nil {
			return err
		}
		_, found, err := s.PasswordByHash(t.Context(), [][]byte{{1}})
		if err != nil || found {
			t.Errorf("got %v, %v", found, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A database that an older program has made is brought up to date, with all that is in it.
func TestOldSchemaIsMigrated(t *testing.T) {
	path, ring := database(t), newRing(t)
	if err := createPrivate(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", sqliteURI(path, sqliteWriter))
	if err != nil {
		t.Fatal(err)
	}
	old, err := goose.NewProvider(goose.DialectSQLite3, db, migrationsOf("sqlite"),
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO accounts (provider, name, tenant_id, object_id, username, state, reason, since)
		VALUES ('contoso', 'alice', 't', 'o', 'alice', 'ok', '', 1000)`
	if _, err := db.ExecContext(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s := openAt(t, path, ring)
	if a, err := s.Account(t.Context(), "contoso", "alice"); err != nil || a.State != OK || a.Asked != 0 || !a.RetryAt.IsZero() {
		t.Errorf("got account %+v, %v", a, err)
	}
	if err := s.LockLogin(t.Context(), Lock{Login: "alice", Since: time.Unix(2, 0)}); err != nil {
		t.Error(err)
	}
}

// TestOnlyTheHastyAreNotSynced: what is not worth a sync costs nobody else theirs, whatever becomes of it.
func TestOnlyTheHastyAreNotSynced(t *testing.T) {
	const normal, full = 1, 2
	s := openAt(t, database(t), newRing(t))
	expect := func(after string, want int, in interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) {
		t.Helper()
		var got int
		if err := in.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&got); err != nil || got != want {
			t.Errorf("%s: synchronous is %d, %v; want %d", after, got, err, want)
		}
	}
	within := func(name string, durable bool, want int) error {
		return s.engine.transact(t.Context(), durable, func(_ context.Context, tx *sql.Tx) error {
			expect(name, want, tx)
			return nil
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	hasty := map[string]func() error{
		"taken": func() error {
			_, err := s.TakeLease(t.Context(), TokenCacheKey{}, "a", time.Now(), time.Minute)
			return err
		},
		"released":    func() error { return s.ReleaseLease(t.Context(), TokenCacheKey{}, "a") },
		"transaction": func() error { return within("in a hasty transaction", false, normal) },
		"taken back": func() error {
			_ = s.engine.transact(t.Context(), false, func(context.Context, *sql.Tx) error { return errors.New("no") })
			return nil
		},
		"ended": func() error {
			if _, err := s.engine.hasty(ended, `DELETE FROM facts WHERE name = 'x'`); err == nil {
				t.Error("an ended context did not end the call")
			}
			return nil
		},
	}
	for name, call := range hasty {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := within("a transaction after "+name, true, full); err != nil {
			t.Error(err)
		}
		if err := errors.Join(hasty["taken"](), call()); err != nil {
			t.Error(err)
		}
		if _, err := s.writer.ExecContext(t.Context(), `DELETE FROM facts WHERE name = 'x'`); err != nil {
			t.Error(err)
		}
		expect("a statement after "+name, full, s.writer)
	}
}
