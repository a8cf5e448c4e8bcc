package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"syscall"
)

// sqliteExists reports whether there is a database, or there may be.
func sqliteExists(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return info.Size() > 0
}

// sqliteURI gives the driver's name for a file. Without escaping, a question mark in its name would begin the options.
func sqliteURI(path, options string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options
}

// createPrivate makes an empty file, which SQLite takes for a new database, so that it has the right mode from the start.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// checkPrivate gives an error if others than its owner can use a file. It does not open it: closing it would release the
// locks that this process has on it through SQLite (fcntl(2)).
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&^0o600 != 0:
		return fmt.Errorf("the mode of %s is %04o, so that others than its owner can use it: chmod 600 it", path, info.Mode().Perm())
	}
	return nil
}

// lockFolder keeps other processes from opening a store in the same folder until unlock is called.
func lockFolder(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
