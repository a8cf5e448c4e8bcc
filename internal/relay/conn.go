package relay

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a TCP connection that can be waited for without a buffer and read without waiting. Put it below TLS, with
// [Wrap], where a connection is accepted or dialled: a relay then holds a buffer for a session only while bytes move.
//
// One goroutine may read at a time, as below TLS is always so.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn

	// loan is a buffer that a relay has lent. While it is, Read asks the socket once and never waits.
	loan    []byte
	asked   bool // the socket was asked
	emptied bool // and had no more than was taken
	// records is what Read keeps to; nil where there is no TLS above.
	records *records
	// sleep is the number under which the connection sleeps; 0 while it does not. It is the dormitory's.
	sleep uint64

	// The arguments and results of what follows, which are kept as values because a closure for each read would be an
	// allocation for each read.
	readOnce, peek func(fd uintptr) bool
	into           []byte
	n              int
	err            error

	writes    sync.Mutex // guards what follows
	gathering bool
	gathered  []byte // what Write was given since
	broken    error  // of a flush: after part of a record nothing more can be sent
}

// Wrap makes a Conn of a TCP connection. Any other connection is given back as it is; it works in a relay as well,
// with a buffer held throughout.
func Wrap(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.readOnce = func(fd uintptr) bool {
		c.n, c.err = ignoringEINTR(func() (int, error) { return syscall.Read(int(fd), c.into) })
		return true
	}
	c.peek = func(fd uintptr) bool {
		var probe [1]byte
		_, err := ignoringEINTR(func() (int, error) {
			n, _, err := syscall.Recvfrom(int(fd), probe[:], syscall.MSG_PEEK)
			return n, err
		})
		return err != syscall.EAGAIN
	}
	return c
}

// ignoringEINTR calls a system call again for as long as a signal interrupts it.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// Read reads what there is; while a relay drains the connection it returns errNothing rather than wait.
func (c *Conn) Read(p []byte) (int, error) {
	switch {
	case c.loan == nil && c.records == nil || len(p) == 0:
		return c.TCPConn.Read(p)
	case c.loan == nil:
		return c.records.read(p, c.TCPConn.Read)
	case c.records == nil:
		return c.ask(p)
	}
	if len(c.records.ahead) == 0 {
		n, err := c.ask(c.loan)
		if n == 0 {
			return 0, err
		}
		c.records.ahead = c.loan[:n]
	}
	return c.records.readAhead(p), nil
}

// lend gives Read a buffer, into which it reads at once what would otherwise take a system call for each TLS record.
func (c *Conn) lend(buffer []byte) { c.loan, c.asked = buffer, false }

// giveBack ends the loan, and reports whether the socket was left empty.
func (c *Conn) giveBack() (emptied bool) {
	emptied = c.asked && c.emptied
	if c.records != nil && c.asked && len(c.records.ahead) > 0 {
		c.records.ahead = bytes.Clone(c.records.ahead)
		emptied = false
	}
	c.loan = nil
	return emptied
}

// ask reads the socket, once in a loan.
func (c *Conn) ask(p []byte) (int, error) {
	if c.asked {
		return 0, errNothing{}
	}
	n, err := c.readNow(p)
	c.asked, c.emptied = true, n < len(p)
	return n, err
}

// Write writes, or gathers for a flush.
func (c *Conn) Write(p []byte) (int, error) {
	c.writes.Lock()
	if c.broken == nil && !c.gathering {
		c.writes.Unlock()
		return c.TCPConn.Write(p)
	}
	defer c.writes.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	c.gathered = append(c.gathered, p...)
	return len(p), nil
}

// gather has what is written collected behind a buffer until flush.
func (c *Conn) gather(buffer []byte) {
	c.writes.Lock()
	defer c.writes.Unlock()
	c.gathering, c.gathered = true, buffer
}

// flush writes what was gathered. What others write meanwhile, an alert of TLS or a last word, comes behind it, and never
// waits for a slow reader.
func (c *Conn) flush() error {
	c.writes.Lock()
	defer c.writes.Unlock()
	for len(c.gathered) > 0 && c.broken == nil {
		part := c.gathered
		c.gathered = nil
		c.writes.Unlock()
		_, err := c.TCPConn.Write(part)
		c.writes.Lock()
		c.broken = err
	}
	c.gathering, c.gathered = false, nil
	return c.broken
}

// readNow reads what there is, or returns errNothing.
func (c *Conn) readNow(p []byte) (int, error) {
	c.into = p
	err := c.raw.Read(c.readOnce)
	c.into = nil
	switch {
	case err != nil:
		return 0, err
	case c.err == syscall.EAGAIN:
		return 0, errNothing{}
	case c.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", c.err)}
	case c.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// wait returns when the connection has something to read, an end or an error among it, or os.ErrDeadlineExceeded after a
// time. A limit of 0 is none.
func (c *Conn) wait(limit time.Duration) error {
	if limit > 0 {
		_ = c.SetReadDeadline(time.Now().Add(limit))
		defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	}
	return c.raw.Read(c.peek)
}

// Close closes the connection, and has a relay that sleeps on it notice.
func (c *Conn) Close() error {
	err := c.TCPConn.Close()
	sleep.rouse(c)
	return err
}

// errNothing is what an impatient read returns when nothing has come. It calls itself temporary, as a timeout is, and
// so crypto/tls keeps the part of a record that it has and goes on at the next read.
type errNothing struct{}

func (errNothing) Error() string   { return "nothing to read yet" }
func (errNothing) Timeout() bool   { return true }
func (errNothing) Temporary() bool { return true }

// socket gives the Conn that conn is or stands on; nil when there is none.
func socket(conn net.Conn) *Conn {
	if c := belowTLS(conn); c != nil {
		return c
	}
	c, _ := conn.(*Conn)
	return c
}

// belowTLS gives the Conn that a TLS connection stands on; nil when there is none.
func belowTLS(conn net.Conn) *Conn {
	encrypted, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	c, _ := encrypted.NetConn().(*Conn)
	return c
}
