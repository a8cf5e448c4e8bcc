// Package handover is how listening sockets come into the process, and go on to the one that succeeds it.
//
// A service manager may have opened sockets before it started the process (systemd's socket activation, sd_listen_fds(3)).
// A gateway that is upgraded hands its sockets to the new program in the same way ([Sockets.Succeed]), so that there is no
// moment at which a connection would be refused. [Sockets] is all of them: those that came, and those that were opened here.
//
// The package knows nothing of what is spoken on a socket, nor of what else the two processes share.
package handover

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets are the listening sockets of the process. The zero value has none and is ready. It is safe for concurrent use.
type Sockets struct {
	mu     sync.Mutex
	came   []*inherited
	opened []*Listener // those that are open and not a service manager's
	faults []string    // what came and is of no use, in words
}

// inherited is a socket that the process was started with.
type inherited struct {
	name  string // FileDescriptorName=; see handedName for those of a predecessor
	file  *os.File
	addr  net.Addr
	taken bool
}

// handed is what the names of those sockets begin with that come from a predecessor, and not from a service manager.
const handed = "handed-"

// handedName gives the name under which an open listener goes on to the successor. A name of this kind has no colon
// (sd_listen_fds(3)).
func handedName(name, address string) string { return handed + url.QueryEscape(name+" "+address) }

func (i *inherited) handed() bool { return strings.HasPrefix(i.name, handed) }

// Inherited gives the sockets that the process was started with, and the process that it succeeds, nil where there is none. The
// environment names neither any more afterwards. It is to be called once.
func Inherited() (*Sockets, *Predecessor) {
	s, before := new(Sockets), predecessor()
	for _, file := range activation.Files(true) {
		if !before.take(file) {
			s.inherit(file)
		}
	}
	if before != nil && before.talk == nil {
		before = nil // it cannot be talked to: whoever started this process is no predecessor
	}
	return s, before
}

// inherit takes a descriptor in, if it is a socket that can be served.
func (s *Sockets) inherit(file *os.File) {
	addr, err := listensAt(file)
	if err != nil {
		s.faults = append(s.faults, fmt.Sprintf("%s (descriptor %d): %v", file.Name(), file.Fd(), err))
		_ = file.Close()
		return
	}
	s.came = append(s.came, &inherited{name: file.Name(), file: file, addr: addr})
}

// listensAt gives the address of a listening stream socket.
func listensAt(file *os.File) (net.Addr, error) {
	fd := int(file.Fd())
	if listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || listening == 0 {
		return nil, fmt.Errorf("it is no socket on which somebody listens; a socket unit has ListenStream= and Accept=no")
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return l.Addr(), l.Close()
}

// Unused gives, in words, what the process was started with and nobody has taken. What came from a predecessor is closed: it
// was for an address that is not served any more. A service manager's socket stays, for a configuration that comes later.
func (s *Sockets) Unused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := slices.Clone(s.faults)
	s.faults = nil
	s.came = slices.DeleteFunc(s.came, func(i *inherited) bool {
		if i.taken {
			return false
		}
		if i.handed() {
			_ = i.file.Close()
			return true
		}
		words = append(words, fmt.Sprintf("%s (%s): no listener has that name or address", i.name, i.addr))
		return false
	})
	return words
}

// Listen gives a listener for a TCP address: an inherited socket of that name, or else of that address, or else a new one. name
// may be empty. settings count for it as they do for a new one.
func (s *Sockets) Listen(settings net.ListenConfig, name, address string) (*Listener, error) {
	if l, err := s.Take("tcp", name, address); l != nil || err != nil {
		if l != nil {
			l.keepAlive = settings.KeepAliveConfig
		}
		return l, err
	}
	raw, err := settings.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return s.Add(raw, name, address), nil
}

// Take gives an inherited socket as [Sockets.Listen] does, of a network such as tcp or unix; nil if there is none.
func (s *Sockets) Take(network, name, address string) (*Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.find(network, name, address)
	if from == nil {
		return nil, nil
	}
	raw, err := net.FileListener(from.file)
	if err != nil {
		return nil, fmt.Errorf("the socket %s at %s that came with the start of the process: %w", from.name, from.addr, err)
	}
	from.taken = true
	l := &Listener{Listener: raw, sockets: s, name: name, address: address}
	if !from.handed() {
		l.from = from
		return l, nil
	}
	// It is the process's own from now on.
	_ = from.file.Close()
	s.came = slices.DeleteFunc(s.came, func(i *inherited) bool { return i == from })
	s.opened = append(s.opened, l)
	return l, nil
}

// find looks for an inherited socket that is free. What a predecessor hands over comes first, then a service manager's by its
// name, then whatever has the address. The caller holds the lock.
func (s *Sockets) find(network, name, address string) *inherited {
	for _, fits := range []func(*inherited) bool{
		func(i *inherited) bool { return i.name == handedName(name, address) },
		func(i *inherited) bool { return name != "" && i.name == name },
		func(i *inherited) bool { return at(i.addr, address) },
	} {
		for _, i := range s.came {
			if !i.taken && i.addr.Network() == network && fits(i) {
				return i
			}
		}
	}
	return nil
}

// at reports whether a socket's address is the one that a configuration names. Every address of the machine is written as
// nothing in a configuration, and as 0.0.0.0 or :: in a socket.
func at(addr net.Addr, address string) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String() == address
	}
	wanted, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || wanted.Port != tcp.Port || wanted.Port == 0 {
		return false
	}
	if wanted.IP == nil {
		return tcp.IP.IsUnspecified()
	}
	return wanted.IP.Equal(tcp.IP) && wanted.Zone == tcp.Zone
}

// Add has a listener that was opened elsewhere go on to a successor, too, under what it is known by here.
func (s *Sockets) Add(raw net.Listener, name, address string) *Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &Listener{Listener: raw, sockets: s, name: name, address: address}
	s.opened = append(s.opened, l)
	return l
}

// files gives the descriptors of all sockets, with the names by which a successor finds them. Those that the process opened
// itself are copies, which the caller closes. The caller holds the lock for as long as it uses them.
func (s *Sockets) files() (files []*os.File, names []string, closeCopies func(), err error) {
	for _, i := range s.came {
		files, names = append(files, i.file), append(names, i.name)
	}
	own := len(files)
	closeCopies = func() {
		for _, file := range files[own:] {
			_ = file.Close()
		}
	}
	for _, l := range s.opened {
		file, err := l.copy()
		if err != nil {
			closeCopies()
			return nil, nil, nil, fmt.Errorf("the socket at %s: %w", l.Addr(), err)
		}
		files, names = append(files, file), append(names, handedName(l.name, l.address))
	}
	return files, names, closeCopies, nil
}

// Close closes what was inherited and nobody has open. Listeners are closed by those who have them; with the last of both the
// process has let go of an address, which another that has it, too, goes on serving.
func (s *Sockets) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.came {
		_ = i.file.Close()
	}
	s.came = nil
}
