package imapproxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/diagnosis"
	"postern/internal/relay"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/wire"
)

const (
	// upstreamLine is the longest line in bytes that upstream may send before the relay.
	upstreamLine = 16 << 10
	// upstreamLines is how many lines it may send in answer to one command.
	upstreamLines = 1000
	// openTimeout bounds the whole of opening a mailbox.
	openTimeout = 40 * time.Second
)

// errUpstream is the kind of all that upstream says or does against opening a mailbox, but for the refusal of a token.
var errUpstream = errors.New("upstream would not open the mailbox")

// mailbox is an open mailbox: an upstream connection in the authenticated state, ready for the client's commands.
type mailbox struct {
	conn         net.Conn
	in           *wire.Reader
	user         string   // whom upstream was told; the mailbox's address
	capabilities []string // as upstream lists them
	// told is what upstream was told in confidence and may say again: the token, alone and in its message. It goes no
	// further.
	told []secret.Text
}

// openMailbox connects to upstream, signs in as user with an access token, and makes sure that the mailbox is open.
// An error wraps token.ErrRefused when upstream would not take the token. The caller closes the mailbox's connection.
func openMailbox(ctx context.Context, upstream Upstream, user string, access secret.Text) (*mailbox, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := dial(ctx, upstream)
	if err != nil {
		return nil, err
	}
	m := &mailbox{conn: conn, in: wire.NewReader(conn, upstreamLine), user: user}
	// A deadline in the past wakes every read and write that ctx no longer waits for.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = m.open(access)
	m.told = nil // an open mailbox is kept for long, and its words are the client's
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("IMAP at %s: %w", upstream.Address, err)
	}
	return m, nil
}

// dial connects with TLS, verified before anything is sent.
func dial(ctx context.Context, upstream Upstream) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", upstream.Address)
	if err != nil {
		return nil, fmt.Errorf("IMAP: %w", err)
	}
	encrypted := relay.Client(relay.Wrap(conn), upstream.TLS)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("IMAP at %s: TLS: %w", upstream.Address, err)
	}
	return encrypted, nil
}

// open holds the dialogue from the greeting to the probe's answer.
func (m *mailbox) open(access secret.Text) error {
	greeting, err := m.readLine()
	if err != nil {
		return err
	}
	if !hasPrefixFold(greeting, "* OK") {
		return upstreamSaid(greeting, m.user)
	}
	if err := m.authenticate(access, offersInitialResponse(greeting)); err != nil {
		return err
	}
	return m.probe()
}

// offersInitialResponse reports whether AUTHENTICATE may carry an initial response: where the greeting lists
// capabilities, SASL-IR must be among them (RFC 4959); where it lists none, upstream is Exchange, which has it
// (reference B.2).
func offersInitialResponse(greeting string) bool {
	_, list, ok := strings.Cut(strings.ToUpper(greeting), "[CAPABILITY ")
	list, _, _ = strings.Cut(list, "]")
	return !ok || slices.Contains(strings.Fields(list), "SASL-IR")
}

// authenticate signs in by XOAUTH2.
func (m *mailbox) authenticate(access secret.Text, initial bool) error {
	client := sasl.NewXOAUTH2Client(m.user, access)
	mechanism, message, err := client.Start()
	if err != nil {
		return err
	}
	response := base64.StdEncoding.EncodeToString(message)
	m.told = []secret.Text{access, secret.New(response)}
	command := "A1 AUTHENTICATE " + mechanism
	if initial {
		command, response = command+" "+response, ""
	}
	if err := m.send(command); err != nil {
		return err
	}
	for range upstreamLines {
		line, err := m.readLine()
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(line, "+"):
			// The request for the message, or Google's description of an error, which wants an empty response.
			if err := m.send(response); err != nil {
				return err
			}
			response = ""
		case hasPrefixFold(line, "A1 OK"):
			return nil
		case hasPrefixFold(line, "A1 NO"), hasPrefixFold(line, "A1 BAD"):
			return refusedSignIn(line, m.user)
		case hasPrefixFold(line, "* BYE"):
			return upstreamSaid(line, m.user)
		}
	}
	return fmt.Errorf("%w: no end of answers to AUTHENTICATE", errUpstream)
}

// refusedSignIn tells a refused token from an upstream in trouble. Exchange's word for the first is
// "NO AUTHENTICATE failed." (reference B.2); others have the response codes of RFC 5530.
func refusedSignIn(line, user string) error {
	upper := strings.ToUpper(line)
	for _, temporary := range []string{"[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "SERVER UNAVAILABLE", "THROTTLED"} {
		if strings.Contains(upper, temporary) {
			return upstreamSaid(line, user)
		}
	}
	return &refusedToken{line, user}
}

// translated gives an answer of upstream's, about the mailbox of user, as the log may have it, with what it means where that is known.
func translated(line, user string) string {
	said := printable(line)
	if meant, known := diagnosis.IMAP(said, diagnosis.Subject{Mailbox: user}); known {
		return said + ": " + meant.String()
	}
	return said
}

// probe asks for something harmless in the mailbox, since Exchange says OK to a genuine token even where the mailbox
// will not open (reference, section 0 item 2), and for the capabilities, which it lists after the sign-in only when
// asked.
func (m *mailbox) probe() error {
	if err := m.send("A2 STATUS INBOX (MESSAGES)\r\nA3 CAPABILITY"); err != nil {
		return err
	}
	opened, listed := false, false
	for range upstreamLines {
		line, err := m.readLine()
		if err != nil {
			return err
		}
		switch {
		case hasPrefixFold(line, "* CAPABILITY "):
			m.capabilities = strings.Fields(line)[2:]
		case hasPrefixFold(line, "A2 OK"):
			opened = true
		case hasPrefixFold(line, "A3 OK"):
			listed = true
		case hasPrefixFold(line, "A2 "), hasPrefixFold(line, "A3 "), hasPrefixFold(line, "* BYE"):
			return upstreamSaid(line, m.user)
		}
		if opened && listed && len(compose(m.capabilities, nil)) == 0 {
			return fmt.Errorf("%w: it lists no capabilities", errUpstream)
		}
		if opened && listed {
			return nil
		}
	}
	return fmt.Errorf("%w: no end of answers to the probe", errUpstream)
}

// send writes a command line.
func (m *mailbox) send(line string) error {
	_, err := io.WriteString(m.conn, line+"\r\n")
	return err
}

// literalAtEnd is the announcement of a literal at the end of a response line.
var literalAtEnd = regexp.MustCompile(`\{([0-9]+)\}$`)

// readLine reads one response. A literal in it is read away and left out: nothing that is looked for here is sent as
// one.
func (m *mailbox) readLine() (string, error) {
	var response strings.Builder
	for response.Len() < upstreamLine {
		line, err := m.in.ReadLine()
		if err != nil {
			return "", fmt.Errorf("reading upstream's answer: %w", err)
		}
		response.Write(line)
		size := literalAtEnd.FindSubmatch(line)
		if size == nil {
			return m.discreet(response.String()), nil
		}
		n, err := strconv.Atoi(string(size[1]))
		if err != nil || n > upstreamLine {
			break
		}
		if _, err := m.in.ReadLiteral(n); err != nil {
			return "", fmt.Errorf("reading upstream's answer: %w", err)
		}
	}
	return "", fmt.Errorf("%w: an answer of more than %d bytes", errUpstream, upstreamLine)
}

// discreet takes out of upstream's words what it was told in confidence.
func (m *mailbox) discreet(words string) string {
	for _, told := range m.told {
		words = told.Redact(words)
	}
	return words
}

// hasPrefixFold is strings.HasPrefix without regard to case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// printable gives upstream's words for the log and the audit: bounded, and without characters that could act.
func printable(line string) string {
	const most = 200
	clean := bytes.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return '?'
		}
		return r
	}, []byte(line[:min(len(line), most)]))
	return string(clean)
}
