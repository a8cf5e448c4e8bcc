package keys

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// stage is a moment in the life of a new file, at which tests kill the process.
type stage string

const (
	begun   stage = "begun"   // there is a temporary file without content
	written stage = "written" // its content is there, perhaps not on the disk
	synced  stage = "synced"  // its content is on the disk
	linked  stage = "linked"  // it has its name too
)

// writeNew writes a file that appears at path whole or not at all, and never in the place of another. A process that dies
// on the way may leave a temporary file beside it, mode 0600, which nothing reads.
func writeNew(path string, content []byte, reached func(stage)) (err error) {
	folder := filepath.Dir(path)
	temporary, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary.Name())) }()
	reached(begun)
	_, err = temporary.Write(content)
	reached(written)
	if err == nil {
		err = temporary.Sync()
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	reached(synced)
	// A link fails where there is a file already; a rename would replace it.
	if err := os.Link(temporary.Name(), path); err != nil {
		return err
	}
	reached(linked)
	return syncFolder(folder)
}

// replace puts a file with this content in the place of the one at path, with its owner, and mode 0600. Whoever reads path
// finds one of the two, whole.
func replace(path string, content []byte) (err error) {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
		err = temporary.Chown(int(owner.Uid), int(owner.Gid)) // root may do this for the gateway's user
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
