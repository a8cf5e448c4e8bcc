package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"strings"
	"time"

	"postern/internal/keys"
	"postern/internal/secret"

	"github.com/pressly/goose/v3"
)

// engine is what one database does in its own way. Everything else in this package is the same for all of them: the SQL
// has a question mark for each argument, and keeps to what all of them understand.
type engine interface {
	// String names the database to people, without secrets.
	String() string
	// exists reports whether there is a database already, or may be.
	exists(ctx context.Context) (bool, error)
	// open opens, makes and migrates the database, and makes it the ring's. It is called once; close is called after it,
	// also when it has failed.
	open(ctx context.Context, ring *keys.Ring) (pools, error)
	close() error
	// transact runs do in a transaction of its own: all of it happens or nothing. One that is not durable may be undone by a
	// loss of power, and costs no sync. do may be called more than once, where the engine found that the transaction got into
	// the way of another: what it hands out it has to set anew each time.
	transact(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) error
	// hasty runs a statement in the same way as a transaction that is not durable.
	hasty(ctx context.Context, query string, arguments ...any) (sql.Result, error)
	// answerLost reports whether a transaction that ended with an error may have been committed all the same.
	answerLost(err error) bool
	// duplicate reports whether an error is that of a row that is there already.
	duplicate(err error) bool
	// serialise makes transactions that call it with the same words run one after the other, from here to their end.
	serialise(ctx context.Context, tx *sql.Tx, what ...string) error
	// lockRows and skipLocked end a SELECT whose rows are to be changed: other transactions wait for the rows, or pass them over.
	lockRows() string
	skipLocked() string
	// pointRead gives the context for a read of one row by its key.
	pointRead(ctx context.Context) (context.Context, error)
	// grouped reports whether the changes of many callers are to share one commit: where there is one writer.
	grouped() bool
	// turns is how many of those who write tokens may do so at the same time.
	turns() int
	// snapshot writes a copy of the database to a new file.
	snapshot(ctx context.Context, path string) error
	// withoutKeys runs do on a database that is not open, whosever it is.
	withoutKeys(ctx context.Context, do func(db *sql.DB, dialect goose.Dialect, engine string) error) error
	// now is the time that all processes with this database share, as far as they can.
	now() time.Time
}

// pools are the connections of an open database.
type pools struct {
	writer *sql.DB // whose commits are on the disk when they return
	reader *sql.DB // that cannot write
}

func (p pools) close() error {
	var errs []error
	for _, db := range []*sql.DB{p.reader, p.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// An Option says something about a database that does not belong into its name.
type Option func(*options)

type options struct{ password secret.Text }

// WithPassword gives the password for a database that asks for one.
func WithPassword(password secret.Text) Option { return func(o *options) { o.password = password } }

// newEngine gives the engine for a DSN. Its errors do not repeat the DSN: people put passwords there.
func newEngine(dsn string, given []Option) (engine, error) {
	var o options
	for _, option := range given {
		option(&o)
	}
	kind, rest, _ := strings.Cut(dsn, ":")
	switch kind {
	case "sqlite":
		return newSQLite(rest)
	case "postgres", "postgresql":
		return newPostgres(dsn, o.password)
	}
	return nil, errors.New("store: no database is named so: write sqlite:FILE or postgres://USER@HOST/DATABASE")
}

//go:embed migrations/*/*.sql
var migrationFiles embed.FS

// migrationsOf gives the migrations of an engine.
func migrationsOf(engine string) fs.FS {
	migrations, err := fs.Sub(migrationFiles, "migrations/"+engine)
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return migrations
}
