// Package relay is the byte pump that a session ends in: what either side sends reaches the other, unchanged and in
// order, until one of them is done.
//
// The relay does not know what the bytes mean; whoever must look at them gives a [Filter] for a direction.
//
// It holds nothing for a session in which nothing moves: each direction waits for its socket on a small stack, takes a
// buffer from a common pool, drains what has come (several TLS records into one write), writes it, gives the buffer
// back, and leaves the next wait to a new goroutine, because the stack that TLS has grown would stay as it is for as long
// as the session. A slow reader stops the reading from its peer, and so holds one buffer at most.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// bufferSize is the size in bytes of the pooled buffers: eight full TLS records.
	bufferSize = 128 << 10
	// writeTimeout bounds one write of a buffer: a peer that takes nothing for so long is gone.
	writeTimeout = 5 * time.Minute
	// tailSize is how much of the end of what upstream sent is kept, in bytes: room for one closing line.
	tailSize = 128
	// lastWords bounds the time that is left to the other direction once one has ended; data that still flows
	// extends it.
	lastWords = 10 * time.Second
)

// buffers holds the *[bufferSize]byte that no direction uses at the moment.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Side is one of the two connections of a relay.
type Side struct {
	// Conn is the connection, with TLS or without. Best memory use has one that stands on a [Conn].
	Conn net.Conn
	// Ahead is what has been read from it already and not been used; it is sent on first.
	Ahead []byte
	// Filter stands between what this side sends and the other side; nil lets everything pass.
	Filter Filter
}

// Filter stands in one direction of a relay. Its methods are never called at the same time.
//
// Since all that a direction sends goes through its filter, the two filters of a session know together when every
// command has had its answer. At such a boundary the upstream side of the session can be exchanged for another.
type Filter interface {
	// Pass is given bytes as they came, cut anywhere, and sends on what shall pass. p is the relay's: it may be
	// changed, and not be kept. send does not keep what it is given. An error ends the direction.
	Pass(p []byte, send func([]byte) error) error
	// Ended is called once, when nothing more will be passed.
	Ended()
}

// End says which side ended the relay.
type End int

const (
	// ClientEnded: the client closed its connection or it broke.
	ClientEnded End = iota
	// UpstreamEnded: upstream closed its connection or it broke.
	UpstreamEnded
)

// Result is what a relay did.
type Result struct {
	Received int64 // bytes from the client that were sent to upstream
	Sent     int64 // bytes from upstream that were sent to the client
	End      End   // who was first to end
	Err      error // what broke; nil for an orderly close
	// Tail is the end of what upstream sent, at most 128 bytes: its closing words are there.
	Tail []byte
}

// Run relays between a client and upstream until both directions have ended, and closes both connections. To cut it
// short, close the connections.
//
// When one side ends, the other is told so by a half-close, and has a few seconds, longer while its bytes still flow,
// for its last words. Nothing is sent to either side that the other has not sent.
func Run(client, upstream Side) Result {
	_ = client.Conn.SetDeadline(time.Time{})
	_ = upstream.Conn.SetDeadline(time.Time{})
	up := direction{from: client, to: upstream.Conn}
	down := direction{from: upstream, to: client.Conn, keepTail: true}
	// Two channels, because the answer to a half-close may be quicker than the report of it.
	ended, finished := make(chan *direction, 2), make(chan struct{}, 2)
	up.ended, up.finished = ended, finished
	down.ended, down.finished = ended, finished
	go up.run()
	go down.run()

	first := <-ended
	other := &up
	if first == &up {
		other = &down
	}
	limit := time.AfterFunc(lastWords, func() { hangUp(client.Conn, upstream.Conn) })
	other.extend(limit)
	<-finished
	<-finished
	limit.Stop()
	if up.writeFailed {
		discard(client.Conn)
	}
	hangUp(client.Conn, upstream.Conn)

	result := Result{Received: up.moved, Sent: down.moved, Err: first.err, Tail: down.tail}
	if first.source() == upstream.Conn {
		result.End = UpstreamEnded
	}
	return result
}

// discard reads away, for a moment, what a client still sends to an upstream that is gone: closing a connection with
// unread bytes in it resets it, and the client would lose the words with which upstream took its leave.
func discard(client net.Conn) {
	_ = client.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, client)
}

// hangUp closes both connections. A TLS close tells the peer, unless a write is under way.
func hangUp(a, b net.Conn) {
	_ = a.Close()
	_ = b.Close()
}

// direction is one half of a relay.
type direction struct {
	from     Side
	sock     *Conn // below from; nil where there is none
	to       net.Conn
	keepTail bool
	ended    chan<- *direction  // gets the direction when it has ended
	finished chan<- struct{}    // gets an element when the other side knows as well
	send     func([]byte) error // write, as a value made once; for a filter

	// Known when the direction has finished.
	moved       int64
	err         error
	writeFailed bool
	tail        []byte

	mu    sync.Mutex
	limit *time.Timer // put off whenever bytes move; nil while both directions run
}

// source gives the connection whose end, or break, ended the direction.
func (d *direction) source() net.Conn {
	if d.writeFailed {
		return d.to
	}
	return d.from.Conn
}

// run moves bytes until an end or an error, and then reports.
func (d *direction) run() {
	if len(d.from.Ahead) > 0 {
		if err := d.pass(d.from.Ahead); err != nil {
			d.finish(err)
			return
		}
		d.from.Ahead = nil
	}
	if d.sock = socket(d.from.Conn); d.sock == nil {
		d.finish(d.pumpPlain())
		return
	}
	d.work()
}

// finish tells the other side of the end, and reports.
func (d *direction) finish(err error) {
	if !errors.Is(err, io.EOF) {
		d.err = err
	}
	if d.from.Filter != nil {
		d.from.Filter.Ended()
	}
	d.ended <- d
	closeWrite(d.to)
	d.finished <- struct{}{}
}

// await waits for the socket, and goes to work when there is something.
func (d *direction) await() {
	if err := d.sock.wait(); err != nil {
		d.finish(err)
		return
	}
	d.work()
}

// work moves bytes for as long as they come, and leaves the waiting for more to a goroutine with a stack of its own. TLS
// may hold decrypted bytes or half a record that no socket will ever announce, so it is always drained before a wait.
func (d *direction) work() {
	for {
		buffer := buffers.Get().(*[bufferSize]byte)
		drained, err := d.drain(buffer[:])
		buffers.Put(buffer)
		if err != nil {
			d.finish(err)
			return
		}
		if drained && !d.sock.readable() {
			go d.await()
			return
		}
	}
}

// drain reads what has come, up to a buffer, and writes it. It reports whether nothing more had come.
func (d *direction) drain(buffer []byte) (drained bool, err error) {
	n := 0
	d.sock.impatient = true
	for n < len(buffer) && err == nil {
		var m int
		m, err = d.from.Conn.Read(buffer[n:])
		n += m
	}
	d.sock.impatient = false
	if _, ok := err.(errNothing); ok {
		drained, err = true, nil
	}
	if n > 0 {
		if writeErr := d.pass(buffer[:n]); writeErr != nil {
			return false, writeErr
		}
	}
	return drained, err
}

// pumpPlain moves bytes from any other connection.
func (d *direction) pumpPlain() error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := d.from.Conn.Read(buffer[:])
		if n > 0 {
			if writeErr := d.pass(buffer[:n]); writeErr != nil {
				return writeErr
			}
		}
		if err != nil {
			return err
		}
	}
}

// pass sends p on, through the filter if there is one.
func (d *direction) pass(p []byte) error {
	if d.from.Filter == nil {
		return d.write(p)
	}
	if d.send == nil {
		d.send = d.write
	}
	return d.from.Filter.Pass(p, d.send)
}

// write sends p on and counts it.
func (d *direction) write(p []byte) error {
	_ = d.to.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := d.to.Write(p)
	d.moved += int64(n)
	if err != nil {
		d.writeFailed = true
		return err
	}
	if d.keepTail {
		d.tail = appendTail(d.tail, p)
	}
	d.mu.Lock()
	if d.limit != nil {
		d.limit.Reset(lastWords)
	}
	d.mu.Unlock()
	return nil
}

// extend makes the bytes that still move put limit off.
func (d *direction) extend(limit *time.Timer) {
	d.mu.Lock()
	d.limit = limit
	d.mu.Unlock()
}

// appendTail gives the last tailSize bytes of tail and p together, in tail's memory.
func appendTail(tail, p []byte) []byte {
	if len(p) >= tailSize {
		return append(tail[:0], p[len(p)-tailSize:]...)
	}
	if over := len(tail) + len(p) - tailSize; over > 0 {
		tail = tail[:copy(tail, tail[over:])]
	}
	return append(tail, p...)
}

// closeWrite tells the peer that nothing more will come: the TLS close_notify, then the end of the TCP stream.
func closeWrite(conn net.Conn) {
	type halfCloser interface{ CloseWrite() error }
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		_ = conn.SetWriteDeadline(time.Now().Add(lastWords))
		if half, ok := conn.(halfCloser); ok {
			_ = half.CloseWrite()
		}
		conn = encrypted.NetConn()
	}
	if half, ok := conn.(halfCloser); ok {
		_ = half.CloseWrite()
	}
}
