package main

import (
	"fmt"
	"syscall"
)

// prSetDumpable is PR_SET_DUMPABLE of prctl(2).
const prSetDumpable = 4

// leaveNoDump has the system write no core file of this process, into which all its secrets would go, hand its memory to
// no collector of such files, and let no other process of the same user read it (threat model I-41).
func leaveNoDump() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("switching core files off: %w", err)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("keeping the memory from other processes: %w", errno)
	}
	return nil
}
