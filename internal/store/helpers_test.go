package store

import (
	"os"
	"path/filepath"
	"testing"

	"postern/internal/keys"
	"postern/internal/postgrestest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Suite{M: m}) }

func newRing(t testing.TB) *keys.Ring {
	t.Helper()
	ring, err := keys.Create(filepath.Join(t.TempDir(), "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// database names a new file in a folder of its own.
func database(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "postern.db")
}

// openAt opens a store until the end of the test.
func openAt(t testing.TB, path string, ring *keys.Ring) *Store {
	t.Helper()
	return openDSN(t, "sqlite:"+path, ring)
}

// openDSN opens a store of either engine until the end of the test.
func openDSN(t testing.TB, dsn string, ring *keys.Ring) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onBothEngines runs a test with an empty database of SQLite, and with one of PostgreSQL.
func onBothEngines(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, "sqlite:"+database(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, postgrestest.DSN(t)) })
}

// makeAt makes a database and closes it.
func makeAt(t testing.TB, path string, ring *keys.Ring) {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path, ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// contents gives the files of a folder by name.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	return files
}
