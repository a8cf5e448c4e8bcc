// Package store is the gateway's persistent state: app passwords, locks, accounts and their token caches, the queue and its
// limits, in one SQL database.
//
// Rows hold no secret in the clear: of an app password there is a keyed hash, and token caches are sealed. Both keys are
// in a [keys.Ring] outside the database; the database remembers which ring it belongs to and does not open with another.
//
// The methods and their SQL are for every engine. What only one engine knows is in the files of its name: SQLite, for one
// machine, and PostgreSQL, which several gateways can share. Package storetest says what an engine has to do. Migrations are
// embedded, one folder for each engine with the same numbers, and run when a store is opened; a database that a newer
// program has migrated is left alone.
//
// A store may be open in several processes at the same time: gateways, and commands of the administrator.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"postern/internal/keys"
)

// ErrNotFound is wrapped by the error of a method that was asked for, or to change, a row that is not there.
var ErrNotFound = errors.New("not found")

// Store is an open database. It is safe for concurrent use. Whoever opened it closes it.
//
// Times are kept to the millisecond, in UTC. What was written is on the disk when a method returns.
type Store struct {
	ring     *keys.Ring
	printKey []byte // of Print
	engine   engine
	pools
	// tokens lets those who write tokens and leases to the writer one by one, in the order in which they came: database/sql
	// picks by chance, and who is not picked for seconds has lost a refresh token.
	tokens chan struct{}

	committer *committer

	// The reads on the path of a sign-in, prepared.
	passwordByHash, tokenCache, account, locked *sql.Stmt
}

// Open opens the database that dsn names (sqlite:FILE or postgres://USER@HOST/DATABASE), makes it where there is none, and
// migrates it. It refuses a database that belongs to another ring or that a newer program has migrated, and has then
// changed nothing.
func Open(ctx context.Context, dsn string, ring *keys.Ring, given ...Option) (*Store, error) {
	e, err := newEngine(dsn, given)
	if err != nil {
		return nil, err
	}
	s := &Store{ring: ring, engine: e, tokens: make(chan struct{}, e.turns())}
	if s.pools, err = e.open(ctx, ring); err == nil {
		s.printKey, err = openPrintKey(ctx, s.reader, ring)
	}
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", e, err), s.Close())
	}
	s.committer = newCommitter(e)
	return s, nil
}

// Exists reports whether there is a database already, so that the caller knows whether it may make new keys. In doubt, such
// as for a folder that cannot be looked into, there is one; a server that does not answer is an error.
func Exists(ctx context.Context, dsn string, given ...Option) (bool, error) {
	e, err := newEngine(dsn, given)
	if err != nil {
		return false, err
	}
	there, err := e.exists(ctx)
	if err != nil {
		return false, fmt.Errorf("store %s: %w", e, err)
	}
	return there, nil
}

// Now is the time that all gateways with this database share, as far as they can: what one of them writes about time,
// others read.
func (s *Store) Now() time.Time { return s.engine.now() }

// Shared reports whether several gateways may be at work with this database at the same time.
func (s *Store) Shared() bool { return !s.engine.grouped() }

// Close closes the store once running calls have ended.
func (s *Store) Close() error {
	if s.committer != nil {
		s.committer.close()
	}
	var errs []error
	for _, statement := range []*sql.Stmt{s.passwordByHash, s.tokenCache, s.account, s.locked} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	return errors.Join(append(errs, s.engine.close())...)
}

// prepare prepares the statements of the sign-in path.
func (s *Store) prepare(ctx context.Context) error {
	for query, statement := range map[string]**sql.Stmt{
		passwordByHashSQL: &s.passwordByHash,
		tokenCacheSQL:     &s.tokenCache,
		accountSQL:        &s.account,
		lockedSQL:         &s.locked,
	} {
		var err error
		if *statement, err = s.reader.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// row reads one row with a prepared statement of the sign-in path.
func row[T any](ctx context.Context, e engine, statement *sql.Stmt, scan func(scanner) (T, error), arguments ...any) (T, error) {
	ctx, err := e.pointRead(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return scan(statement.QueryRowContext(ctx, arguments...))
}

// rows reads all rows of a query.
func rows[T any](ctx context.Context, db queryer, scan func(scanner) (T, error), query string, arguments ...any) ([]T, error) {
	found, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var all []T
	for found.Next() {
		item, err := scan(found)
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, found.Err()
}

// scanner is one row, of a query for one or for many.
type scanner interface{ Scan(columns ...any) error }

// ringFact is the name of the fact that says which ring a database belongs to.
const ringFact = "ring"

// claim makes a new database the ring's, and makes sure that an old one is.
func claim(ctx context.Context, db *sql.DB, ring *keys.Ring) error {
	const insert = `INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
	if _, err := db.ExecContext(ctx, insert, ringFact, ring.ID()); err != nil {
		return err
	}
	var id string
	if err := db.QueryRowContext(ctx, factSQL, ringFact).Scan(&id); err != nil {
		return err
	}
	if err := belongs(id, ring); err != nil {
		return err
	}
	return claimPrintKey(ctx, db, ring)
}

const factSQL = `SELECT value FROM facts WHERE name = ?`

// belongs gives an error if a database with the ring of that id does not belong to ring.
func belongs(id string, ring *keys.Ring) error {
	if id == ring.ID() {
		return nil
	}
	return fmt.Errorf("it was made with the keys of ring %s, and the keys file %q has ring %s: bring back the keys file that belongs to it",
		id, ring.Path(), ring.ID())
}

// inTurn runs do when it is its turn among those who write tokens and leases.
func (s *Store) inTurn(ctx context.Context, do func() error) error {
	select {
	case s.tokens <- struct{}{}:
		defer func() { <-s.tokens }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTransaction runs do in a durable transaction: all of it happens or nothing. do may run more than once.
func (s *Store) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	return s.engine.transact(ctx, true, func(_ context.Context, tx *sql.Tx) error { return do(tx) })
}

// oneTransaction runs do in a transaction of a connection or a pool.
func oneTransaction(ctx context.Context, db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, do func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
