// Package store is the gateway's persistent state: app passwords, locks, accounts and their token caches, in one SQL database.
//
// Rows hold no secret in the clear: of an app password there is a keyed hash, and token caches are sealed. Both keys are
// in a [keys.Ring] outside the database; the database remembers which ring it belongs to and does not open with another.
//
// The methods and their SQL are for every engine. What only one engine knows is in the file of its name: SQLite, for now.
// Package storetest says what an engine has to do. Migrations are embedded, one folder for each engine, and run when a
// store is opened; a database that a newer program has migrated is left alone.
//
// A store may be open in several processes on one machine: a gateway and a command of the administrator.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"postern/internal/keys"
)

// ErrNotFound is wrapped by the error of a method that was asked for, or to change, a row that is not there.
var ErrNotFound = errors.New("not found")

// Store is an open database. It is safe for concurrent use. Whoever opened it closes it.
//
// Times are kept to the millisecond, in UTC. What was written is on the disk when a method returns.
type Store struct {
	ring   *keys.Ring
	writer *sql.DB // one connection: writers wait for each other here and not in the database
	reader *sql.DB // a pool that cannot write
	// tokens lets those who write tokens and leases to the writer one by one, in the order in which they came: database/sql
	// picks by chance, and who is not picked for seconds has lost a refresh token.
	tokens chan struct{}

	committer *committer

	// The reads on the path of a sign-in, prepared.
	passwordByHash, tokenCache, account, locked *sql.Stmt
}

// Open opens the database that dsn names (sqlite:FILE), makes it where there is none, and migrates it. It refuses a
// database that belongs to another ring or that a newer program has migrated, and has then changed nothing.
func Open(ctx context.Context, dsn string, ring *keys.Ring) (*Store, error) {
	path, err := sqlitePath(dsn)
	if err != nil {
		return nil, err
	}
	s := &Store{ring: ring, tokens: make(chan struct{}, 1)}
	if err := s.openSQLite(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("store %q: %w", path, err), s.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store %q: %w", path, err), s.Close())
	}
	s.committer = newCommitter(s)
	return s, nil
}

// Exists reports whether there is a database already, so that the caller knows whether it may make new keys. In doubt,
// such as for a folder that cannot be looked into, there is one.
func Exists(dsn string) bool {
	path, err := sqlitePath(dsn)
	return err == nil && sqliteExists(path)
}

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
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
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
func row[T any](ctx context.Context, statement *sql.Stmt, scan func(scanner) (T, error), arguments ...any) (T, error) {
	ctx, err := pointRead(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return scan(statement.QueryRowContext(ctx, arguments...))
}

// rows reads all rows of a query.
func rows[T any](ctx context.Context, db *sql.DB, scan func(scanner) (T, error), query string, arguments ...any) ([]T, error) {
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
func (s *Store) claim(ctx context.Context) error {
	const insert = `INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
	if _, err := s.writer.ExecContext(ctx, insert, ringFact, s.ring.ID()); err != nil {
		return err
	}
	var id string
	if err := s.writer.QueryRowContext(ctx, ringSQL, ringFact).Scan(&id); err != nil {
		return err
	}
	return belongs(id, s.ring)
}

const ringSQL = `SELECT value FROM facts WHERE name = ?`

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

// inTransaction runs do in a transaction of the writer: all of it happens or nothing.
func (s *Store) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
