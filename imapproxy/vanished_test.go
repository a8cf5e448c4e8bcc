package imapproxy

import (
	"io"
	"net"
	"strings"
	"testing"
)

// vanishing has the ways in which a peer is gone.
var vanishing = map[string]func(conn net.Conn){
	"orderly":   func(conn net.Conn) { _ = conn.Close() },
	"below TLS": func(conn net.Conn) { closeSocket(conn) },
	"by reset": func(conn net.Conn) {
		socket := conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
		_ = socket.SetLinger(0)
		_ = socket.Close()
	},
}

// TestI12ClientVanishes in the middle of whatever it is saying: upstream hears what the client has said and nothing that
// it has not. No literal is filled up, no command completed, no DONE or LOGOUT said for it.
func TestI12ClientVanishes(t *testing.T) {
	for name, moment := range map[string]struct {
		says     []string // the client and upstream by turns; upstream's is heard before the client goes on
		restrict string   // what upstream hears in a session with restrictions; empty for the same
		late     string   // what upstream hears besides, in such a session, when it lets a client that is gone go on
	}{
		"in a command":             {says: []string{"A2 SELE"}, restrict: "nothing"},
		"at the end of a command":  {says: []string{"A2 SELECT INBOX\r"}, restrict: "nothing"},
		"in an unasked literal":    {[]string{"A2 APPEND INBOX {10+}\r\nhalf"}, "A2 APPEND INBOX {10}\r\n", "half"},
		"in an asked literal":      {says: []string{"A2 APPEND INBOX {10}\r\n", "+ Ready\r\n", "half"}},
		"before an asked literal":  {[]string{"A2 APPEND INBOX {10}\r\n"}, "A2 APPEND INBOX {10}\r\n", "nothing"},
		"behind a literal":         {says: []string{"A2 APPEND INBOX {4}\r\n", "+ Ready\r\n", "half"}},
		"at the end of an APPEND":  {says: []string{"A2 APPEND INBOX {4}\r\n", "+ Ready\r\n", "half\r"}, restrict: "A2 APPEND INBOX {4}\r\nhalf"},
		"in IDLE":                  {says: []string{"A2 IDLE\r\n", "+ idling\r\n"}},
		"in DONE":                  {says: []string{"A2 IDLE\r\n", "+ idling\r\n", "DON"}, restrict: "A2 IDLE\r\n"},
		"while upstream answers":   {says: []string{"A2 FETCH 1 BODY[]\r\n", "* 1 FETCH (BODY[] {100}\r\nhalf"}},
		"having asked for its end": {says: []string{"A2 LOGOUT\r\n"}},
	} {
		for way, vanish := range vanishing {
			for _, restricted := range []bool{false, true} {
				session := map[bool]string{false: "", true: " with restrictions"}[restricted]
				t.Run(name+" "+way+session, func(t *testing.T) {
					w := newWorld(t)
					if restricted {
						w.gate.folders = []string{"INBOX"}
					}
					c := w.signIn()
					heard := ""
					for i, words := range moment.says {
						if i%2 == 0 {
							c.send(words)
							heard += words
						} else {
							w.upstream.awaitRelayed(heard)
							w.upstream.say(0, words)
							c.hear(words)
						}
					}
					if restricted && moment.restrict != "" {
						heard = strings.TrimPrefix(moment.restrict, "nothing")
					}
					w.upstream.awaitRelayed(heard)
					vanish(c.conn)
					if restricted && moment.late != "" {
						w.upstream.say(0, "+ Ready\r\n")
						heard += strings.TrimPrefix(moment.late, "nothing")
					}
					c.awaitServed()
					if v := w.upstream.awaitOver(0); string(v.relayed) != heard {
						t.Errorf("upstream heard %q, want %q", v.relayed, heard)
					}
					if end := lastEnd(t, w); end.Cause != "client-closed" {
						t.Errorf("the session ended by %q, want client-closed", end.Cause)
					}
				})
			}
		}
	}
}

// hear reads words that do not end in a line's end.
func (c *client) hear(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.in, got); err != nil || string(got) != want {
		c.t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// leavings are the moments at which upstream goes: what the client has said, and what upstream says last.
var leavings = map[string]struct{ said, last string }{
	"between commands":          {"", ""},
	"before an answer":          {"A2 NOOP\r\n", ""},
	"in a line":                 {"A2 FETCH 1 FLAGS\r\n", "* 1 FET"},
	"at the end of a line":      {"A2 NOOP\r\n", "A2 OK done\r"},
	"in its literal":            {"A2 FETCH 1 BODY[]\r\n", "* 1 FETCH (BODY[] {100}\r\nhalf"},
	"in the client's literal":   {"A2 APPEND INBOX {10}\r\n", "+ Ready\r\n"},
	"in IDLE":                   {"A2 IDLE\r\n", "+ idling\r\n"},
	"behind pipelined commands": {"A2 NOOP\r\nA3 NOOP\r\nA4 NOOP\r\n", "A2 OK done\r\n"},
}

// TestI12UpstreamVanishes at any moment: the client hears what upstream has said and then the end, and no answer that
// nobody gave.
func TestI12UpstreamVanishes(t *testing.T) {
	for name, moment := range leavings {
		for way, vanish := range vanishing {
			t.Run(name+" "+way, func(t *testing.T) {
				w := newWorld(t)
				c := w.signIn()
				c.send(moment.said)
				w.upstream.awaitRelayed(moment.said)
				w.upstream.say(0, moment.last)
				c.hear(moment.last)
				vanish(w.upstream.visit(0).conn)
				c.expectEnd()
				c.gone()
				if end := lastEnd(t, w); end.Cause != "upstream-closed" {
					t.Errorf("the session ended by %q, want upstream-closed", end.Cause)
				}
			})
		}
	}
}

// TestI16TokenExpiresAtAnyMoment: upstream takes its leave with Exchange's words (reference B.2) and closes, whatever the
// session is in the middle of. The client hears the words as they are and an orderly end of TLS; the audit says why; and
// the next sign-in is an ordinary one.
func TestI16TokenExpiresAtAnyMoment(t *testing.T) {
	const words = "* BYE Session invalidated - AccessTokenExpired\r\n"
	for name, moment := range leavings {
		for _, restricted := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "", true: " with restrictions"}[restricted], func(t *testing.T) {
				w := newWorld(t)
				if restricted {
					w.gate.folders = []string{"INBOX"}
				}
				c := w.signIn()
				c.send(moment.said)
				w.upstream.awaitRelayed(moment.said)
				w.upstream.say(0, moment.last)
				c.hear(moment.last)
				if strings.HasPrefix(moment.last, "+ Ready") {
					c.send("half")
					w.upstream.awaitRelayed(moment.said + "half")
				}
				w.upstream.say(0, words)
				w.upstream.hangUp(0)
				rest, err := io.ReadAll(c.in)
				if string(rest) != words || err != nil {
					t.Errorf("the client heard %q, then %v; want %q, and an orderly end", rest, err, words)
				}
				c.gone()
				if end := lastEnd(t, w); end.Cause != "token-expired" {
					t.Errorf("the session ended by %q, want token-expired", end.Cause)
				}
				w.signIn().gone()
			})
		}
	}
}
