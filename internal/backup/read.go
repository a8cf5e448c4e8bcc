package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Verify reads a backup and holds all of it against its manifest.
func Verify(ctx context.Context, path string) (Manifest, error) {
	return read(ctx, path, func(File) (io.WriteCloser, error) { return nothing{io.Discard}, nil })
}

// Extract verifies a backup and puts its files into a folder, each on the disk when it returns nil, with mode 0600. It
// overwrites nothing. After an error, what is in the folder is of no use.
func Extract(ctx context.Context, path, folder string) (Manifest, error) {
	return read(ctx, path, func(f File) (io.WriteCloser, error) {
		file, err := os.OpenFile(filepath.Join(folder, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		return synced{file}, nil
	})
}

type nothing struct{ io.Writer }

func (nothing) Close() error { return nil }

// synced is a file whose content is on the disk once it is closed.
type synced struct{ *os.File }

func (s synced) Close() error { return errors.Join(s.File.Sync(), s.File.Close()) }

func read(ctx context.Context, path string, place func(File) (io.WriteCloser, error)) (Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	m, err := readFrom(ctx, bufio.NewReaderSize(reader{ctx, f}, 1<<20), place)
	if err != nil {
		return m, fmt.Errorf("backup %q: %w", path, err)
	}
	return m, nil
}

// readFrom reads a backup. Nothing of it is believed: names are those of plain files, sizes and sums are held against what comes.
func readFrom(ctx context.Context, from io.Reader, place func(File) (io.WriteCloser, error)) (Manifest, error) {
	archive := tar.NewReader(from)
	text, err := next(archive, manifestName, maxManifest)
	if err != nil {
		return Manifest{}, fmt.Errorf("it is not a backup of Postern, or it is damaged: %w", err)
	}
	m, err := decode(text)
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := copyFile(archive, f, place); err != nil {
			return m, fmt.Errorf("its file %s: %w", f.Name, err)
		}
	}
	sum, err := next(archive, sumName, 2*sha256.Size)
	if err != nil {
		return m, fmt.Errorf("it ends too early: %w", err)
	}
	if own := sha256.Sum256(text); string(sum) != hex.EncodeToString(own[:]) {
		return m, errors.New("its manifest is not what was written: it is damaged or was changed")
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return m, errors.New("there is something behind its end")
	}
	return m, ctx.Err()
}

// decode reads a manifest.
func decode(text []byte) (m Manifest, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return m, errors.New("its manifest makes no sense: it is damaged")
	}
	if m.Format < 1 || m.Format > Format {
		return m, fmt.Errorf("its format is %d, and this program knows formats up to %d: use a newer Postern", m.Format, Format)
	}
	names := make(map[string]bool)
	for _, f := range m.Files {
		if f.Name == "" || f.Name != filepath.Base(f.Name) || f.Name[0] == '.' || names[f.Name] || f.Size < 0 {
			return m, fmt.Errorf("its manifest names a file %q, which cannot be", f.Name)
		}
		names[f.Name] = true
	}
	return m, nil
}

// next gives the content of the next entry, which must have a name and at most so many bytes.
func next(archive *tar.Reader, name string, most int64) ([]byte, error) {
	header, err := archive.Next()
	switch {
	case err != nil:
		return nil, err
	case header.Name != name || header.Typeflag != tar.TypeReg || header.Size > most:
		return nil, fmt.Errorf("there is %q in the place of %s", header.Name, name)
	}
	return io.ReadAll(archive)
}

// copyFile reads a file into its place.
func copyFile(archive *tar.Reader, f File, place func(File) (io.WriteCloser, error)) error {
	header, err := archive.Next()
	switch {
	case err != nil:
		return err
	case header.Name != f.Name || header.Typeflag != tar.TypeReg || header.Size != f.Size:
		return fmt.Errorf("there is %q with %d bytes in its place", header.Name, header.Size)
	}
	to, err := place(f)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(sum, to), archive)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return errors.New("its content is not what was written: the backup is damaged or was changed")
	}
	return nil
}
