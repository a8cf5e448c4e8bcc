package relay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// encryptedPair gives both ends of a TLS connection over TCP, as a listener and a dialler make them.
func encryptedPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	near, far := tcpPair(t)
	s := Server(Wrap(near), &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	c := Client(Wrap(far), &tls.Config{InsecureSkipVerify: true})
	failed := make(chan error, 1)
	go func() { failed <- c.Handshake() }()
	if err := errors.Join(s.Handshake(), <-failed); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// TestBlocks: what is written in blocks is read in blocks, whatever their sizes, with TLS and without.
func TestBlocks(t *testing.T) {
	for name, pair := range map[string]func(*testing.T) (a, b net.Conn){
		"TLS":   encryptedPair,
		"clear": func(t *testing.T) (net.Conn, net.Conn) { a, b := tcpPair(t); return Wrap(a), Wrap(b) },
		"other": func(t *testing.T) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			want := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz-"), 50_000)
			go func() {
				for rest, n := want, 1; len(rest) > 0; n = n*3%BlockSize + 1 {
					m, err := WriteBlock(a, rest[:min(n, len(rest))])
					if err != nil {
						t.Error(err)
						break
					}
					rest = rest[m:]
				}
				_ = a.Close()
			}()
			var got []byte
			for size := BlockSize; ; size = size*5%BlockSize + 7 {
				block := make([]byte, size)
				n, err := ReadBlock(b, block)
				got = append(got, block[:n]...)
				if n == 0 && errors.Is(err, io.EOF) {
					break
				}
				if n == 0 {
					t.Fatalf("read nothing, and the error is %v", err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrived, want %d, or they differ", len(got), len(want))
			}
		})
	}
}

// TestBlockTakesManyRecords: records that have come are read together.
func TestBlockTakesManyRecords(t *testing.T) {
	a, b := encryptedPair(t)
	belowTLS(a).gather(nil)
	for range 5 {
		if _, err := a.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := belowTLS(a).flush(); err != nil { // one write: they come together
		t.Fatal(err)
	}
	block := make([]byte, BlockSize)
	if n, err := ReadBlock(b, block); n != 5000 || err != nil {
		t.Errorf("read %d bytes, %v; want 5000 of five records", n, err)
	}
}

// TestBlockKeepsDeadlines: a deadline ends the wait, and nothing is lost by it.
func TestBlockKeepsDeadlines(t *testing.T) {
	a, b := encryptedPair(t)
	_ = b.SetReadDeadline(time.Unix(1, 0))
	block := make([]byte, BlockSize)
	if n, err := ReadBlock(b, block); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want the deadline's error", n, err)
	}
	_ = b.SetReadDeadline(time.Time{})
	if _, err := a.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if n, err := ReadBlock(b, block); string(block[:n]) != "late" || err != nil {
		t.Errorf("read %q, %v", block[:n], err)
	}
}
