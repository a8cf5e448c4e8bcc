package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// wrapped gives a connection and the Conn at its other end.
func wrapped(t *testing.T) (net.Conn, *Conn) {
	t.Helper()
	peer, relayed := tcpPair(t)
	t.Cleanup(func() { peer.Close(); relayed.Close() })
	return peer, relayed.(*Conn)
}

// TestLoanIsReadIntoOnce: with a buffer lent, the socket is read once, whatever number of records that gives; what is left
// when the loan ends is not lost with the buffer.
func TestLoanIsReadIntoOnce(t *testing.T) {
	peer, conn := wrapped(t)
	followRecords(conn)
	stream := bytes.Join([][]byte{record(100), record(0), record(1000), record(30)}, nil)
	if _, err := peer.Write(stream); err != nil {
		t.Fatal(err)
	}
	if err := conn.wait(0); err != nil {
		t.Fatal(err)
	}
	var got []byte
	p, loan := make([]byte, 64), make([]byte, 4096)
	conn.lend(loan)
	for range 3 {
		n, err := conn.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	if conn.giveBack() {
		t.Error("a loan that was not read to its end left nothing")
	}
	clear(loan)
	conn.lend(make([]byte, 4096))
	for {
		n, err := conn.Read(p)
		if errors.As(err, new(errNothing)) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	if !conn.giveBack() {
		t.Error("the socket was not found empty")
	}
	if !bytes.Equal(got, stream) {
		t.Errorf("got %d bytes, want %d and the same", len(got), len(stream))
	}
}

// TestLastWordDoesNotWaitForASlowReader: what others write while a flush is held up comes behind it, and holds nobody up.
func TestLastWordDoesNotWaitForASlowReader(t *testing.T) {
	peer, conn := wrapped(t)
	if err := conn.SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	much := randomBytes(16 << 20)
	conn.gather(nil)
	if _, err := conn.Write(much); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- conn.flush() }()
	first := make([]byte, 1)
	if _, err := io.ReadFull(peer, first); err != nil { // the flush has begun
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("BYE")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-flushed:
		t.Fatalf("the flush has ended before anybody read: %v", err)
	default:
	}
	got := make([]byte, len(much)+2)
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if want := append(much, "BYE"...); !bytes.Equal(append(first, got...), want) {
		t.Error("the bytes are not those that were written, in order")
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}

// TestNothingFollowsABrokenFlush: the peer may have a part of a record; whatever came behind that would be taken for its rest.
func TestNothingFollowsABrokenFlush(t *testing.T) {
	_, conn := wrapped(t)
	_ = conn.SetWriteDeadline(time.Now().Add(-time.Second))
	conn.gather(nil)
	_, _ = conn.Write([]byte("part of a record"))
	broken := conn.flush()
	if broken == nil {
		t.Fatal("a write after its deadline succeeded")
	}
	_ = conn.SetWriteDeadline(time.Time{})
	if _, err := conn.Write([]byte("x")); err != broken {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// TestOneWriteForManyRecords: what TLS makes of a buffer, about 80 records of 96 KB when a connection is new, is gathered
// before any of it is written.
func TestOneWriteForManyRecords(t *testing.T) {
	client, relayed := tlsPair(t)
	defer client.Close()
	defer relayed.Close()
	sink, sent := belowTLS(relayed), randomBytes(atOnce)
	sink.gather(nil)
	if _, err := relayed.Write(sent); err != nil {
		t.Fatal(err)
	}
	if got := len(sink.gathered); got <= len(sent) {
		t.Errorf("%d bytes are gathered of %d in clear", got, len(sent))
	}
	flushed := make(chan error, 1)
	go func() { flushed <- sink.flush() }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the bytes are not those that were sent: %v", err)
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}
