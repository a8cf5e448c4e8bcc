package audit

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Rotate closes the file that lines are added to, and goes on in a new one. The closed file stays beside it, under a name
// with the number of its first line. Other processes that have the log open go on in the new file too. A process that
// dies on the way leaves a file that says that it is closed; whoever records next makes its successor.
func (l *Log) Rotate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.locked(func() error {
		if l.seq == 0 {
			return nil
		}
		b, err := readBeginning(l.file)
		if err != nil {
			return err
		}
		fields, err := json.Marshal(LogRotated{File: closedName(filepath.Base(l.path), b.first), First: b.first})
		if err != nil {
			return err
		}
		if err := l.append(LogRotated{}.Kind(), fields, true); err != nil {
			return err
		}
		return l.moveOn()
	})
}

// moveOn goes on with the file that comes after the one that is open, whose last line says that it is closed, and makes it
// where there is none yet. The open file is locked, so that one process makes one successor.
func (l *Log) moveOn() error {
	if err := l.endTorn(); err != nil {
		return err
	}
	open, err := l.file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	if os.SameFile(open, now) {
		if err := l.succeed(open); err != nil {
			return err
		}
	}
	next, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_ = l.file.Close() // what is in it is on the disk
	l.file, l.size, l.over = next, -1, false
	return nil
}

// succeed gives the closed file the name that it has from now on, and puts a new file in its place. At no time there is no
// file at the log's path.
func (l *Log) succeed(open fs.FileInfo) error {
	b, err := readBeginning(l.file)
	if err != nil {
		return err
	}
	closed := closedName(l.path, b.first)
	if err := os.Link(l.path, closed); err != nil {
		if there, failed := os.Stat(closed); failed != nil || !os.SameFile(there, open) {
			return err
		}
	}
	fields, err := json.Marshal(LogContinued{Log: b.log, File: filepath.Base(closed)})
	if err != nil {
		return err
	}
	line, err := l.line(LogContinued{}.Kind(), fields)
	if err != nil {
		return err
	}
	if err := putInPlace(l.path, append(line, '\n'), open); err != nil {
		return err
	}
	_ = os.Chmod(closed, 0o400) // a hint for people: nothing relies on it
	return nil
}

// putInPlace puts a new file in the place of the one at path, which like is, with the same owner.
func putInPlace(path string, content []byte, like fs.FileInfo) error {
	next, err := os.OpenFile(path+".next", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	if err == nil {
		err = sameOwner(next, like)
	}
	if err == nil {
		err = next.Sync()
	}
	if err := errors.Join(err, next.Close()); err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// sameOwner gives a file to the owner of another one: a command of root must not leave a file that the gateway's user
// cannot open.
func sameOwner(file *os.File, like fs.FileInfo) error {
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	is, ok := mine.Sys().(*syscall.Stat_t)
	want, known := like.Sys().(*syscall.Stat_t)
	if !ok || !known || is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
