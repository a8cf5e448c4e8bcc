package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver named sqlite
)

//go:embed migrations/sqlite/*.sql
var sqliteFiles embed.FS

const (
	// sqliteReaders is how many reads run at the same time at most.
	sqliteReaders = 4

	// Every connection waits for others for up to five seconds.
	sqlitePragmas = "_pragma=busy_timeout(5000)"
	// The writer's commits are on the disk when they return, which NORMAL does not promise in WAL mode. Its transactions
	// take the lock when they begin: one that first reads and then writes would fail if another came between.
	sqliteWriter = sqlitePragmas + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	sqliteReader = sqlitePragmas + "&_pragma=query_only(1)"
)

// sqlitePath gives the file that a DSN names. Its errors do not repeat the DSN: those of other engines hold passwords.
func sqlitePath(dsn string) (string, error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	switch {
	case !ok:
		return "", errors.New("store: this version of Postern keeps its state in SQLite only: write sqlite:FILE")
	case path == "" || strings.HasPrefix(path, ":"): // :memory: is gone with the process
		return "", errors.New("store: it names no file: write sqlite:FILE")
	}
	return filepath.Clean(path), nil
}

// sqliteExists reports whether there is a database, or there may be.
func sqliteExists(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return info.Size() > 0
}

// sqliteURI gives the driver's name for a file. Without escaping, a question mark in its name would begin the options.
func sqliteURI(path, options string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options
}

// openSQLite opens, makes and migrates a database. Other processes that open it at the same time wait.
func (s *Store) openSQLite(ctx context.Context, path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	unlock, err := lockFolder(folder)
	if err != nil {
		return fmt.Errorf("locking its folder: %w", err)
	}
	defer unlock()
	current, err := s.inspectSQLite(ctx, path)
	if err != nil {
		return err
	}
	if s.writer, err = sql.Open("sqlite", sqliteURI(path, sqliteWriter)); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if !current {
		if err := migrate(ctx, goose.DialectSQLite3, s.writer, sqliteMigrations()); err != nil {
			return err
		}
	}
	if err := s.claim(ctx); err != nil {
		return err
	}
	if s.reader, err = sql.Open("sqlite", sqliteURI(path, sqliteReader)); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(sqliteReaders)
	s.reader.SetMaxIdleConns(sqliteReaders)
	return nil
}

func sqliteMigrations() fs.FS {
	migrations, err := fs.Sub(sqliteFiles, "migrations/sqlite")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return migrations
}

// inspectSQLite looks at the file before anything is changed: who may use it, whose it is, and how new. Where there is
// none it makes an empty one. current reports that it needs no migration.
func (s *Store) inspectSQLite(ctx context.Context, path string) (current bool, err error) {
	if !sqliteExists(path) {
		return false, createPrivate(path)
	}
	// SQLite gives the two files of the write-ahead log the mode of the database.
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if err := checkPrivate(file); err != nil {
			return false, err
		}
	}
	// Reading a database in WAL mode makes the two files of the log where they are missing, which would be a change. They
	// are missing when nobody has the database open; and nobody opens it while its folder is locked.
	options := sqlitePragmas + "&mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		options += "&immutable=1"
	}
	db, err := sql.Open("sqlite", sqliteURI(path, options))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	return s.inspect(ctx, db)
}

// inspect checks the schema's version and the ring, reading only.
func (s *Store) inspect(ctx context.Context, db *sql.DB) (current bool, err error) {
	var tables, migrated int
	const count = `SELECT COUNT(*), COALESCE(SUM(name = '` + versionTable + `'), 0) FROM sqlite_master WHERE type = 'table'`
	if err := db.QueryRowContext(ctx, count).Scan(&tables, &migrated); err != nil {
		return false, err
	}
	if migrated == 0 {
		if tables > 0 {
			return false, errors.New("it is not a database of Postern: name another file")
		}
		return false, nil // made by a process that died before it could migrate
	}
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return false, err
	}
	newest, err := newestVersion(sqliteMigrations())
	if err != nil {
		return false, err
	}
	if version > newest {
		return false, fmt.Errorf("its schema is version %d, and this program knows versions up to %d: use a newer Postern; nothing was changed", version, newest)
	}
	if version == 0 {
		return false, nil
	}
	var id string
	switch err := db.QueryRowContext(ctx, ringSQL, ringFact).Scan(&id); {
	case errors.Is(err, sql.ErrNoRows):
		return version == newest, nil // made by a process that died before it could claim it
	case err != nil:
		return false, err
	}
	return version == newest, belongs(id, s.ring)
}

// pointRead gives the context for a read of one row by its key. An ended context ends it before it begins, and not
// while it runs: a read of SQLite that can be cancelled costs two goroutines and twice the time (20 µs become 38), and
// there is nothing to wait for, since readers do not wait for writers.
func pointRead(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// unsynced runs do on the writer's connection, whose commits need not be on the disk when it returns: for what is worth
// nothing after a loss of power. In WAL mode such a commit costs no sync (pragma synchronous), which takes some milliseconds.
func (s *Store) unsynced(ctx context.Context, do func(*sql.Conn) error) (err error) {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = NORMAL`); err != nil {
		return err
	}
	defer func() {
		if _, failed := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = FULL`); failed != nil {
			// Nobody may commit on it who counts on the sync. The pool opens another, which syncs.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	return do(conn)
}

// createPrivate makes an empty file, which SQLite takes for a new database, so that it has the right mode from the start.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// checkPrivate gives an error if others than its owner can use a file. It does not open it: closing it would release the
// locks that this process has on it through SQLite (fcntl(2)).
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&^0o600 != 0:
		return fmt.Errorf("the mode of %s is %04o, so that others than its owner can use it: chmod 600 it", path, info.Mode().Perm())
	}
	return nil
}

// lockFolder keeps other processes from opening a store in the same folder until unlock is called.
func lockFolder(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// onWriter runs do in a transaction of the writer. One that is not durable is not synced: it survives the end of the
// process, and the next durable one carries it to the disk.
func (s *Store) onWriter(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) (err error) {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if !durable {
		if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = NORMAL"); err != nil {
			return err
		}
		defer func() {
			_, full := conn.ExecContext(ctx, "PRAGMA synchronous = FULL")
			err = errors.Join(err, full)
		}()
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
