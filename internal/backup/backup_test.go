package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// made makes a backup of two small files, and gives its path.
func made(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	var sources []Source
	for name, content := range map[string]string{"postern.db": "the store", "postern.yaml": "the configuration"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, Source{name, path})
	}
	path := filepath.Join(t.TempDir(), "backup.tar")
	if _, err := Write(t.Context(), path, Manifest{Made: time.Now(), Ring: "r", Queue: 3}, sources); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBackupIsWhatWasThere(t *testing.T) {
	path := made(t)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", info.Mode(), err)
	}
	folder := t.TempDir()
	m, err := Extract(t.Context(), path, folder)
	if err != nil || m.Queue != 3 || m.Ring != "r" || len(m.Files) != 2 {
		t.Fatalf("got %+v, %v", m, err)
	}
	for name, want := range map[string]string{"postern.db": "the store", "postern.yaml": "the configuration"} {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := Extract(t.Context(), path, folder); !errors.Is(err, fs.ErrExist) {
		t.Errorf("extracted over files: %v", err)
	}
	if _, err := Write(t.Context(), path, Manifest{}, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over a backup: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestDamageIsFound: a changed byte of what is in it, wherever, and any cut.
func TestDamageIsFound(t *testing.T) {
	good, err := os.ReadFile(made(t))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(content []byte) error {
		_, err := readFrom(t.Context(), bytes.NewReader(content), func(File) (io.WriteCloser, error) { return nothing{io.Discard}, nil })
		return err
	}
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"the store", "the configuration", `"queue": 3`, `"ring": "r"`} {
		at := bytes.Index(good, []byte(content))
		if at < 0 {
			t.Fatalf("%q is not in it", content)
		}
		for i := range content {
			changed := bytes.Clone(good)
			changed[at+i] ^= 1
			if verify(changed) == nil {
				t.Errorf("byte %d of %q was changed and it verifies", i, content)
			}
		}
	}
	for _, n := range []int{0, 1, 512, 1024, len(good) / 2, len(good) - 1024 - 512} {
		if verify(good[:n]) == nil {
			t.Errorf("cut after %d bytes it verifies", n)
		}
	}
}

func TestAnEndedContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, made(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzRead reads what is not a backup, or a damaged one: no file gets a name that leads elsewhere.
func FuzzRead(f *testing.F) {
	good, err := os.ReadFile(made(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:700])
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = readFrom(t.Context(), bytes.NewReader(content), func(file File) (io.WriteCloser, error) {
			if filepath.Base(file.Name) != file.Name || file.Name[0] == '.' {
				t.Errorf("a file is called %q", file.Name)
			}
			return nothing{io.Discard}, nil
		})
	})
}
