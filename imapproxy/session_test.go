package imapproxy

import (
	"bytes"
	"crypto/rand"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/session"
)

// TestBytesArriveUnchanged sends all kinds of bytes both ways at once.
func TestBytesArriveUnchanged(t *testing.T) {
	const size = 1 << 20
	w := newWorld(t)
	c := w.signIn()
	up, down := make([]byte, size), make([]byte, size)
	_, _ = rand.Read(up)
	_, _ = rand.Read(down)
	copy(up, "\x00\r\r\n\n{5}\r\n+ \r\n* BYE\r\nA1 LOGOUT\r\n")
	copy(down, "\x00\r\r\n\n{5}\r\n+ \r\n* BYE\r\nA1 OK\r\n")
	said := make(chan struct{})
	go func() {
		defer close(said)
		w.upstream.say(0, string(down))
	}()
	sent := make(chan error, 1)
	go func() {
		_, err := c.conn.Write(up)
		sent <- err
	}()
	heard := make([]byte, size)
	if _, err := io.ReadFull(c.in, heard); err != nil || !bytes.Equal(heard, down) {
		t.Errorf("the client did not hear what upstream said: %v", err)
	}
	<-said
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	w.upstream.await("the client's bytes", func(visits []*visit) bool { return len(visits[0].relayed) >= size })
	if !bytes.Equal(w.upstream.visit(0).relayed, up) {
		t.Error("upstream did not hear what the client said")
	}
	c.gone()
}

// TestUpstreamSpeaksFirst: what upstream says behind the probe is the client's, after its OK.
func TestUpstreamSpeaksFirst(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("CAPABILITY", ordinary["CAPABILITY"]+"\n* 4 EXISTS")
	c := w.signIn()
	c.expect("* 4 EXISTS")
	c.gone()
}

// TestSessionEnds has the ways in which a session ends, and what the audit says of each: a sign-in, a begin and an end
// with the bytes of both directions (threat model I-12, I-16).
func TestSessionEnds(t *testing.T) {
	const goodbye = "* BYE Microsoft Exchange Server IMAP4 server signing off.\r\nA9 OK LOGOUT completed.\r\n"
	const expired = "* BYE Session invalidated - AccessTokenExpired\r\n"
	const recycled = "* BYE Connection is closed. 13\r\n"
	upstreamSays := func(words string) func(*world, *client) {
		return func(w *world, c *client) {
			w.upstream.say(0, words)
			w.upstream.hangUp(0)
			c.expect(strings.ReplaceAll(strings.TrimSuffix(words, "\r\n"), "\r\n", "\n"))
			c.expectEnd()
			_ = c.conn.Close() // as clients do; the relay would wait for last words
		}
	}
	for name, test := range map[string]struct {
		end            func(*world, *client)
		cause          string
		received, sent string
	}{
		"logout": {func(w *world, c *client) {
			c.send("A9 LOGOUT\r\n")
			w.upstream.awaitRelayed("A9 LOGOUT\r\n")
			upstreamSays(goodbye)(w, c)
		}, "logout", "A9 LOGOUT\r\n", goodbye},
		"the client does not wait for its goodbye": {func(w *world, c *client) {
			c.send("A9 LOGOUT\r\n")
			w.upstream.awaitRelayed("A9 LOGOUT\r\n")
			w.upstream.say(0, goodbye)
			c.expect(strings.ReplaceAll(strings.TrimSuffix(goodbye, "\r\n"), "\r\n", "\n"))
			c.gone()
		}, "logout", "A9 LOGOUT\r\n", goodbye},
		"token expired":              {upstreamSays(expired), "token-expired", "", expired},
		"token expired, in a BAD":    {upstreamSays("A2 BAD Session invalidated - AccessTokenExpired\r\n"), "token-expired", "", "A2 BAD Session invalidated - AccessTokenExpired\r\n"},
		"upstream closes with words": {upstreamSays(recycled), "upstream-closed", "", recycled},
		"upstream closes without": {func(w *world, c *client) {
			w.upstream.hangUp(0)
			c.expectEnd()
			_ = c.conn.Close()
		}, "upstream-closed", "", ""},
		"the client closes": {func(w *world, c *client) { c.gone() }, "client-closed", "", ""},
		"the client closes in a literal": {func(w *world, c *client) {
			c.send("A2 APPEND INBOX {10+}\r\nhalf")
			w.upstream.awaitRelayed("A2 APPEND INBOX {10+}\r\nhalf")
			c.gone()
		}, "client-closed", "A2 APPEND INBOX {10+}\r\nhalf", ""},
		"cut off": {func(w *world, c *client) {
			if n := w.sessions.Cut("password-revoked", func(s session.Info) bool { return s.Password == "pw-1" }); n != 1 {
				t.Errorf("%d sessions were cut off, want 1", n)
			}
		}, "password-revoked", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.signIn()
			w.pass(90 * time.Second)
			test.end(w, c)
			c.awaitServed()
			if v := w.upstream.awaitOver(0); string(v.relayed) != test.received {
				t.Errorf("upstream heard %q, want %q and nothing that nobody said", v.relayed, test.received)
			}
			want := []audit.Event{
				audit.SignIn{Outcome: audit.Allowed, Session: "s-1"},
				audit.SessionBegin{Session: "s-1", Protocol: "imap", Login: "helpdesk", Mailbox: "helpdesk@contoso.example",
					Account: "alice@contoso.example at contoso", TLS: "TLS 1.3", Password: "pw-1"},
				audit.SessionEnd{Session: "s-1", Protocol: "imap", Login: "helpdesk", Mailbox: "helpdesk@contoso.example", Cause: test.cause,
					Duration: 90_000, Received: int64(len(test.received)), Sent: int64(len(test.sent))},
			}
			if diff := cmp.Diff(want, w.audit.all(), cmpopts.IgnoreFields(audit.SessionBegin{}, "Remote"),
				cmpopts.IgnoreFields(audit.SessionEnd{}, "Commands")); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRegister: a session is in the register from its OK to its end, with all that an administrator needs to find it.
func TestRegister(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	list := w.sessions.List()
	if len(list) != 1 || !list[0].Remote.Addr().IsLoopback() {
		t.Fatalf("got %+v, want one session from a loopback address", list)
	}
	want := session.Info{ID: "s-1", Protocol: "imap", Login: "helpdesk", Mailbox: "helpdesk@contoso.example",
		Account: "alice@contoso.example at contoso", Password: "pw-1", Remote: list[0].Remote, Started: noon}
	if grant, ok := list[0].Grant.(*auth.Grant); !ok || grant.Login != "helpdesk" {
		t.Errorf("got the grant %+v, want the one that the gate gave", list[0].Grant)
	}
	list[0].Grant = nil
	if list[0] != want {
		t.Errorf("got  %+v\nwant %+v", list[0], want)
	}
	c.gone()
	if left := w.sessions.List(); len(left) != 0 {
		t.Errorf("after the end the register has %v", left)
	}
}

// TestCutOffWhileOpening: a session that is cut off before it has begun never begins.
func TestCutOffWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.audit.onRecord["sign-in"] = func() { w.sessions.Cut("password-revoked", func(session.Info) bool { return true }) }
	c := w.greeted(implicit)
	c.send(login + "\r\n")
	c.awaitServed()
	if rest, _ := io.ReadAll(c.in); strings.Contains(string(rest), "OK") {
		t.Errorf("the client heard %q", rest)
	}
	w.upstream.awaitOver(0)
	events := w.audit.all()
	if end, ok := events[len(events)-1].(audit.SessionEnd); !ok || end.Cause != "password-revoked" {
		t.Errorf("the last event is %+v, want the session's end with its cause", events[len(events)-1])
	}
}
