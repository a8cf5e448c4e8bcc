package smtpproxy

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/wire"
)

// pipeSubmission is a connection to upstream over a pipe, and the channel on which all that upstream hears comes when
// the connection is closed.
func pipeSubmission() (*submission, <-chan string) {
	mine, theirs := net.Pipe()
	heard := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(theirs)
		heard <- string(all)
	}()
	return &submission{conn: mine, in: wire.NewReader(mine, maxReplyLine)}, heard
}

// hasEnded reports whether upstream's connection is closed, once everything in the bubble waits.
func hasEnded(heard <-chan string) bool {
	synctest.Wait()
	return len(heard) > 0
}

func TestIdleUpstreamIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream, heard := pipeSubmission()
		l := newLink(nil)
		if !l.put(upstream) {
			t.Fatal("put refused")
		}
		time.Sleep(time.Hour) // in use, it stays
		if hasEnded(heard) {
			t.Fatal("closed while in use")
		}
		l.release()
		time.Sleep(idleUpstream - time.Millisecond)
		if l.take() != upstream || hasEnded(heard) {
			t.Fatal("closed too early")
		}
		time.Sleep(time.Hour) // taken again, it stays
		if hasEnded(heard) {
			t.Fatal("closed while in use again")
		}
		l.release()
		time.Sleep(idleUpstream)
		if !hasEnded(heard) {
			t.Fatalf("still open after %v idle", idleUpstream)
		}
		if got := <-heard; got != "QUIT\r\n" {
			t.Errorf("upstream heard %q, want QUIT", got)
		}
		if l.take() != nil {
			t.Error("a closed connection was given out")
		}
	})
}

// TestTimerOfAnEarlierConnection does nothing to the one that came after.
func TestTimerOfAnEarlierConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, heardFirst := pipeSubmission()
		second, heardSecond := pipeSubmission()
		l := newLink(nil)
		l.put(first)
		l.release()
		time.Sleep(idleUpstream - time.Second)
		l.drop()
		if !hasEnded(heardFirst) || <-heardFirst != "" {
			t.Error("drop took leave of upstream, or did not hang up")
		}
		l.put(second)
		l.release()
		time.Sleep(2 * time.Second)
		if hasEnded(heardSecond) {
			t.Error("the timer of the first closed the second")
		}
		l.drop()
	})
}

// TestTimerOfAnEarlierPause does nothing to a connection that was used meanwhile: its time runs anew.
func TestTimerOfAnEarlierPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream, heard := pipeSubmission()
		l := newLink(nil)
		l.put(upstream)
		l.release()
		time.Sleep(idleUpstream - time.Second)
		l.take()
		l.release()
		time.Sleep(idleUpstream - time.Second)
		if hasEnded(heard) {
			t.Error("closed by the timer of the first pause")
		}
		time.Sleep(time.Second)
		if !hasEnded(heard) {
			t.Error("still open after its second pause")
		}
	})
}

func TestLinkCutOff(t *testing.T) {
	client, other := net.Pipe()
	defer func() { _ = other.Close() }()
	held, heardHeld := pipeSubmission()
	l := newLink(client)
	l.put(held)
	l.cut("password-revoked")
	l.cut("stopped")
	if got := <-heardHeld; got != "" {
		t.Errorf("upstream heard %q, want nothing", got)
	}
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client's connection: %v, want it closed", err)
	}
	late, heardLate := pipeSubmission()
	if l.put(late) {
		t.Error("put into a session that was cut off")
	}
	<-heardLate
	if got := l.close(); got != "password-revoked" {
		t.Errorf("cause %q, want the first", got)
	}
}
