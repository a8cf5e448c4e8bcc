package smtpproxy

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"postern/auth/token"
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

var scans = mailboxKey{copier, "scans@contoso.example"}

func TestIdleUpstreamIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream, heard := pipeSubmission()
		var p pool
		p.put(scans, upstream)
		time.Sleep(idleUpstream - time.Millisecond)
		if p.take(scans) != upstream || hasEnded(heard) {
			t.Fatal("closed too early")
		}
		time.Sleep(time.Hour) // in use, it stays
		if hasEnded(heard) {
			t.Fatal("closed while in use")
		}
		p.put(scans, upstream)
		time.Sleep(idleUpstream)
		if !hasEnded(heard) {
			t.Fatalf("still open after %v idle", idleUpstream)
		}
		if got := <-heard; got != "QUIT\r\n" {
			t.Errorf("upstream heard %q, want QUIT", got)
		}
		if p.take(scans) != nil {
			t.Error("a closed connection was given out")
		}
	})
}

// TestTimerOfAnEarlierPause does nothing to a connection that was used meanwhile: its time runs anew.
func TestTimerOfAnEarlierPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream, heard := pipeSubmission()
		var p pool
		p.put(scans, upstream)
		time.Sleep(idleUpstream - time.Second)
		p.put(scans, p.take(scans))
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

// TestPoolKeepsMailboxesApart: a connection serves the mailbox and the account that it is signed in for, and no other
// (design, invariant 2).
func TestPoolKeepsMailboxesApart(t *testing.T) {
	upstream, heard := pipeSubmission()
	var p pool
	p.put(scans, upstream)
	for _, other := range []mailboxKey{{copier, "other@contoso.example"}, {token.Account{Provider: "contoso", Grant: token.Delegated, Name: "scans@contoso.example"}, scans.user}} {
		if p.take(other) != nil {
			t.Errorf("%v got the connection of %v", other, scans)
		}
	}
	p.close()
	if got := <-heard; got != "QUIT\r\n" {
		t.Errorf("upstream heard %q, want QUIT", got)
	}
	late, heardLate := pipeSubmission()
	p.put(scans, late)
	<-heardLate
	if p.take(scans) != nil {
		t.Error("a closed pool keeps connections")
	}
}
