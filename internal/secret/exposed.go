package secret

import (
	"errors"
	"io/fs"
	"syscall"
)

// Exposed says why a file is no place for a secret: others can use it, or its group can and is not root's to choose. The
// group's right to read is good where root owns the file, as in Debian's ssl-cert and in Kubernetes: root has given it to a
// service that does not own its own key. The error says what mends it, and not which file it is.
func Exposed(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case mode&0o007 != 0:
		return errors.New("everybody can read the file: run chmod 0600 on it")
	case mode&0o030 != 0:
		return errors.New("its group can do more than read the file: run chmod 0600 on it")
	case mode&0o040 != 0 && !(known && owner.Uid == 0):
		return errors.New("its group can read the file, and its owner is not root: run chmod 0600 on it")
	}
	return nil
}
