//go:build !linux

package main

import (
	"fmt"
	"syscall"
)

// leaveNoDump has the system write no core file of this process, into which all its secrets would go (threat model I-41).
func leaveNoDump() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("switching core files off: %w", err)
	}
	return nil
}
