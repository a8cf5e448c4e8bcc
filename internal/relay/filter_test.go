package relay

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

// upper is a filter that sends upper case, drops dots, and gives up at an exclamation mark.
type upper struct{ ended chan struct{} }

var errGivenUp = errors.New("given up")

func newUpper() *upper { return &upper{ended: make(chan struct{})} }

func (u *upper) Pass(p []byte, send func([]byte) error) error {
	if bytes.IndexByte(p, '!') >= 0 {
		return errGivenUp
	}
	for part := range bytes.SplitSeq(bytes.ToUpper(p), []byte(".")) {
		if err := send(part); err != nil {
			return err
		}
	}
	return nil
}

func (u *upper) Ended() { close(u.ended) }

// TestFilter: all bytes of a direction go through its filter, those that had been read ahead among them, and what the
// filter sends is what arrives and what is counted.
func TestFilter(t *testing.T) {
	forEachLayer(t, func(t *testing.T, make layer) {
		client, relayedClient := make(t)
		upstream, relayedUpstream := make(t)
		up, down := newUpper(), newUpper()
		result := newResult()
		go func() {
			result <- Run(Side{Conn: relayedClient, Ahead: []byte("a."), Filter: up}, Side{Conn: relayedUpstream, Filter: down})
		}()
		go func() { _, _ = io.WriteString(client, "b.c") }()
		if err := expect(upstream, []byte("ABC")); err != nil {
			t.Error(err)
		}
		go func() { _, _ = io.WriteString(upstream, "..x.") }()
		if err := expect(client, []byte("X")); err != nil {
			t.Error(err)
		}
		_ = client.Close()
		_ = upstream.Close()
		if got := <-result; got.Received != 3 || got.Sent != 1 || string(got.Tail) != "X" {
			t.Errorf("got %+v", got)
		}
		for name, ended := range map[string]chan struct{}{"client's": up.ended, "upstream's": down.ended} {
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Errorf("the %s filter was not told of the end", name)
			}
		}
	})
}

func TestFilterThatGivesUp(t *testing.T) {
	client, relayedClient := tcpPair(t)
	upstream, relayedUpstream := tcpPair(t)
	filter := newUpper()
	result := newResult()
	go func() {
		result <- Run(Side{Conn: relayedClient, Filter: filter}, Side{Conn: relayedUpstream})
	}()
	if _, err := io.WriteString(client, "!"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(upstream); len(rest) > 0 || err != nil {
		t.Errorf("upstream read %q, %v; want the end", rest, err)
	}
	<-filter.ended
	_ = upstream.Close()
	if got := <-result; !errors.Is(got.Err, errGivenUp) || got.End != ClientEnded {
		t.Errorf("got %+v", got)
	}
	_ = client.Close()
}
