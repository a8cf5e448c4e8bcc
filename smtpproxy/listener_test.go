package smtpproxy

import "testing"

// A limit on strangers ends where a client has signed in, and not with a refusal.
func TestSignInIsToldToTheListener(t *testing.T) {
	w := newWorld(t)
	c := w.connect(implicit)
	c.hello()
	c.send("AUTH PLAIN AGNvcGllci0zAHdyb25n\r\n") // of the password wrong
	c.reply()
	if n := w.signIns.Load(); n != 0 {
		t.Error("a refused client counts as signed in")
	}
	c.ask(goodPlain, signedIn)
	if n := w.signIns.Load(); n != 1 {
		t.Errorf("told %d times of one sign-in", n)
	}
}
