package store_test

import (
	"path/filepath"
	"testing"

	"postern/internal/keys"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestSQLiteConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		folder := t.TempDir()
		ring, err := keys.Create(filepath.Join(folder, "postern.keys"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "postern.db"), ring)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
