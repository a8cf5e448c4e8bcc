package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	sqlitedriver "modernc.org/sqlite"
)

// maxStatements is how many statements a connection keeps. The queries of this package are constants, but for a few that
// are put together of parts: there are fewer than this.
const maxStatements = 256

// openSQLite opens a pool whose connections keep the statements that they have compiled: that is half of what a
// small transaction costs. The one that writes sees to the log as well; it is nil for those that do not.
func openSQLite(uri string, log *writeAheadLog) (*sql.DB, error) {
	connector, err := sqlitedriver.NewConnector(uri)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(sqliteConnector{connector, log}), nil
}

type sqliteConnector struct {
	driver.Connector
	log *writeAheadLog
}

// Connect implements [driver.Connector].
func (c sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(sqliteDriver)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("connections of the SQLite driver, %T, cannot do all that is needed", conn)
	}
	return &sqliteConn{sqliteDriver: full, statements: make(map[string]*statement), log: c.log}, nil
}

// sqliteDriver is what a connection of the driver can do, and a layer over it has to pass on.
type sqliteDriver interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// sqliteConn is a connection with its statements. As all connections of a pool it is used by one goroutine at a time.
type sqliteConn struct {
	sqliteDriver
	statements map[string]*statement
	log        *writeAheadLog // nil for one that only reads
	inside     bool           // a transaction
	level      string         // of synchronous, as it was set last; empty for as it was opened, or not known
}

// statement is one that has been compiled. While its rows are read it cannot be run again.
type statement struct {
	driver.StmtExecContext
	driver.StmtQueryContext
	close func() error
	busy  bool
}

// Unwrap gives the driver's connection, as the driver asks of layers over it.
func (c *sqliteConn) Unwrap() driver.Conn { return c.sqliteDriver }

// BeginTx implements [driver.ConnBeginTx].
func (c *sqliteConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if c.log == nil {
		return c.sqliteDriver.BeginTx(ctx, options)
	}
	if err := c.prepareCommit(ctx); err != nil {
		return nil, err
	}
	tx, err := c.sqliteDriver.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	c.inside = true
	return &sqliteTx{tx, c}, nil
}

// ExecContext implements [driver.ExecerContext].
func (c *sqliteConn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	result, err := c.run(ctx, query, arguments)
	if c.inside || changes(query) {
		c.over(ctx, err)
	}
	return result, err
}

// ready makes sure of the log before a statement that commits by itself.
func (c *sqliteConn) ready(ctx context.Context, query string) error {
	if c.log == nil || c.inside || !changes(query) {
		return nil
	}
	return c.prepareCommit(ctx)
}

type unsyncedKey struct{}

// unsynced marks what is done with a context: its commits need not be on the disk when they return. In WAL mode such a commit
// costs no sync (pragma synchronous), which takes some milliseconds.
func unsynced(ctx context.Context) context.Context {
	return context.WithValue(ctx, unsyncedKey{}, true)
}

// prepareCommit makes sure of the log, and that the next commit is synced, unless the context says that it need not be.
func (c *sqliteConn) prepareCommit(ctx context.Context) error {
	if err := c.log.mend(ctx, c.sqliteDriver); err != nil {
		return err
	}
	level := "FULL"
	if ctx.Value(unsyncedKey{}) != nil {
		level = "NORMAL"
	}
	if c.level == level {
		return nil
	}
	c.level = ""
	if _, err := c.sqliteDriver.ExecContext(ctx, "PRAGMA synchronous = "+level, nil); err != nil {
		return err
	}
	c.level = level
	return nil
}

// over takes note of what a write, or a commit, came to.
func (c *sqliteConn) over(ctx context.Context, err error) {
	switch {
	case c.log == nil:
	case err != nil:
		c.log.heed(err)
	case !c.inside:
		c.log.committed(ctx, c.sqliteDriver)
	}
}

func (c *sqliteConn) run(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteDriver.ExecContext(ctx, query, arguments)
	}
	return s.ExecContext(ctx, arguments)
}

// QueryContext implements [driver.QueryerContext].
func (c *sqliteConn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	rows, err := c.find(ctx, query, arguments)
	if err != nil {
		c.over(ctx, err)
	}
	return rows, err
}

func (c *sqliteConn) find(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteDriver.QueryContext(ctx, query, arguments)
	}
	found, err := s.QueryContext(ctx, arguments)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &statementRows{found, s, c}, nil
}

// statementRows are the rows of a statement, which is free again when they are closed.
type statementRows struct {
	driver.Rows
	of   *statement
	conn *sqliteConn
}

// Next implements [driver.Rows]. With the last row, a change that gives rows (RETURNING) is committed, which can fail.
func (r *statementRows) Next(row []driver.Value) error {
	err := r.Rows.Next(row)
	if err != nil && !errors.Is(err, io.EOF) {
		r.conn.over(context.Background(), err)
	}
	return err
}

// Close implements [driver.Rows].
func (r *statementRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}

// statement gives a compiled statement; nil for one that has to be compiled each time.
func (c *sqliteConn) statement(ctx context.Context, query string) (*statement, error) {
	if s, ok := c.statements[query]; ok {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if !isKept(query) || len(c.statements) >= maxStatements {
		return nil, nil
	}
	compiled, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	exec, executes := compiled.(driver.StmtExecContext)
	find, finds := compiled.(driver.StmtQueryContext)
	if !executes || !finds {
		return nil, compiled.Close()
	}
	s := &statement{StmtExecContext: exec, StmtQueryContext: find, close: compiled.Close}
	c.statements[query] = s
	return s, nil
}

// isKept reports whether a statement may be compiled once and run often. A PRAGMA may not: some do what they do when they are
// compiled (sqlite.org/pragma.html). Statements of migrations are not worth it.
func isKept(query string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch strings.ToUpper(verb) {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "SAVEPOINT", "RELEASE", "ROLLBACK":
		return true
	}
	return false
}

// Close closes the statements and the connection.
func (c *sqliteConn) Close() error {
	for _, s := range c.statements {
		_ = s.close() // the connection goes with it in any case
	}
	return c.sqliteDriver.Close()
}
