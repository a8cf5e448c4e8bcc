//go:build !linux && !darwin && !freebsd

package preflight

// freeSpace cannot tell here.
func freeSpace(string) (uint64, bool) { return 0, false }
