// Package backup is the file that a backup is in: one tar archive with a manifest, the files that the manifest names, and a
// checksum. It is written whole or not at all, and read with everything held against the manifest.
//
// It knows nothing of what the files mean, and holds no key: what is in it is as secret as the files are.
//
//	manifest.json    a [Manifest]: who made it, when, of what, and each file with its size and SHA-256
//	postern.db …     the files, in the manifest's order
//	manifest.sha256  the SHA-256 of manifest.json, in hex
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// Format is the newest format that this program knows.
	Format = 1

	manifestName = "manifest.json"
	sumName      = "manifest.sha256"
	maxManifest  = 1 << 20 // bytes
)

// Manifest says what is in a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"` // when the copy of the store began
	Version string    `json:"postern"`
	Ring    string    `json:"ring"`   // id of the keys that what is sealed in it needs; they are not in it
	Store   string    `json:"store"`  // as the configuration names it
	Config  string    `json:"config"` // SHA-256 of the configuration, in hex
	Audit   Head      `json:"audit"`
	Queue   int       `json:"queue"` // messages in the queue
	Files   []File    `json:"files"`
}

// Head is the last line of the audit log when the backup was made.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"` // SHA-256 of the line, in hex
}

// File is a file of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Source is a file that goes into a backup.
type Source struct {
	Name string // in the backup; no folder
	Path string // where it is
}

// Write makes a backup at path, with mode 0600, of some files. It never overwrites: the error wraps [io/fs.ErrExist] when there
// is something at path. When it returns nil the backup is on the disk.
func Write(ctx context.Context, path string, m Manifest, sources []Source) (Manifest, error) {
	m.Format, m.Files = Format, nil
	for _, source := range sources {
		f, err := describe(ctx, source)
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, f)
	}
	err := whole(path, func(out io.Writer) error { return write(ctx, out, m, sources) })
	if err != nil {
		return m, fmt.Errorf("writing backup %q: %w", path, err)
	}
	return m, nil
}

// describe measures a file.
func describe(ctx context.Context, source Source) (File, error) {
	f, err := os.Open(source.Path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, reader{ctx, f})
	return File{source.Name, n, hex.EncodeToString(sum.Sum(nil))}, err
}

func write(ctx context.Context, out io.Writer, m Manifest, sources []Source) error {
	archive := tar.NewWriter(out)
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	add := func(name string, size int64, content io.Reader) error {
		if err := archive.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: m.Made, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := io.Copy(archive, reader{ctx, content})
		return err
	}
	if err := add(manifestName, int64(len(manifest)), bytes.NewReader(manifest)); err != nil {
		return err
	}
	for i, source := range sources {
		f, err := os.Open(source.Path)
		if err != nil {
			return err
		}
		if err := errors.Join(add(source.Name, m.Files[i].Size, f), f.Close()); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(manifest)
	if err := add(sumName, 2*sha256.Size, strings.NewReader(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	return archive.Close()
}

// whole has a file appear at path whole or not at all, and never in the place of another.
func whole(path string, write func(io.Writer) error) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary.Name())) }()
	if err := errors.Join(write(temporary), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// reader ends when its context does.
type reader struct {
	ctx  context.Context
	from io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
