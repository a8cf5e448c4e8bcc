package relay

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
)

const (
	// recordHeader is the size in bytes of a TLS record's header: type, version, and the length of what follows (RFC 8446
	// section 5.1).
	recordHeader = 5
	// firstRead is how much is asked for in bytes before it is known how long a record is: a short one comes whole.
	firstRead = 512
)

// Server lays TLS over a client's connection, best one of [Wrap]; see [records].
func Server(conn net.Conn, config *tls.Config) *tls.Conn {
	followRecords(conn)
	return tls.Server(conn, config)
}

// Client lays TLS over a connection to upstream, best one of [Wrap]; see [records].
func Client(conn net.Conn, config *tls.Config) *tls.Conn {
	followRecords(conn)
	return tls.Client(conn, config)
}

func followRecords(conn net.Conn) {
	if c, ok := conn.(*Conn); ok {
		c.records = new(records)
	}
}

// records cuts what a connection reads at the ends of TLS records. crypto/tls keeps the buffer into which it has read for
// as long as the connection lives; where part of a next record stands in it, it grows to twice the size of a record and
// more. Given one record at a time, it stays as large as the largest record that came.
//
// It follows the lengths in the headers and knows nothing else of TLS. Whatever it made of a stream that is none, the bytes
// arrive all the same, in order.
type records struct {
	header [recordHeader]byte
	seen   int // bytes of the header
	left   int // bytes of the record that are still to come, once the header is whole

	// ahead has been read and not been given. It is most often the next record's header, which comes with the end of the
	// record before it, and saves a system call; there is room for it in own. While a buffer is lent, it is what is there.
	ahead []byte
	own   [recordHeader]byte
}

// room is how much to ask for.
func (r *records) room() int {
	if r.seen < recordHeader {
		return firstRead
	}
	return r.left + recordHeader
}

// take gives how much of p belongs to the record that is being read, and goes on by as much.
func (r *records) take(p []byte) int {
	n := 0
	if r.seen < recordHeader {
		n = copy(r.header[r.seen:], p)
		if r.seen += n; r.seen < recordHeader {
			return n
		}
		r.left = int(binary.BigEndian.Uint16(r.header[recordHeader-2:]))
	}
	m := min(r.left, len(p)-n)
	if r.left -= m; r.left == 0 {
		r.seen = 0
	}
	return n + m
}

// readAhead gives bytes of one record, of those that have been read already.
func (r *records) readAhead(p []byte) int {
	n := r.take(p[:copy(p, r.ahead)])
	if r.ahead = r.ahead[n:]; len(r.ahead) == 0 {
		r.ahead = nil
	}
	return n
}

// read gives bytes of one record, of what a function reads.
func (r *records) read(p []byte, from func([]byte) (int, error)) (int, error) {
	if len(r.ahead) > 0 {
		return r.readAhead(p), nil
	}
	n, err := from(p[:min(len(p), r.room())])
	if n <= 0 {
		return n, err
	}
	own := r.take(p[:n])
	if beyond := p[own:n]; len(beyond) > recordHeader {
		r.ahead = bytes.Clone(beyond)
	} else if len(beyond) > 0 {
		r.ahead = append(r.own[:0], beyond...)
	}
	return own, err
}
