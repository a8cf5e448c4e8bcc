//go:build linux || darwin || freebsd

package preflight

import "syscall"

// freeSpace gives how many bytes are free for who is not root in the file system of a folder; false where that cannot be told.
func freeSpace(folder string) (uint64, bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(folder, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
