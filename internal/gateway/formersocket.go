package gateway

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/handover"
)

// leaveAdmin leaves the admin socket to the successor, and has one of its own for the sessions that are left here.
func (g *Gateway) leaveAdmin() {
	if g.admin == nil {
		return
	}
	g.admin.leave()
	former, serve, err := startAdmin(new(handover.Sockets), formerSocket(g.admin.path, g.pid), &g.sessions, g.state.Audit, g.state.Keys, g.log)
	if err != nil {
		g.log.Warn("the sessions that are left here cannot be reached by postern session", "error", err)
		return
	}
	g.admin = former
	g.wait.Go(serve)
}

// formerSocket gives the path of the admin socket of a process that was succeeded, by the path of its successor's.
func formerSocket(path string, pid int) string { return path + "." + strconv.Itoa(pid) }

// formerSockets finds them.
func formerSockets(path string) (all []string) {
	entries, _ := os.ReadDir(filepath.Dir(path)) // whoever has that folder has no such sockets, or hears of it otherwise
	for _, entry := range entries {
		digits, found := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if pid, err := strconv.Atoi(digits); found && err == nil && pid > 0 {
			all = append(all, formerSocket(path, pid))
		}
	}
	return all
}

// removeDeadSockets removes what processes have left behind that were succeeded, and then killed.
func removeDeadSockets(path string) {
	for _, socket := range formerSockets(path) {
		conn, err := net.DialTimeout("unix", socket, time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(socket)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
