package smtpproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/front"
	"postern/internal/keys"
	"postern/internal/queue"
	"postern/internal/session"
	"postern/internal/store"
)

const (
	goodPassword = "correct-horse"
	firstToken   = "token-one"
	secondToken  = "token-two"
)

var copier = token.Account{Provider: "contoso", Grant: token.Application}

// noon is when everything in these tests happens.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))

// world is a proxy with all around it.
type world struct {
	t         *testing.T
	proxy     *Proxy
	upstream  *fakeUpstream
	upstreams map[string]Upstream // provider → where the proxy finds its upstream
	gate      *fakeGate
	tokens    *fakeTokens
	audit     *fakeAudit
	store     *store.Store
	queue     *queue.Queue
	limits    *queue.Limits
	sessions  *session.Register
	log       *log
	door      Door                    // what the listener grants
	wrap      func(net.Conn) net.Conn // what the proxy gets instead of its end of a connection; nil for that itself
	ctx       context.Context
	stop      context.CancelFunc
	serving   sync.WaitGroup
	signIns   atomic.Int32 // that listeners were told of
	faults    bool         // panics are expected, and end their connection as the listener has them do
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, upstream: newFakeUpstream(t), tokens: &fakeTokens{}, audit: &fakeAudit{}, sessions: &session.Register{}, log: &log{}}
	w.gate = &fakeGate{audit: w.audit}
	w.limits = &queue.Limits{Connections: 3, PerMinute: 1000}
	w.queue, w.store = openQueue(t, submitters{w.limits}, w.audit, w.log)
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.upstreams = map[string]Upstream{"contoso": {Address: w.upstream.listener.Addr().String(), TLS: clientTLS()}}
	w.proxy = New(Config{
		Domain: "mail.test", Gate: w.gate, Tokens: w.tokens, Audit: w.audit, Queue: w.queue, Sessions: w.sessions,
		Upstream: func(provider string) (Upstream, bool) {
			upstream, known := w.upstreams[provider]
			return upstream, known
		},
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time { return noon },
	})
	w.upstream.leave = func() { w.proxy.pool.leave(func(mailboxKey) bool { return true }) }
	t.Cleanup(func() {
		w.stop()
		w.serving.Wait()
		w.proxy.Close()
		w.searchSecrets()
	})
	return w
}

// openQueue makes a queue that delivers nothing before it is started.
func openQueue(t *testing.T, identities queue.Identities, events *fakeAudit, to io.Writer) (*queue.Queue, *store.Store) {
	t.Helper()
	folder := t.TempDir()
	ring, err := keys.Create(filepath.Join(folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "postern.db"), ring)
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), queue.Config{Domain: "mail.test", Store: s, Files: queue.TemporaryFiles(filepath.Join(folder, "spool")),
		Identities: identities, Audit: events, Log: slog.New(slog.NewTextHandler(to, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		q.Close(ended)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return q, s
}

// forgetPace forgets that upstream has asked to go slower.
func (w *world) forgetPace() {
	w.t.Helper()
	err := w.store.ChangePace(w.t.Context(), "scans@contoso.example", func(store.Pace) store.Pace { return store.Pace{} })
	if err != nil {
		w.t.Fatal(err)
	}
}

// submitters are known to the queue, all with the same limits.
type submitters struct{ limits *queue.Limits }

func (submitters) Barred(context.Context, queue.Submitter, bool) (string, error) { return "", nil }
func (s submitters) Limits(string) queue.Limits                                  { return *s.limits }

// searchSecrets looks for what must never be shown (threat model I-41).
func (w *world) searchSecrets() {
	w.t.Helper()
	for _, name := range []string{goodPassword, firstToken, secondToken} {
		for _, form := range []string{name, base64.StdEncoding.EncodeToString([]byte(name))} {
			if text := w.log.String() + fmt.Sprintf("%+v", w.audit.all()); strings.Contains(text, form) {
				w.t.Errorf("the log or the audit log shows the secret %q:\n%s", form, text)
			}
		}
	}
}

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

// connect opens a connection and leaves the greeting unread.
func (w *world) connect(m mode) *client {
	w.t.Helper()
	mine, theirs := tcpPair(w.t)
	c := &client{t: w.t, conn: mine, in: bufio.NewReader(mine), served: make(chan struct{})}
	if w.wrap != nil {
		theirs = w.wrap(theirs)
	}
	conn := front.New(theirs, "s-1", time.Now())
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
		w.proxy.Serve(w.ctx, conn, w.door)
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

// reply reads a whole reply; its lines are separated by LF.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a reply: got %q, then %v", append(lines, line), err)
		}
		if !strings.HasSuffix(line, "\r\n") {
			c.t.Fatalf("the reply line %q does not end in CRLF", line)
		}
		line = line[:len(line)-2]
		if lines = append(lines, line); len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.reply(); got != want {
		c.t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// ask sends a command and holds the reply against want.
func (c *client) ask(command, want string) {
	c.t.Helper()
	c.send(command + "\r\n")
	if got := c.reply(); got != want {
		c.t.Fatalf("%.80q\ngot  %q\nwant %q", command, got, want)
	}
}

// play asks for each pair of a command and its reply.
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
	greeting    = "220 mail.test ESMTP Postern"
	signedIn    = "235 2.7.0 Authentication successful"
	ok          = "250 2.0.0 OK"
	senderOK    = "250 2.1.0 Sender OK"
	recipientOK = "250 2.1.5 Recipient OK"
	goAhead     = "354 Start mail input; end with <CRLF>.<CRLF>"
	accepted    = "250 2.0.0 OK <1@up.example> [Hostname=UP.EXAMPLE]"
	badSequence = "503 5.5.1 Bad sequence of commands"
	bye         = "221 2.0.0 mail.test closing the connection"
)

var goodPlain = "AUTH PLAIN " + encode("\x00copier-3\x00"+goodPassword)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// hello greets over a connection whose EHLO reply does not matter.
func (c *client) hello() {
	c.t.Helper()
	c.expect(greeting)
	c.send("EHLO copier\r\n")
	c.reply()
}

// signIn opens a connection over TLS that is signed in.
func (w *world) signIn() *client {
	w.t.Helper()
	c := w.connect(implicit)
	c.hello()
	c.ask(goodPlain, signedIn)
	return c
}

// readyForData is a connection whose transaction wants DATA next.
func (w *world) readyForData() *client {
	w.t.Helper()
	c := w.signIn()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
	return c
}

// expectMessages holds the audit's lines about messages against want.
func (w *world) expectMessages(want ...audit.Message) {
	w.t.Helper()
	for i := range want {
		want[i].Session, want[i].Login, want[i].Mailbox = "s-1", "copier-3", "scans@contoso.example"
		if want[i].Recipients == nil {
			want[i].Recipients = []string{}
		}
	}
	if diff := cmp.Diff(want, w.audit.messages()); diff != "" {
		w.t.Errorf("messages in the audit log (-want +got):\n%s", diff)
	}
}
