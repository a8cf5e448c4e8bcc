package relay

import (
	"os"
	"sync"
	"syscall"
)

// sleep is where connections wait in which nothing has moved for a while: all of them on one epoll instance (epoll(7)) and
// one goroutine, and none on a stack of its own. Go's own poller looks at that instance as at any other file; what it costs
// more than a goroutine for each connection is a hop for the first bytes after a pause.
//
// The instance is there while somebody sleeps.
var sleep dormitory

// dormitory is safe for concurrent use.
type dormitory struct {
	mu       sync.Mutex
	epoll    *os.File // nil while nobody sleeps
	fd       int      // of epoll
	sleepers map[uint64]sleeper
	last     uint64 // number of the sleeper that came last; no number comes twice, as file descriptors do
}

// sleeper is a connection that is waited for.
type sleeper struct {
	conn *Conn
	wake func()
}

// readiness is what wakes a sleeper, once: bytes, an end, or an error, of which epoll tells without being asked.
const readiness = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT

// put has wake called on a goroutine of its own, once, when there is something to read from the connection or it is
// closed. It reports false where that cannot be: the connection is closed already, or the system has no room.
func (d *dormitory) put(c *Conn, wake func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoll == nil && !d.open() {
		return false
	}
	d.last++
	var added error
	err := c.raw.Control(func(fd uintptr) {
		event := syscall.EpollEvent{Events: readiness, Fd: int32(d.last), Pad: int32(d.last >> 32)}
		added = syscall.EpollCtl(d.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
		if added == syscall.EEXIST { // it has slept before
			added = syscall.EpollCtl(d.fd, syscall.EPOLL_CTL_MOD, int(fd), &event)
		}
	})
	if err != nil || added != nil {
		d.closeIfEmpty()
		return false
	}
	c.sleep = d.last
	d.sleepers[d.last] = sleeper{c, wake}
	return true
}

// rouse wakes a connection that may sleep; closing it is nothing that epoll tells of.
func (d *dormitory) rouse(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake(c.sleep)
	d.closeIfEmpty()
}

// wake wakes a sleeper, if there is one of this number. The caller holds the lock.
func (d *dormitory) wake(number uint64) {
	if s, ok := d.sleepers[number]; ok {
		delete(d.sleepers, number)
		s.conn.sleep = 0
		go s.wake()
	}
}

// open makes the instance and watches it. The caller holds the lock.
func (d *dormitory) open() bool {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // only such a file is left to Go's poller
		_ = syscall.Close(fd)
		return false
	}
	d.fd, d.epoll, d.sleepers = fd, os.NewFile(uintptr(fd), "epoll"), make(map[uint64]sleeper)
	raw, err := d.epoll.SyscallConn()
	if err != nil {
		d.closeIfEmpty()
		return false
	}
	go d.watch(raw)
	return true
}

// closeIfEmpty closes the instance once nobody sleeps. The caller holds the lock.
func (d *dormitory) closeIfEmpty() {
	if len(d.sleepers) == 0 && d.epoll != nil {
		_ = d.epoll.Close()
		d.epoll, d.sleepers = nil, nil
	}
}

// watch wakes those whose time has come, until the instance is closed.
func (d *dormitory) watch(epoll syscall.RawConn) {
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		err := epoll.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		if err != nil || n < 0 {
			return
		}
		d.mu.Lock()
		for _, event := range events[:n] {
			d.wake(uint64(uint32(event.Pad))<<32 | uint64(uint32(event.Fd)))
		}
		d.closeIfEmpty()
		d.mu.Unlock()
	}
}
