package smtpproxy

import (
	"io"
	"net"
	"testing"
)

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
