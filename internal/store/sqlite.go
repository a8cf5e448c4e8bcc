package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/internal/keys"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver named sqlite
)

const (
	// sqliteReaders is how many reads run at the same time at most.
	sqliteReaders = 4

	// Every connection waits for others for up to five seconds.
	sqlitePragmas = "_pragma=busy_timeout(5000)"
	// The writer's commits are on the disk when they return, which NORMAL does not promise in WAL mode. Its transactions
	// take the lock when they begin: one that first reads and then writes would fail if another came between.
	// Checkpoints are made by [writeAheadLog].
	sqliteWriter = sqlitePragmas + "&_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)&_txlock=immediate"
	sqliteReader = sqlitePragmas + "&_pragma=query_only(1)"
)

// sqlite is the engine for one machine: a file. It has one writer, so that transactions run one after the other anyway.
type sqlite struct {
	path  string
	began time.Time // for a clock that nobody sets while the process runs
	pools           // the writer has one connection: writers wait for each other there and not in the database
}

// newSQLite gives the engine for a file.
func newSQLite(path string) (*sqlite, error) {
	if path == "" || strings.HasPrefix(path, ":") { // :memory: is gone with the process
		return nil, errors.New("store: it names no file: write sqlite:FILE")
	}
	return &sqlite{path: filepath.Clean(path), began: time.Now()}, nil
}

func (e *sqlite) String() string                       { return fmt.Sprintf("%q", e.path) }
func (e *sqlite) exists(context.Context) (bool, error) { return sqliteExists(e.path), nil }
func (e *sqlite) lockRows() string                     { return "" }
func (e *sqlite) skipLocked() string                   { return "" }
func (e *sqlite) grouped() bool                        { return true }
func (e *sqlite) turns() int                           { return 1 }
func (e *sqlite) now() time.Time                       { return e.began.Add(time.Since(e.began)) }

func (e *sqlite) serialise(context.Context, *sql.Tx, ...string) error { return nil }

// open opens, makes and migrates a database. Other processes that open it at the same time wait.
func (e *sqlite) open(ctx context.Context, ring *keys.Ring) (pools, error) {
	folder := filepath.Dir(e.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return pools{}, err
	}
	unlock, err := lockFolder(folder)
	if err != nil {
		return pools{}, fmt.Errorf("locking its folder: %w", err)
	}
	defer unlock()
	current, err := e.inspect(ctx, ring)
	if err != nil {
		return pools{}, err
	}
	if e.writer, err = openSQLite(sqliteURI(e.path, sqliteWriter), &writeAheadLog{path: e.path}); err != nil {
		return pools{}, err
	}
	e.writer.SetMaxOpenConns(1)
	if !current {
		if err := migrate(ctx, goose.DialectSQLite3, e.writer, migrationsOf("sqlite")); err != nil {
			return pools{}, err
		}
	}
	if err := claim(ctx, e.writer, ring); err != nil {
		return pools{}, err
	}
	if err := syncFolder(folder); err != nil {
		return pools{}, err
	}
	if e.reader, err = openSQLite(sqliteURI(e.path, sqliteReader), nil); err != nil {
		return pools{}, err
	}
	e.reader.SetMaxOpenConns(sqliteReaders)
	e.reader.SetMaxIdleConns(sqliteReaders)
	return e.pools, nil
}

func (e *sqlite) close() error { return e.pools.close() }

// syncFolder makes the names of the database and of its log durable, both of which are there now and stay for as long as
// it is open. SQLite syncs the folder itself, and does not mind when that fails: all that is promised later would then
// be in a file that a loss of power takes away (threat model I-04).
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing its folder: %w", err)
	}
	return nil
}

// inspect looks at the file before anything is changed: who may use it, whose it is, and how new. Where there is none it
// makes an empty one. current reports that it needs no migration.
func (e *sqlite) inspect(ctx context.Context, ring *keys.Ring) (current bool, err error) {
	if !sqliteExists(e.path) {
		return false, createPrivate(e.path)
	}
	// SQLite gives the two files of the write-ahead log the mode of the database.
	for _, file := range []string{e.path, e.path + "-wal", e.path + "-shm"} {
		if err := checkPrivate(file); err != nil {
			return false, err
		}
	}
	// Reading a database in WAL mode makes the two files of the log where they are missing, which would be a change. They
	// are missing when nobody has the database open; and nobody opens it while its folder is locked.
	options := sqlitePragmas + "&mode=ro"
	if _, err := os.Stat(e.path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		options += "&immutable=1"
	}
	db, err := sql.Open("sqlite", sqliteURI(e.path, options))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	const tables = `SELECT COUNT(*), COALESCE(SUM(name = ?), 0) FROM sqlite_master WHERE type = 'table'`
	return inspect(ctx, db, tables, migrationsOf("sqlite"), ring)
}

// pointRead gives the context for a read of one row by its key. An ended context ends it before it begins, and not
// while it runs: a read of SQLite that can be cancelled costs two goroutines and twice the time (20 µs become 38), and
// there is nothing to wait for, since readers do not wait for writers.
func (e *sqlite) pointRead(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// transact runs do in a transaction of the writer. One that is not durable is not synced: it survives the end of the
// process, and the next durable one carries it to the disk.
func (e *sqlite) transact(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) error {
	if !durable {
		ctx = unsynced(ctx)
	}
	return oneTransaction(ctx, e.writer, do)
}

// answerLost is false: a commit of this process's own is known to it.
func (e *sqlite) answerLost(error) bool { return false }

func (e *sqlite) duplicate(error) bool { return false }

// hasty runs a statement whose commit is not synced.
func (e *sqlite) hasty(ctx context.Context, query string, arguments ...any) (sql.Result, error) {
	return e.writer.ExecContext(unsynced(ctx), query, arguments...)
}

// snapshot writes a copy as it is when the writing begins (VACUUM INTO), from a connection of its own. Writers do not wait for it.
func (e *sqlite) snapshot(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", fs.ErrExist, path)
	}
	if err := createPrivate(path); err != nil { // SQLite takes an empty file, which so has the right mode from the start
		return err
	}
	db, err := sql.Open("sqlite", sqliteURI(e.path, sqlitePragmas))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// withoutKeys opens the file, which must be there.
func (e *sqlite) withoutKeys(_ context.Context, do func(*sql.DB, goose.Dialect, string) error) (err error) {
	if !sqliteExists(e.path) {
		return fmt.Errorf("there is no database at %s", e.path)
	}
	db, err := sql.Open("sqlite", sqliteURI(e.path, sqliteWriter))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	return do(db, goose.DialectSQLite3, "sqlite")
}
