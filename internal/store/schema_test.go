package store

import (
	"database/sql"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"postern/internal/postgrestest"

	"github.com/google/go-cmp/cmp"
)

// TestEveryEngineHasEveryMigration: who adds a migration adds it to both folders, under the same name.
func TestEveryEngineHasEveryMigration(t *testing.T) {
	names := func(engine string) []string {
		files, err := fs.Glob(migrationsOf(engine), "*")
		if err != nil || len(files) == 0 {
			t.Fatalf("migrations of %s: %q, %v", engine, files, err)
		}
		return files
	}
	if diff := cmp.Diff(names("sqlite"), names("postgres")); diff != "" {
		t.Errorf("migrations/sqlite and migrations/postgres have different files (-sqlite +postgres):\n%s", diff)
	}
}

// TestSchemasAreTheSame compares what the migrations have made: tables, columns with their types, keys and indexes.
func TestSchemasAreTheSame(t *testing.T) {
	sqlite, err := Open(t.Context(), "sqlite:"+database(t), newRing(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sqlite.Close()
	postgres, err := Open(t.Context(), postgrestest.DSN(t), newRing(t))
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Close()
	got, want := describe(t, postgres.reader, postgresSchema), describe(t, sqlite.reader, sqliteSchema)
	if len(want) < 50 {
		t.Fatalf("the schema of SQLite is %q", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sqlite +postgres):\n%s", diff)
	}
}

const (
	sqliteSchema = `
		SELECT m.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" THEN ' NOT NULL' ELSE '' END
			|| CASE WHEN c.dflt_value IS NULL THEN '' ELSE ' DEFAULT ' || c.dflt_value END
		FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'
		UNION ALL
		SELECT m.name || ' ' || CASE WHEN i."unique" THEN 'UNIQUE ' ELSE '' END || (SELECT group_concat(name, ', ') FROM (
			SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
		FROM sqlite_master m JOIN pragma_index_list(m.name) i WHERE m.type = 'table'
		UNION ALL
		SELECT m.name || ' UNIQUE ' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER' AND m.sql LIKE '%AUTOINCREMENT%'`
	postgresSchema = `
		SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, NULL) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
			|| COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
		UNION ALL
		SELECT c.relname || ' ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
			FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace`
)

// describe gives a schema, one line for each column and index, in SQLite's words.
func describe(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	lines, err := rows(t.Context(), db, scanText, query)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.NewReplacer("bigint", "INTEGER", "text", "TEXT", "bytea", "BLOB", "'0'::INTEGER", "0")
	for i, line := range lines {
		lines[i] = words.Replace(line)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, versionTable) || strings.HasPrefix(line, "sqlite_")
	})
	slices.Sort(lines)
	return lines
}

func TestDollars(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                             "SELECT 1",
		"a = ? AND b = ?":                      "a = $1 AND b = $2",
		"a = '?' AND b = ? AND c = 'it''s ? '": "a = '?' AND b = $1 AND c = 'it''s ? '",
		strings.Repeat("?", 11):                "$1$2$3$4$5$6$7$8$9$10$11",
	} {
		for range 2 { // the second time from memory
			if got := dollars(query); got != want {
				t.Errorf("%q: got %q, want %q", query, got, want)
			}
		}
	}
}

// TestI47OlderBinaryRefusesNewerSchema: whichever the engine, and nothing is changed by the attempt.
func TestI47OlderBinaryRefusesNewerSchema(t *testing.T) {
	for name, dsn := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + database(t) },
		"postgres": func(t *testing.T) string { return postgrestest.DSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn, ring := dsn(t), newRing(t)
			s, err := Open(t.Context(), dsn, ring)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.writer.ExecContext(t.Context(), `INSERT INTO `+versionTable+` (version_id, is_applied) VALUES (99999, ?)`, true); err != nil {
				t.Fatal(err)
			}
			schema := map[string]string{"sqlite": sqliteSchema, "postgres": postgresSchema}[name]
			before := fmt.Sprint(describe(t, s.reader, schema), contentOf(t, s))
			for range 2 {
				older, err := Open(t.Context(), dsn, ring)
				if err == nil {
					older.Close()
				}
				if err == nil || !strings.Contains(err.Error(), "version 99999") || !strings.Contains(err.Error(), "use a newer Postern") {
					t.Errorf("got %v, want that a newer Postern is needed", err)
				}
			}
			if after := fmt.Sprint(describe(t, s.reader, schema), contentOf(t, s)); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			// The one that runs goes on: a rolling upgrade migrates under its feet.
			addOne(t, s, "a")
		})
	}
}

// contentOf gives the facts and the versions of a database.
func contentOf(t *testing.T, s *Store) string {
	t.Helper()
	facts, err := rows(t.Context(), s.reader, scanText, `SELECT name || '=' || value FROM facts ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := rows(t.Context(), s.reader, scanText, `SELECT CAST(version_id AS TEXT) FROM `+versionTable+` ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(facts, versions)
}
