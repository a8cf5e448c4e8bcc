package relay

import (
	"crypto/tls"
	"io"
	"net"
	"os"
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

	// impatient makes Read return errNothing instead of waiting.
	impatient bool
	// records is what Read keeps to; nil where there is no TLS above.
	records *records
	// sleep is the number under which the connection sleeps; 0 while it does not. It is the dormitory's.
	sleep uint64

	// The arguments and results of what follows, which are kept as values because a closure for each read would be an
	// allocation for each read.
	readOnce, peek, peekOnce func(fd uintptr) bool
	into                     []byte
	n                        int
	err                      error
	ready                    bool
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
	c.peekOnce = func(fd uintptr) bool {
		c.ready = c.peek(fd)
		return true
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
	if c.records == nil || len(p) == 0 {
		return c.readSocket(p)
	}
	return c.records.read(p, c.readSocket)
}

// readSocket is Read without regard to records.
func (c *Conn) readSocket(p []byte) (int, error) {
	if c.impatient {
		return c.readNow(p)
	}
	return c.TCPConn.Read(p)
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

// readable reports whether wait would return at once.
func (c *Conn) readable() bool { return c.raw.Read(c.peekOnce) != nil || c.ready }

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

// socket gives the Conn below conn; nil when there is none.
func socket(conn net.Conn) *Conn {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, _ := conn.(*Conn)
	return c
}
