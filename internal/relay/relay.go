// Package relay is the byte pump that a session ends in: what either side sends reaches the other, unchanged and in
// order, until one of them is done.
//
// The relay does not know what the bytes mean; whoever must look at them gives a [Filter] for a direction.
//
// It holds next to nothing for a session in which nothing moves: a direction waits for its socket, takes two buffers from a
// common pool, reads what has come with one system call, writes it with another, however many TLS records they are, and gives
// the buffers back. After two seconds without a byte its goroutine goes as well (on Linux; see dormitory). A slow reader
// stops the reading from its peer, and so holds two buffers at most.
package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// bufferSize is the size in bytes of the pooled buffers: eight full TLS records.
	bufferSize = 128 << 10
	// atOnce is how much is read from a socket at once, in bytes: what comes of it, with up to two records that TLS may
	// hold already, fits into a buffer, and so does what TLS makes of that for the other side.
	atOnce = bufferSize - 2*(16<<10)
	// writeTimeout bounds one write of a buffer: a peer that takes nothing for so long is gone.
	writeTimeout = 5 * time.Minute
	// tailSize is how much of the end of what upstream sent is kept, in bytes: room for one closing line.
	tailSize = 128
	// lastWords bounds the time that is left to the other direction once one has ended; data that still flows
	// extends it.
	lastWords = 10 * time.Second
	// drowsy is after how long without a byte a direction waits without a goroutine.
	drowsy = 2 * time.Second
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

// Run is [Start] for those who wait for the end.
func Run(client, upstream Side) Result {
	done := make(chan Result, 1)
	Start(client, upstream, func(result Result) { done <- result })
	return <-done
}

// Start relays between a client and upstream until both directions have ended, closes both connections, and then calls
// done, on a goroutine of the relay's own: none waits for the end of a session in which nothing moves. To cut a relay
// short, close the connections.
//
// When one side ends, the other is told so by a half-close, and has a few seconds, longer while its bytes still flow,
// for its last words. Nothing is sent to either side that the other has not sent.
func Start(client, upstream Side, done func(Result)) {
	_ = client.Conn.SetDeadline(time.Time{})
	_ = upstream.Conn.SetDeadline(time.Time{})
	r := &relay{done: done, running: 2}
	r.up = direction{relay: r, from: client, to: upstream.Conn, sock: socket(client.Conn), sink: belowTLS(upstream.Conn)}
	r.down = direction{relay: r, from: upstream, to: client.Conn, sock: socket(upstream.Conn), sink: belowTLS(client.Conn), keepTail: true}
	go r.up.begin()
	go r.down.begin()
}

// relay is two directions between the same connections.
type relay struct {
	up, down direction
	done     func(Result)

	mu      sync.Mutex
	running int         // directions that the other side has not been told the end of
	first   *direction  // the one that ended first; nil while both go on
	limit   *time.Timer // hangs up, and is put off whenever bytes move; nil while both directions go on
}

// ended takes note of a direction that has ended, and gives the other one its time for last words.
func (r *relay) ended(d *direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first = d
		r.limit = time.AfterFunc(lastWords, r.hangUp)
	}
}

// moved takes note of bytes that were sent.
func (r *relay) moved() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit != nil {
		r.limit.Reset(lastWords)
	}
}

// finished takes note of a direction whose end the other side knows, and concludes after the second.
func (r *relay) finished() {
	r.mu.Lock()
	r.running--
	last := r.running == 0
	r.mu.Unlock()
	if last {
		r.conclude()
	}
}

// conclude closes the connections and reports.
func (r *relay) conclude() {
	r.limit.Stop()
	if r.up.writeFailed {
		discard(r.up.from.Conn)
	}
	r.hangUp()
	result := Result{Received: r.up.moved, Sent: r.down.moved, Err: r.first.err, Tail: r.down.tail}
	if r.first.source() == r.down.from.Conn {
		result.End = UpstreamEnded
	}
	r.done(result)
}

// hangUp closes both connections. A TLS close tells the peer, unless a write is under way.
func (r *relay) hangUp() {
	_ = r.up.from.Conn.Close()
	_ = r.down.from.Conn.Close()
}

// discard reads away, for a moment, what a client still sends to an upstream that is gone: closing a connection with
// unread bytes in it resets it, and the client would lose the words with which upstream took its leave.
func discard(client net.Conn) {
	_ = client.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, client)
}

// direction is one half of a relay.
type direction struct {
	relay    *relay
	from     Side
	sock     *Conn // below from; nil where there is none
	to       net.Conn
	sink     *Conn  // below to, with TLS between; nil where there is none
	wire     []byte // room for what TLS makes of a write; nil between two drains
	keepTail bool
	send     func([]byte) error // write, as a value made once; for a filter

	// Known when the direction has ended.
	moved       int64
	err         error
	writeFailed bool
	tail        []byte
}

// source gives the connection whose end, or break, ended the direction.
func (d *direction) source() net.Conn {
	if d.writeFailed {
		return d.to
	}
	return d.from.Conn
}

// begin moves what the side had sent ahead, and then what comes.
func (d *direction) begin() { d.carry(d.moveAhead) }

// wake moves what has come after a sleep.
func (d *direction) wake() { d.carry(func() error { return nil }) }

// errElsewhere is a direction that goes on elsewhere: it waits without a goroutine, or with a new one.
var errElsewhere = errors.New("goes on elsewhere")

// wait waits for the socket: for a while on the goroutine that it is called on, and then without one. Where that cannot be,
// a new one waits: the stack that TLS has grown would stay as it is for as long as the session.
func (d *direction) wait() error {
	err := d.sock.wait(drowsy)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if !sleep.put(d.sock, d.wake) {
		go d.carry(func() error { return d.sock.wait(0) })
	}
	return errElsewhere
}

// carry takes a step, and then moves bytes and waits for more in turn.
func (d *direction) carry(step func() error) {
	for {
		switch err := d.contain(step); err {
		case nil:
			step = d.wait
		case errElsewhere:
			return
		default:
			d.finish(err)
			return
		}
	}
}

// contain takes a step and moves what has come. A panic becomes an error: it ends one session only (threat model I-32).
func (d *direction) contain(step func() error) (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			err = &Fault{failure, debug.Stack()}
		}
	}()
	if err := step(); err != nil {
		return err
	}
	if d.sock == nil {
		return d.pumpPlain()
	}
	return d.work()
}

// Fault is a panic in a filter, or in the relay itself.
type Fault struct {
	Panic any
	Stack []byte
}

func (f *Fault) Error() string { return fmt.Sprintf("panic: %v", f.Panic) }

// finish tells the other side of the end, and reports.
func (d *direction) finish(err error) {
	if !errors.Is(err, io.EOF) {
		d.err = err
	}
	if d.from.Filter != nil {
		d.from.Filter.Ended()
	}
	d.relay.ended(d)
	closeWrite(d.to)
	d.relay.finished()
}

// moveAhead sends what had been read from the side before the relay began.
func (d *direction) moveAhead() error {
	if len(d.from.Ahead) == 0 {
		return nil
	}
	ahead := d.from.Ahead
	d.from.Ahead = nil
	return d.pass(ahead)
}

// work moves bytes for as long as they come. TLS may hold decrypted bytes or half a record that no socket will ever
// announce, so it is always drained before a wait.
func (d *direction) work() error {
	for {
		drained, err := d.drain()
		if drained || err != nil {
			return err
		}
	}
}

// drain reads what has come, up to a buffer, and writes it. It reports whether nothing more had come.
//
// The second buffer has what comes as TLS has it, and then what goes so.
func (d *direction) drain() (drained bool, err error) {
	plain, wire := buffers.Get().(*[bufferSize]byte), buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(plain)
	defer buffers.Put(wire)
	n, drained, err := fill(d.from.Conn, d.sock, plain[:], wire[:atOnce])
	if n > 0 {
		d.wire = wire[:0]
		writeErr := d.pass(plain[:n])
		d.wire = nil
		if writeErr != nil {
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
	var n int
	var err error
	if d.sink != nil {
		n, err = writeGathered(d.to, d.sink, p, d.wire)
	} else {
		n, err = d.to.Write(p)
	}
	d.moved += int64(n)
	if err != nil {
		d.writeFailed = true
		return err
	}
	if d.keepTail {
		d.tail = appendTail(d.tail, p)
	}
	d.relay.moved()
	return nil
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
