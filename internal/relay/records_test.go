package relay

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// record makes a TLS record with n bytes.
func record(n int) []byte {
	return append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, randomBytes(n)...)
}

// TestReadsKeepToRecords: nothing that is read reaches into a next record, so that crypto/tls never has to make room for
// more than one.
func TestReadsKeepToRecords(t *testing.T) {
	for _, burst := range []bool{true, false} {
		peer, relayed := tcpPair(t)
		followRecords(relayed)
		var stream []byte
		var ends []int
		for _, size := range []int{1, 16384, 0, 16401, 20, 30, 40, 16384, 600, 507, 508} {
			stream = append(stream, record(size)...)
			ends = append(ends, len(stream))
		}
		go func() {
			defer peer.Close()
			portions := stream
			for !burst && len(portions) > 7 {
				_, _ = peer.Write(portions[:7])
				portions = portions[7:]
			}
			_, _ = peer.Write(portions)
		}()
		var got []byte
		buffer := make([]byte, 32<<10)
		for {
			n, err := relayed.Read(buffer)
			from := len(got)
			got = append(got, buffer[:n]...)
			for _, end := range ends {
				if from < end && end < len(got) {
					t.Fatalf("a read gave bytes %d to %d, across the end of a record at %d", from, len(got), end)
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, stream) {
			t.Error("the bytes are not those that were sent")
		}
		_ = relayed.Close()
	}
}

// FuzzRecords holds that any stream at all arrives as it is, however it is read.
func FuzzRecords(f *testing.F) {
	f.Add(append(record(3), record(0)...), 7, 600)
	f.Add([]byte("no TLS at all, and a word more"), 1, 2)
	f.Fuzz(func(t *testing.T, stream []byte, size, piece int) {
		if size < 1 || size > 40000 || piece < 1 {
			t.Skip()
		}
		r, rest, got := new(records), stream, []byte(nil)
		buffer := make([]byte, size)
		for len(rest) > 0 || len(r.ahead) > 0 {
			before := len(got)
			n, err := r.read(buffer, func(p []byte) (int, error) {
				n := copy(p[:min(len(p), piece)], rest)
				rest = rest[n:]
				return n, nil
			})
			if got = append(got, buffer[:n]...); err != nil || len(got) == before {
				t.Fatalf("read gave %d bytes, %v", n, err)
			}
		}
		if !bytes.Equal(got, stream) {
			t.Fatalf("got %q, want %q", got, stream)
		}
	})
}

// faulty is a filter that panics.
type faulty struct{}

func (faulty) Pass([]byte, func([]byte) error) error { panic("a fault of ours") }
func (faulty) Ended()                                {}

// TestI32PanicInAFilterEndsOneSession: and says so.
func TestI32PanicInAFilterEndsOneSession(t *testing.T) {
	client, relayedClient := tcpPair(t)
	upstream, relayedUpstream := tcpPair(t)
	result := newResult()
	Start(Side{Conn: relayedClient, Filter: faulty{}}, Side{Conn: relayedUpstream}, func(r Result) { result <- r })
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, side := range []net.Conn{upstream, client} {
		_, _ = io.Copy(io.Discard, side)
		_ = side.Close()
	}
	got := <-result
	fault, ok := got.Err.(*Fault)
	if !ok || fault.Panic != "a fault of ours" || !bytes.Contains(fault.Stack, []byte("faulty.Pass")) {
		t.Errorf("got error %v", got.Err)
	}
}
