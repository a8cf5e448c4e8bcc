package relay

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ends are the four ends of a relay under test: what the test holds, and what the relay is given.
type ends struct {
	client, upstream net.Conn // the test's
	result           chan Result
}

// layer makes two ends of one connection: the first for the test, the second for the relay.
type layer func(t testing.TB) (peer, relayed net.Conn)

var layers = map[string]layer{
	"pipe": func(t testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	"tcp":  tcpPair,
	"tls":  tlsPair,
}

func tcpPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return peer, Wrap(accepted)
}

func tlsPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	peer, relayed := tcpPair(t)
	server := Server(relayed, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// start runs a relay over connections of a layer.
func start(t testing.TB, make layer, clientAhead, upstreamAhead string) *ends {
	t.Helper()
	client, relayedClient := make(t)
	upstream, relayedUpstream := make(t)
	e := &ends{client: client, upstream: upstream, result: newResult()}
	go func() {
		e.result <- Run(Side{Conn: relayedClient, Ahead: []byte(clientAhead)}, Side{Conn: relayedUpstream, Ahead: []byte(upstreamAhead)})
	}()
	t.Cleanup(func() { client.Close(); upstream.Close() })
	return e
}

func newResult() chan Result { return make(chan Result, 1) }

func forEachLayer(t *testing.T, test func(t *testing.T, make layer)) {
	for name, make := range layers {
		t.Run(name, func(t *testing.T) { test(t, make) })
	}
}

// TestBytesArriveUnchangedInOrder sends random bytes in random portions both ways at once.
func TestBytesArriveUnchangedInOrder(t *testing.T) {
	forEachLayer(t, func(t *testing.T, make layer) {
		e := start(t, make, "ahead of the client", "ahead of upstream")
		up, down := randomBytes(3<<20), randomBytes(5<<20)
		errs := newErrors()
		go func() { errs <- writePortions(e.client, up) }()
		go func() { errs <- writePortions(e.upstream, down) }()
		go func() { errs <- expect(e.upstream, append([]byte("ahead of the client"), up...)) }()
		go func() { errs <- expect(e.client, append([]byte("ahead of upstream"), down...)) }()
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		e.client.Close()
		e.upstream.Close()
		result := <-e.result
		if want := int64(len(up) + len("ahead of the client")); result.Received != want {
			t.Errorf("Received %d, want %d", result.Received, want)
		}
		if want := int64(len(down) + len("ahead of upstream")); result.Sent != want {
			t.Errorf("Sent %d, want %d", result.Sent, want)
		}
		if want := down[len(down)-tailSize:]; !bytes.Equal(result.Tail, want) {
			t.Errorf("Tail is not the end of what upstream sent")
		}
	})
}

func newErrors() chan error { return make(chan error, 4) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func writePortions(w io.Writer, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), 1+mathrand.IntN(1<<mathrand.IntN(18)))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		return errors.Join(err, errors.New("after "+big.NewInt(int64(n)).String()+" bytes"))
	}
	if !bytes.Equal(got, want) {
		return errors.New("bytes differ")
	}
	return nil
}

func TestEndOfEitherSideReachesTheOther(t *testing.T) {
	for _, name := range []string{"tcp", "tls"} {
		for _, test := range []struct {
			side         string
			closed, told func(*ends) net.Conn
			end          End
		}{
			{"client", (*ends).clientConn, (*ends).upstreamConn, ClientEnded},
			{"upstream", (*ends).upstreamConn, (*ends).clientConn, UpstreamEnded},
		} {
			t.Run(name+"/"+test.side, func(t *testing.T) {
				e := start(t, layers[name], "", "")
				test.closed(e).Close()
				if n, err := io.Copy(io.Discard, test.told(e)); n != 0 || err != nil {
					t.Errorf("the other side read %d bytes, %v; want an end", n, err)
				}
				test.told(e).Close()
				if result := <-e.result; result.End != test.end || result.Err != nil {
					t.Errorf("got end %v, error %v; want %v", result.End, result.Err, test.end)
				}
			})
		}
	}
}

func (e *ends) clientConn() net.Conn   { return e.client }
func (e *ends) upstreamConn() net.Conn { return e.upstream }

// TestLastWordsAfterAHalfClose is a client that says LOGOUT, ends its direction, and reads what upstream still says.
func TestLastWordsAfterAHalfClose(t *testing.T) {
	for _, name := range []string{"tcp", "tls"} {
		t.Run(name, func(t *testing.T) {
			e := start(t, layers[name], "", "")
			if _, err := e.client.Write([]byte("a LOGOUT\r\n")); err != nil {
				t.Fatal(err)
			}
			closeWrite(e.client)
			if got, err := io.ReadAll(e.upstream); string(got) != "a LOGOUT\r\n" || err != nil {
				t.Fatalf("upstream read %q, %v", got, err)
			}
			const bye = "* BYE\r\na OK\r\n"
			if _, err := e.upstream.Write([]byte(bye)); err != nil {
				t.Fatal(err)
			}
			e.upstream.Close()
			if got, err := io.ReadAll(e.client); string(got) != bye || err != nil {
				t.Fatalf("the client read %q, %v", got, err)
			}
			if result := <-e.result; string(result.Tail) != bye || result.End != ClientEnded {
				t.Errorf("got %+v", result)
			}
		})
	}
}

// TestSlowReaderStopsTheOtherSide: what upstream can push ahead of a client that reads nothing is bounded by the
// sockets' buffers and one of ours.
func TestSlowReaderStopsTheOtherSide(t *testing.T) {
	e := start(t, layers["pipe"], "", "")
	chunk := make([]byte, bufferSize)
	if _, err := e.upstream.Write(chunk); err != nil {
		t.Fatal(err)
	}
	_ = e.upstream.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := e.upstream.Write(chunk); err == nil {
		t.Errorf("upstream could send %d bytes more than one buffer to a client that reads none", n)
	}
}

// TestIdleSessionsHoldNoBuffer: after traffic, the buffers are in the pool and not with the sessions.
func TestIdleSessionsHoldNoBuffer(t *testing.T) {
	const sessions = 100
	all := make([]*ends, sessions)
	for i := range all {
		all[i] = start(t, tcpPair, "", "")
	}
	before := heapInUse()
	for _, e := range all {
		ping(t, e.client, e.upstream)
		ping(t, e.upstream, e.client)
	}
	perSession := (heapInUse() - before) / sessions
	t.Logf("%d bytes of heap for each idle session after traffic", perSession)
	if perSession > 4<<10 {
		t.Errorf("an idle session holds %d bytes", perSession)
	}
	for _, e := range all {
		e.client.Close()
		e.upstream.Close()
		<-e.result
	}
}

func ping(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := from.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if err := expect(to, []byte("ping")); err != nil {
		t.Fatal(err)
	}
}

// heapInUse gives the bytes of live objects, once the pools have been emptied.
func heapInUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkRelay(b *testing.B) {
	for _, name := range []string{"tcp", "tls"} {
		b.Run(name, func(b *testing.B) {
			e := start(b, layers[name], "", "")
			const size = 64 << 10
			b.SetBytes(size)
			b.ReportAllocs()
			chunk := make([]byte, size)
			go func() {
				for {
					if _, err := e.upstream.Write(chunk); err != nil {
						return
					}
				}
			}()
			got := make([]byte, size)
			for b.Loop() {
				if _, err := io.ReadFull(e.client, got); err != nil {
					b.Fatal(err)
				}
			}
			e.client.Close()
			e.upstream.Close()
			<-e.result
		})
	}
}
