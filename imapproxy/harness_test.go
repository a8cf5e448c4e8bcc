package imapproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/front"
	"postern/internal/relay"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/session"
)

// noon is when these tests begin.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a proxy with all around it.
type world struct {
	t         *testing.T
	proxy     *Proxy
	upstream  *fakeUpstream
	upstreams map[string]Upstream // provider → where the proxy finds its upstream
	gate      *fakeGate
	tokens    *fakeTokens
	audit     *fakeAudit
	sessions  *session.Register
	log       *log
	ctx       context.Context
	stop      context.CancelFunc
	serving   sync.WaitGroup
	signIns   atomic.Int32 // that listeners were told of
	faults    bool         // panics are expected, and end their connection as the listener has them do

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, upstream: newFakeUpstream(t), tokens: &fakeTokens{}, sessions: &session.Register{}, log: &log{}, now: noon}
	w.audit = &fakeAudit{onRecord: map[string]func(){}}
	w.gate = &fakeGate{audit: w.audit}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.upstreams = map[string]Upstream{"contoso": {Address: w.upstream.address(), TLS: clientTLS()}}
	w.proxy = New(Config{
		Gate: w.gate, Tokens: w.tokens, Audit: w.audit, Sessions: w.sessions,
		Upstream: func(provider string) (Upstream, bool) {
			upstream, known := w.upstreams[provider]
			return upstream, known
		},
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: w.clock,
	})
	t.Cleanup(func() {
		w.stop()
		w.sessions.Cut("test over", func(session.Info) bool { return true })
		w.serving.Wait()
		w.searchSecrets()
		if left := w.sessions.List(); len(left) != 0 {
			t.Errorf("the register still has %v", left)
		}
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// searchSecrets looks for what must never be shown (threat model I-41), also inside a longer text that is in base64.
func (w *world) searchSecrets() {
	w.t.Helper()
	shown := w.log.String() + fmt.Sprintf("%+v", w.audit.all())
	for _, name := range []string{goodPassword, firstToken, secondToken} {
		message, _ := sasl.XOAUTH2("helpdesk@contoso.example", secret.New(name))
		for _, form := range []string{name, encode(name), encode(string(message))[:40], encode("auth=Bearer " + name)} {
			if strings.Contains(shown, form) {
				w.t.Errorf("the log or the audit shows the secret %q as %q:\n%s", name, form, shown)
			}
		}
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// mode is how a listener protects its connections.
type mode int

const (
	implicit mode = iota
	startTLS
	optional
)

// client is a client of the proxy that fails its test when it does not hear what it expects.
type client struct {
	t      *testing.T
	conn   net.Conn
	in     *bufio.Reader
	served chan struct{} // closed when the proxy is done with the connection
}

// connect opens a connection that was accepted just now, and leaves the greeting unread.
func (w *world) connect(m mode) *client { return w.connectAccepted(m, time.Now()) }

func (w *world) connectAccepted(m mode, accepted time.Time) *client {
	w.t.Helper()
	mine, theirs := tcpPair(w.t)
	c := &client{t: w.t, conn: mine, in: bufio.NewReader(mine), served: make(chan struct{})}
	conn := front.New(relay.Wrap(theirs), "s-1", accepted)
	conn.ClearAllowed = m == optional
	conn.OnSignIn = func() { w.signIns.Add(1) }
	if m != implicit {
		conn.StartTLS = serverTLS()
	}
	w.serving.Go(func() {
		defer close(c.served)
		defer func() {
			if w.faults && recover() != nil {
				_ = conn.Close()
			}
		}()
		if m == implicit {
			if err := conn.Handshake(w.ctx, serverTLS()); err != nil {
				_ = conn.Close()
				return
			}
		}
		if session := w.proxy.Serve(w.ctx, conn); session != nil {
			over := make(chan struct{})
			session(func() { close(over) })
			<-over
		}
	})
	if m == implicit {
		c.handshake()
	}
	w.t.Cleanup(func() { _ = c.conn.Close() })
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	return c
}

// tcpPair gives both ends of a TCP connection.
func tcpPair(t testing.TB) (mine, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if mine, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return mine, theirs
}

// handshake lays TLS over the client's side.
func (c *client) handshake() {
	c.t.Helper()
	encrypted := tls.Client(c.conn, clientTLS())
	_ = encrypted.SetDeadline(time.Now().Add(patience))
	if err := encrypted.Handshake(); err != nil {
		c.t.Fatal("handshake with the gateway:", err)
	}
	c.conn, c.in = encrypted, bufio.NewReader(encrypted)
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal("writing to the gateway:", err)
	}
}

// line reads one line without its CRLF.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: got %q, then %v", line, err)
	}
	text, whole := strings.CutSuffix(line, "\r\n")
	if !whole {
		c.t.Fatalf("the line %q does not end in CRLF", line)
	}
	return text
}

// expect holds the next lines against want, which separates lines by LF.
func (c *client) expect(want string) {
	c.t.Helper()
	var got []string
	for range strings.Split(want, "\n") {
		got = append(got, c.line())
	}
	if got := strings.Join(got, "\n"); got != want {
		c.t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// ask sends a command line and holds the answer against want.
func (c *client) ask(command, want string) {
	c.t.Helper()
	c.send(command + "\r\n")
	var got []string
	for range strings.Split(want, "\n") {
		got = append(got, c.line())
	}
	if got := strings.Join(got, "\n"); got != want {
		c.t.Fatalf("%.80q\ngot  %q\nwant %q", command, got, want)
	}
}

// play asks for each pair of a command and its answer.
func (c *client) play(dialogue ...string) {
	c.t.Helper()
	for i := 0; i < len(dialogue); i += 2 {
		c.ask(dialogue[i], dialogue[i+1])
	}
}

// expectEnd demands that the gateway closes the connection without another word.
func (c *client) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 || err != nil && isTimeout(err) {
		c.t.Fatalf("got %q, %v; want the connection closed", rest, err)
	}
}

// gone closes the client's side and waits until the proxy is done.
func (c *client) gone() {
	c.t.Helper()
	_ = c.conn.Close()
	c.awaitServed()
}

func (c *client) awaitServed() {
	c.t.Helper()
	select {
	case <-c.served:
	case <-time.After(patience):
		c.t.Fatal("the proxy is not done with the connection")
	}
}

// What the gateway says again and again in these tests.
const (
	offersTLS      = "IMAP4rev1 LITERAL+ ID SASL-IR AUTH=PLAIN AUTH=LOGIN"
	offersStartTLS = "IMAP4rev1 LITERAL+ ID STARTTLS LOGINDISABLED"
	offersOptional = "IMAP4rev1 LITERAL+ ID STARTTLS SASL-IR AUTH=PLAIN AUTH=LOGIN"
	signedIn       = "A1 OK [CAPABILITY " + composed + "] LOGIN completed"
	readerIn       = "A1 OK [CAPABILITY " + composedReader + "] LOGIN completed"
	authenticated  = "A1 OK [CAPABILITY " + composed + "] AUTHENTICATE completed"
	denied         = "A1 NO [AUTHENTICATIONFAILED] Authentication failed"
	unavailable    = "A1 NO [UNAVAILABLE] " + sayUnavailable
	unknown        = " BAD Unknown command, or one that needs a sign-in first"
	login          = "A1 LOGIN helpdesk " + goodPassword
)

func greeting(offers string) string { return "* OK [CAPABILITY " + offers + "] Postern is ready" }

// greeted is a connection whose greeting has been read.
func (w *world) greeted(m mode) *client {
	w.t.Helper()
	c := w.connect(m)
	c.expect(greeting(map[mode]string{implicit: offersTLS, startTLS: offersStartTLS, optional: offersOptional}[m]))
	return c
}

// signIn is a connection over TLS that is signed in.
func (w *world) signIn() *client {
	w.t.Helper()
	c := w.greeted(implicit)
	if w.gate.readOnly {
		c.ask(login, readerIn)
	} else {
		c.ask(login, signedIn)
	}
	return c
}
