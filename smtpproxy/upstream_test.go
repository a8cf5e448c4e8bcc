package smtpproxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/certs"
	"postern/internal/sasl"
)

// patience is how long a test waits for something that is about to happen. It is long, since it passes only when a test
// fails.
const patience = 20 * time.Second

// hangUp is a scripted reply that closes the connection instead.
const hangUp = "hang up"

// authority signs the certificates of all servers in these tests.
var authority = sync.OnceValue(func() *certs.Authority {
	a, err := certs.NewAuthority("smtpproxy test")
	if err != nil {
		panic(err)
	}
	return a
})

// serverCertificate is for 127.0.0.1, which both the gateway and its upstream are.
var serverCertificate = sync.OnceValue(func() tls.Certificate {
	certificate, _, _, err := authority().Issue("127.0.0.1")
	if err != nil {
		panic(err)
	}
	return certificate
})

func serverTLS() *tls.Config {
	return certs.ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate := serverCertificate()
		return &certificate, nil
	})
}

func clientTLS() *tls.Config { return certs.UpstreamTLS("127.0.0.1", authority().Roots()) }

// ordinary holds Exchange's answers where a test scripts nothing (reference B.4). The keys are verbs; "." is the end of a message.
var ordinary = map[string]string{
	"greeting":      "220 up.example Microsoft ESMTP MAIL Service ready",
	"EHLO in clear": "250-up.example Hello\n250-SIZE 157286400\n250-PIPELINING\n250 STARTTLS",
	"EHLO": "250-up.example Hello\n250-SIZE 157286400\n250-PIPELINING\n250-DSN\n250-ENHANCEDSTATUSCODES\n" +
		"250-AUTH LOGIN XOAUTH2\n250-8BITMIME\n250 SMTPUTF8",
	"STARTTLS": "220 2.0.0 SMTP server ready",
	"AUTH":     "235 2.7.0 Authentication successful",
	"MAIL":     "250 2.1.0 Sender OK",
	"RCPT":     "250 2.1.5 Recipient OK",
	"DATA":     "354 Start mail input; end with <CRLF>.<CRLF>",
	".":        "250 2.0.0 OK <1@up.example> [Hostname=UP.EXAMPLE]",
	"RSET":     "250 2.0.0 Resetting",
	"QUIT":     "221 2.0.0 Service closing transmission channel",
}

// fakeUpstream is a submission server that says what a test scripts and keeps all that it hears.
type fakeUpstream struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	before   func(verb string) // is called before each reply, where it is set
	leave    func()            // has the proxy give up the connections that it keeps
	serving  sync.WaitGroup

	mu      sync.Mutex
	scripts map[string][]string // verb → replies to its next occurrences
	forgets bool                // keeps of a message its last bytes only
	visits  []*visit
	changed chan struct{} // closed, and made anew, with each change of a visit
}

// visit is one connection to the fake upstream. Its fields are guarded by the upstream's mutex.
type visit struct {
	conn        net.Conn
	commands    []string // after TLS; of AUTH the mechanism only
	user, token string   // of XOAUTH2
	data        []byte   // everything heard after the newest 354, the end of the message included
	messages    []string // those that came to their end
	inData      bool
	over        bool
}

func newFakeUpstream(t *testing.T) *fakeUpstream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &fakeUpstream{t: t, listener: listener, tls: serverTLS(), scripts: map[string][]string{}, changed: make(chan struct{})}
	u.serving.Go(u.accept)
	t.Cleanup(u.stop)
	return u
}

// stop closes the listener and every connection, and waits for their goroutines.
func (u *fakeUpstream) stop() {
	_ = u.listener.Close()
	u.hangUpAll()
	u.serving.Wait()
}

// hangUpAll closes every connection there is.
func (u *fakeUpstream) hangUpAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, v := range u.visits {
		_ = v.conn.Close()
	}
}

func (u *fakeUpstream) accept() {
	for {
		conn, err := u.listener.Accept()
		if err != nil {
			return
		}
		v := &visit{conn: conn}
		u.change(func() { u.visits = append(u.visits, v) })
		u.serving.Go(func() {
			u.serve(v, conn)
			_ = conn.Close()
			u.change(func() { v.over = true })
		})
	}
}

// script sets the replies to the next occurrences of a verb, one each.
func (u *fakeUpstream) script(verb string, replies ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[verb] = append(u.scripts[verb], replies...)
}

// forget makes the server keep the last bytes of messages only, for a test that sends large ones.
func (u *fakeUpstream) forget() { u.change(func() { u.forgets = true }) }

// answer writes the reply to a verb, and reports whether the dialogue goes on.
func (u *fakeUpstream) answer(w io.Writer, verb string) (reply string, ok bool) {
	u.mu.Lock()
	before := u.before
	u.mu.Unlock()
	if before != nil {
		before(verb)
	}
	u.mu.Lock()
	reply, known := ordinary[verb]
	if !known {
		reply = "500 5.3.3 Unrecognized command"
	}
	if scripted := u.scripts[verb]; len(scripted) > 0 {
		reply, u.scripts[verb] = scripted[0], scripted[1:]
	}
	u.mu.Unlock()
	if reply == hangUp {
		return "", false
	}
	_, err := io.WriteString(w, strings.ReplaceAll(reply, "\n", "\r\n")+"\r\n")
	return reply, err == nil
}

// serve holds the dialogue of one connection.
func (u *fakeUpstream) serve(v *visit, conn net.Conn) {
	in := bufio.NewReader(conn)
	if _, ok := u.answer(conn, "greeting"); !ok {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		encrypted, isTLS := conn.(*tls.Conn)
		u.change(func() { v.hear(verb, rest, isTLS) })
		if verb == "EHLO" {
			verb = map[bool]string{false: "EHLO in clear", true: "EHLO"}[isTLS]
		}
		reply, ok := u.answer(conn, verb)
		switch {
		case !ok:
			return
		case verb == "STARTTLS" && strings.HasPrefix(reply, "220"):
			encrypted = tls.Server(conn, u.tls)
			if encrypted.Handshake() != nil {
				return
			}
			conn, in = encrypted, bufio.NewReaderSize(encrypted, 32<<10)
		case verb == "DATA" && strings.HasPrefix(reply, "354"):
			if !u.readMessage(v, in) {
				return
			}
			if _, ok := u.answer(conn, "."); !ok {
				return
			}
		case verb == "QUIT":
			return
		}
	}
}

// hear keeps a command.
func (v *visit) hear(verb, rest string, encrypted bool) {
	if verb == "AUTH" {
		mechanism, initial, _ := strings.Cut(rest, " ")
		message, _ := base64.StdEncoding.DecodeString(initial)
		user, token, _ := sasl.ParseXOAUTH2(message)
		v.user, v.token, rest = user, token.Reveal(), mechanism
	}
	if encrypted {
		v.commands = append(v.commands, strings.TrimSuffix(verb+" "+rest, " "))
	}
}

// readMessage keeps every byte up to CRLF.CRLF or the end of the connection, and reports whether the end was there.
func (u *fakeUpstream) readMessage(v *visit, in *bufio.Reader) bool {
	u.change(func() { v.data, v.inData = nil, true })
	for {
		if _, err := in.Peek(1); err != nil {
			return false
		}
		portion, _ := in.Peek(in.Buffered())
		var n int
		var ended bool
		u.change(func() { n, ended = v.keep(portion, u.forgets) })
		_, _ = in.Discard(n)
		if ended {
			return true
		}
	}
}

// keep takes a portion of a message. It gives the number of its bytes that belong to the message, and whether the
// message is at its end.
func (v *visit) keep(portion []byte, forget bool) (n int, ended bool) {
	before := len(v.data)
	v.data = append(v.data, portion...)
	from := max(0, before-len(endMark))
	if i := bytes.Index(v.data[from:], []byte(endMark)); i >= 0 {
		v.data, ended = v.data[:from+i+len(endMark)], true
	} else if bytes.HasPrefix(v.data, []byte(endMark[2:])) {
		v.data, ended = v.data[:3], true
	}
	n = len(v.data) - before
	if ended {
		v.messages, v.inData = append(v.messages, string(v.data)), false
	} else if forget && len(v.data) > len(endMark) {
		v.data = append(v.data[:0], v.data[len(v.data)-len(endMark):]...)
	}
	return n, ended
}

// endMark ends a message (RFC 5321 section 4.1.1.4); without its first CRLF where the message is empty.
const endMark = "\r\n.\r\n"

func (u *fakeUpstream) change(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f()
	close(u.changed)
	u.changed = make(chan struct{})
}

// await waits until the visits are as done says.
func (u *fakeUpstream) await(what string, done func(visits []*visit) bool) {
	u.t.Helper()
	deadline := time.After(patience)
	for {
		u.mu.Lock()
		ok, changed := done(u.visits), u.changed
		u.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			u.t.Fatalf("upstream never saw: %s", what)
		}
	}
}

// awaitOver waits for the n-th connection to be over, which the proxy does not keep for another message, and gives a copy
// of it.
func (u *fakeUpstream) awaitOver(n int) visit {
	u.t.Helper()
	u.leave()
	u.await("the end of a connection", func(visits []*visit) bool { return len(visits) > n && visits[n].over })
	return u.visit(n)
}

// visit gives a copy of the n-th connection as it is now.
func (u *fakeUpstream) visit(n int) visit {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.visits) <= n {
		u.t.Fatalf("upstream had %d connections, want more than %d", len(u.visits), n)
	}
	v := *u.visits[n]
	v.commands = append([]string(nil), v.commands...)
	v.messages = append([]string(nil), v.messages...)
	v.data = bytes.Clone(v.data)
	return v
}

// connections gives the number of connections so far.
func (u *fakeUpstream) connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.visits)
}
