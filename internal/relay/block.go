package relay

import (
	"cmp"
	"net"
)

// BlockSize is how large a buffer for [ReadBlock] and [WriteBlock] is best, in bytes.
const BlockSize = bufferSize

// ReadBlock reads what has come, as much as fits into p, and waits for the first byte of it until the connection's
// deadline: many TLS records with one system call. It is for whoever looks at what passes and so cannot leave it to a relay.
func ReadBlock(conn net.Conn, p []byte) (n int, err error) {
	sock := socket(conn)
	if sock == nil || len(p) < bufferSize-atOnce {
		return conn.Read(p)
	}
	for {
		n, err = readLent(conn, sock, p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if err := sock.wait(0); err != nil {
			return 0, err
		}
	}
}

// readLent reads what there is, with a buffer on loan, and does not wait.
func readLent(conn net.Conn, sock *Conn, p []byte) (int, error) {
	loan := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(loan)
	n, _, err := fill(conn, sock, p, loan[:max(len(p)-(bufferSize-atOnce), recordHeader)])
	return n, err
}

// fill fills a buffer with what has come, which is on loan to the connection's reads, and reports whether the socket was
// left empty.
func fill(conn net.Conn, sock *Conn, buffer, loan []byte) (n int, drained bool, err error) {
	sock.lend(loan)
	for n < len(buffer) && err == nil {
		var m int
		m, err = conn.Read(buffer[n:])
		n += m
	}
	drained = sock.giveBack()
	if _, ok := err.(errNothing); ok {
		return n, drained, nil
	}
	return n, false, err
}

// WriteBlock writes p with one system call, however many TLS records it makes. It returns when all of it is written, or at the
// connection's deadline.
func WriteBlock(conn net.Conn, p []byte) (int, error) {
	sink := belowTLS(conn)
	if sink == nil {
		return conn.Write(p)
	}
	wire := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(wire)
	return writeGathered(conn, sink, p, wire[:0])
}

// writeGathered writes p, with a buffer for what TLS makes of it.
func writeGathered(conn net.Conn, sink *Conn, p, wire []byte) (int, error) {
	sink.gather(wire)
	n, err := conn.Write(p)
	return n, cmp.Or(sink.flush(), err)
}
