package imapproxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"slices"
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

// Scripted replies that are none.
const (
	hangUp = "hang up" // the connection is closed
	silent = "silent"  // nothing is said until the other side closes the connection
)

// authority signs the certificates of all servers in these tests.
var authority = sync.OnceValue(func() *certs.Authority {
	a, err := certs.NewAuthority("imapproxy test")
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

const (
	capabilitiesBefore = "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
	capabilitiesAfter  = "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES " +
		"CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+"
	// composed is what a signed-in client is told of capabilitiesAfter.
	composed = "IMAP4 IMAP4rev1 UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
	// composedReader is what one is told who may only read.
	composedReader = "IMAP4 IMAP4rev1 ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
)

// ordinary holds Exchange's answers where a test scripts nothing (reference B.2), by command. TAG stands for its tag; "message" is
// a line that answers a continuation.
var ordinary = map[string]string{
	"greeting":     "* OK The Microsoft Exchange IMAP4 service is ready. [TQBOADIAUABSADAAMQBDAEEAMAAwADcANwA=]",
	"AUTHENTICATE": "TAG OK AUTHENTICATE completed.",
	"message":      "TAG OK AUTHENTICATE completed.",
	"STATUS":       "* STATUS INBOX (MESSAGES 3)\nTAG OK STATUS completed.",
	"CAPABILITY":   "* CAPABILITY " + capabilitiesAfter + "\nTAG OK CAPABILITY completed.",
}

// fakeUpstream is an IMAP server that says what a test scripts until it has answered CAPABILITY, and from then on what
// the test makes it say. It keeps all that it hears.
type fakeUpstream struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex
	scripts map[string][]string // command → replies to its next occurrences
	visits  []*visit
	changed chan struct{} // closed, and made anew, with each change of a visit
}

// visit is one connection to the fake upstream. Its fields are guarded by the upstream's mutex.
type visit struct {
	conn        net.Conn
	commands    []string // before the relay, without tags; of AUTHENTICATE the mechanism only
	user, token string   // of XOAUTH2
	messages    []string // lines that answered continuations
	relayed     []byte   // what came after CAPABILITY was answered
	over        bool
}

func newFakeUpstream(t *testing.T) *fakeUpstream {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS())
	if err != nil {
		t.Fatal(err)
	}
	u := &fakeUpstream{t: t, listener: listener, scripts: map[string][]string{}, changed: make(chan struct{})}
	u.serving.Go(u.accept)
	t.Cleanup(u.stop)
	return u
}

func (u *fakeUpstream) address() string { return u.listener.Addr().String() }

// stop closes the listener and every connection, and waits for their goroutines.
func (u *fakeUpstream) stop() {
	_ = u.listener.Close()
	u.change(func() {
		for _, v := range u.visits {
			_ = v.conn.Close()
		}
	})
	u.serving.Wait()
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
			u.serve(v)
			_ = conn.Close()
			u.change(func() { v.over = true })
		})
	}
}

// script sets the replies to the next occurrences of a command, one each.
func (u *fakeUpstream) script(command string, replies ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[command] = append(u.scripts[command], replies...)
}

// answer writes the reply to a command, and reports whether the dialogue goes on.
func (u *fakeUpstream) answer(conn net.Conn, command, tag string) (reply string, ok bool) {
	u.mu.Lock()
	reply, known := ordinary[command]
	if !known {
		reply = "TAG BAD Command Argument Error. 11"
	}
	if scripted := u.scripts[command]; len(scripted) > 0 {
		reply, u.scripts[command] = scripted[0], scripted[1:]
	}
	u.mu.Unlock()
	switch reply {
	case hangUp:
		return "", false
	case silent:
		_, _ = io.Copy(io.Discard, conn)
		return "", false
	}
	_, err := io.WriteString(conn, strings.NewReplacer("TAG", tag, "\n", "\r\n").Replace(reply)+"\r\n")
	return reply, err == nil
}

// serve holds the dialogue of one connection.
func (u *fakeUpstream) serve(v *visit) {
	if v.conn.(*tls.Conn).Handshake() != nil {
		return
	}
	in := bufio.NewReader(v.conn)
	_, ok := u.answer(v.conn, "greeting", "*")
	tag := ""
	for reply := ""; ok; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		command := "message"
		if strings.HasPrefix(reply, "+") {
			u.change(func() { v.messages = append(v.messages, line); v.open(line) })
		} else {
			command, tag = u.hear(v, line)
		}
		if reply, ok = u.answer(v.conn, command, tag); ok && command == "CAPABILITY" {
			u.listen(v, in)
			return
		}
	}
}

// hear keeps a command.
func (u *fakeUpstream) hear(v *visit, line string) (command, tag string) {
	tag, rest, _ := strings.Cut(line, " ")
	command, arguments, _ := strings.Cut(rest, " ")
	u.change(func() {
		if command == "AUTHENTICATE" {
			mechanism, initial, _ := strings.Cut(arguments, " ")
			v.open(initial)
			rest = command + " " + mechanism
		}
		v.commands = append(v.commands, rest)
	})
	return command, tag
}

// open reads the message of XOAUTH2.
func (v *visit) open(encoded string) {
	message, _ := base64.StdEncoding.DecodeString(encoded)
	if user, token, err := sasl.ParseXOAUTH2(message); err == nil {
		v.user, v.token = user, token.Reveal()
	}
}

// listen keeps all bytes to the end of the connection.
func (u *fakeUpstream) listen(v *visit, in io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		u.change(func() { v.relayed = append(v.relayed, buffer[:n]...) })
		if err != nil {
			return
		}
	}
}

// say makes the n-th connection say something in the relay.
func (u *fakeUpstream) say(n int, text string) {
	u.t.Helper()
	v := u.visit(n)
	if _, err := io.WriteString(v.conn, text); err != nil {
		u.t.Error("upstream's writing:", err)
	}
}

// hangUp closes the n-th connection.
func (u *fakeUpstream) hangUp(n int) { _ = u.visit(n).conn.Close() }

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

// awaitRelayed waits until the first connection has heard want in the relay, and nothing else.
func (u *fakeUpstream) awaitRelayed(want string) {
	u.t.Helper()
	u.await("the client's bytes", func(visits []*visit) bool { return len(visits) > 0 && len(visits[0].relayed) >= len(want) })
	if got := u.visit(0).relayed; string(got) != want {
		u.t.Fatalf("upstream heard %.200q, want %.200q", got, want)
	}
}

// awaitOver waits for the n-th connection to be over, and gives a copy of it.
func (u *fakeUpstream) awaitOver(n int) visit {
	u.t.Helper()
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
	v.commands, v.messages, v.relayed = slices.Clone(v.commands), slices.Clone(v.messages), bytes.Clone(v.relayed)
	return v
}

// connections gives the number of connections so far.
func (u *fakeUpstream) connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.visits)
}
