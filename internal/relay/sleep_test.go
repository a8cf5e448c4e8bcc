//go:build linux

package relay

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// asleep waits until so many directions of relays sleep.
func asleep(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		sleep.mu.Lock()
		got := len(sleep.sleepers)
		sleep.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d directions sleep, want %d", got, want)
		}
	}
}

// TestIdleSessionsHoldNoGoroutine: after a while without a byte none waits for a session, and yet its bytes and its ends
// arrive, more than once.
func TestIdleSessionsHoldNoGoroutine(t *testing.T) {
	const sessions = 50
	before := runtime.NumGoroutine()
	var clients, upstreams []net.Conn
	results := make(chan Result, sessions)
	for range sessions {
		client, relayedClient := tlsPair(t)
		upstream, relayedUpstream := tlsPair(t)
		clients, upstreams = append(clients, client), append(upstreams, upstream)
		Start(Side{Conn: relayedClient}, Side{Conn: relayedUpstream}, func(r Result) { results <- r })
	}
	for range 2 {
		asleep(t, 2*sessions)
		if got := runtime.NumGoroutine() - before; got > 5 {
			t.Errorf("%d goroutines for %d idle sessions", got, sessions)
		}
		for i := range clients {
			ping(t, clients[i], upstreams[i])
			ping(t, upstreams[i], clients[i])
		}
	}
	asleep(t, 2*sessions)
	for i := range clients {
		if i%2 == 0 {
			_ = clients[i].Close()
			_ = upstreams[i].Close()
		} else {
			_ = upstreams[i].Close()
			_ = clients[i].Close()
		}
	}
	for range sessions {
		if r := <-results; r.Received != 8 || r.Sent != 8 || r.Err != nil {
			t.Errorf("got %+v", r)
		}
	}
	asleep(t, 0)
}

// TestSleeperIsCut: closing a connection from this side ends a relay that sleeps on it.
func TestSleeperIsCut(t *testing.T) {
	client, relayedClient := tcpPair(t)
	upstream, relayedUpstream := tcpPair(t)
	result := newResult()
	Start(Side{Conn: relayedClient}, Side{Conn: relayedUpstream}, func(r Result) { result <- r })
	asleep(t, 2)
	_ = relayedClient.Close()
	_ = relayedUpstream.Close()
	<-result
	asleep(t, 0)
	_, _ = client.Close(), upstream.Close()
}
