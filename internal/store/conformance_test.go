package store_test

import (
	"path/filepath"
	"testing"

	"postern/internal/keys"
	"postern/internal/postgrestest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestSQLiteConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "postern.db"))
	})
}

func TestPostgreSQLConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, postgrestest.DSN(t)) })
}

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	ring, err := keys.Create(filepath.Join(t.TempDir(), "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dsn, ring)
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
