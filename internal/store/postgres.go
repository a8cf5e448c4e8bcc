package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"postern/internal/keys"
	"postern/internal/secret"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// postgresWriters, postgresHasty and postgresReaders are how many connections of each kind a gateway has at most; they
	// are made when they are needed. A server takes 100 unless it is told otherwise.
	postgresWriters = 8
	postgresHasty   = 6
	postgresReaders = 6
	// postgresIdle is how long a connection that nobody needs is kept.
	postgresIdle = 5 * time.Minute
	// postgresTries is how often a transaction is tried that gets into the way of others.
	postgresTries = 6
)

// postgres is the engine for a server that several gateways share. Transactions see what others have committed before each
// statement (READ COMMITTED): those that read and then write lock what they have read.
type postgres struct {
	config *pgx.ConnConfig
	pools
	quick *sql.DB // a pool whose commits return before they are on the disk
	clock sharedClock
}

// newPostgres gives the engine for a URL.
func newPostgres(dsn string, password secret.Text) (*postgres, error) {
	config, err := postgresConfig(dsn, password)
	if err != nil {
		return nil, err
	}
	return &postgres{config: config}, nil
}

func (e *postgres) String() string {
	return fmt.Sprintf("postgres://%s@%s:%d/%s", e.config.User, e.config.Host, e.config.Port, e.config.Database)
}

func (e *postgres) lockRows() string   { return " FOR UPDATE" }
func (e *postgres) skipLocked() string { return " FOR UPDATE SKIP LOCKED" }
func (e *postgres) grouped() bool      { return false }
func (e *postgres) turns() int         { return postgresWriters }
func (e *postgres) now() time.Time     { return e.clock.now() }

// postgresTables counts the tables where ours are or will be.
const postgresTables = `SELECT COUNT(*), COUNT(*) FILTER (WHERE tablename = ?) FROM pg_tables WHERE schemaname = current_schema()`

// exists reports whether there are tables.
func (e *postgres) exists(ctx context.Context) (bool, error) {
	db := openPostgres(e.config, nil)
	defer db.Close()
	var all, migrated int
	err := db.QueryRowContext(ctx, postgresTables, versionTable).Scan(&all, &migrated)
	return all > 0, err
}

// open opens and migrates a database. Of several gateways that do so at the same time one migrates, and the others wait.
func (e *postgres) open(ctx context.Context, ring *keys.Ring) (pools, error) {
	e.reader = openPostgres(e.config, map[string]string{"default_transaction_read_only": "on"})
	e.reader.SetMaxOpenConns(postgresReaders)
	e.reader.SetMaxIdleConns(postgresReaders)
	current, err := inspect(ctx, e.reader, postgresTables, migrationsOf("postgres"), ring)
	if err != nil {
		return pools{}, err
	}
	e.writer = openPostgres(e.config, nil)
	e.writer.SetMaxOpenConns(postgresWriters)
	e.writer.SetMaxIdleConns(postgresWriters)
	if !current {
		if err := e.migrate(ctx, ring); err != nil {
			return pools{}, err
		}
	}
	if err := claim(ctx, e.writer, ring); err != nil {
		return pools{}, err
	}
	e.quick = openPostgres(e.config, map[string]string{"synchronous_commit": "off"})
	e.quick.SetMaxOpenConns(postgresHasty)
	e.quick.SetMaxIdleConns(postgresHasty)
	for _, db := range []*sql.DB{e.reader, e.writer, e.quick} {
		db.SetConnMaxIdleTime(postgresIdle)
	}
	return e.pools, e.clock.start(ctx, e.reader)
}

// migrate brings the schema up to date under a lock of the whole database, and looks at it once more: a newer program may
// have had the lock before.
func (e *postgres) migrate(ctx context.Context, ring *keys.Ring) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	// A migration may take as long as it needs, and may not wait for long for those who are at work.
	db := openPostgres(e.config, map[string]string{"statement_timeout": "0"})
	err = migrate(ctx, goose.DialectPostgres, db, migrationsOf("postgres"), goose.WithSessionLocker(locker))
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	_, err = inspect(ctx, e.reader, postgresTables, migrationsOf("postgres"), ring)
	return err
}

func (e *postgres) close() error {
	e.clock.stop()
	if e.quick != nil {
		return errors.Join(e.pools.close(), e.quick.Close())
	}
	return e.pools.close()
}

// transact runs do in a transaction, and again when the server took it back because it stood in the way of another.
func (e *postgres) transact(ctx context.Context, durable bool, do func(context.Context, *sql.Tx) error) error {
	db := e.writer
	if !durable {
		db = e.quick
	}
	for try := 1; ; try++ {
		err := oneTransaction(ctx, db, do)
		if err == nil || try == postgresTries || !inTheWay(err) {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		case <-ctx.Done():
			return err
		}
	}
}

// inTheWay reports whether the server took a transaction back as a whole, so that it may go well the next time.
func inTheWay(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	return refused.Code == "40001" || refused.Code == "40P01" // serialization_failure, deadlock_detected
}

// answerLost reports whether the connection broke when it was open, or the server ended it: a commit that was under way then
// may have been carried out.
func (e *postgres) answerLost(err error) bool {
	var refused *pgconn.PgError
	var unconnected *pgconn.ConnectError
	switch {
	case err == nil, errors.As(err, &unconnected), errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &refused):
		return strings.HasPrefix(refused.Code, "57P") || strings.HasPrefix(refused.Code, "08") // operator intervention, connection exception
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed)
}

func (e *postgres) duplicate(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "23505" // unique_violation
}

// hasty runs a statement whose commit returns before it is on the disk: it survives the end of this process, and may be
// lost with the server.
func (e *postgres) hasty(ctx context.Context, query string, arguments ...any) (sql.Result, error) {
	return e.quick.ExecContext(ctx, query, arguments...)
}

// serialise takes a lock that ends with the transaction. Different words may have the same lock: that costs time and no
// more.
func (e *postgres) serialise(ctx context.Context, tx *sql.Tx, what ...string) error {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(strings.Join(what, "\x00")))
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(?)`, int64(hash.Sum64()))
	return err
}

// pointRead gives the context as it is: a server may hang.
func (e *postgres) pointRead(ctx context.Context) (context.Context, error) { return ctx, ctx.Err() }

// snapshot is the server's own to make.
func (e *postgres) snapshot(context.Context, string) error {
	return fmt.Errorf("PostgreSQL makes copies itself: pg_dump --format=custom --host=%s --port=%d --username=%s --file=postern.dump %s, or pg_basebackup for the whole server; after pg_restore, and before any gateway starts: postern restore --mark",
		e.config.Host, e.config.Port, e.config.User, e.config.Database)
}

// withoutKeys opens the database.
func (e *postgres) withoutKeys(_ context.Context, do func(*sql.DB, goose.Dialect, string) error) (err error) {
	db := openPostgres(e.config, nil)
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db, goose.DialectPostgres, "postgres")
}
