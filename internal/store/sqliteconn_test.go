package store

import (
	"path/filepath"
	"testing"
)

// TestStatementsAreCompiledOnce: what a connection has run it keeps compiled, runs it again while its rows are still read, and
// sees tables that have changed since.
func TestStatementsAreCompiledOnce(t *testing.T) {
	db, err := openSQLite(sqliteURI(filepath.Join(t.TempDir(), "test.db"), sqliteWriter), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1), (2)`); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const query = `SELECT n FROM numbers ORDER BY n`
	for range 2 {
		outer, err := tx.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		pairs := 0
		for outer.Next() {
			inner, err := tx.Query(query)
			if err != nil {
				t.Fatal(err)
			}
			for inner.Next() {
				pairs++
			}
			_ = inner.Close()
		}
		if err := outer.Close(); err != nil || pairs != 4 {
			t.Errorf("%d pairs, %v; want 4", pairs, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`ALTER TABLE numbers ADD COLUMN word TEXT; DELETE FROM numbers WHERE n = 1`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRow(query).Scan(&n); err != nil || n != 2 {
		t.Errorf("after a change of the table: %d, %v", n, err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error {
		kept := c.(*sqliteConn).statements
		if _, ok := kept[query]; !ok || len(kept) != 1 {
			t.Errorf("kept: %d statements, the query among them: %v", len(kept), ok)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
