package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"postern/internal/sasl"
	"postern/internal/secret"
)

// rawTime bounds a whole dialogue of a raw client.
const rawTime = time.Minute

// rawIMAP is an IMAP client that knows where a response ends and nothing more: what it gives is what came.
type rawIMAP struct {
	conn *tls.Conn
	in   *bufio.Reader
	tags int // how many commands it has sent
}

// dialRaw connects with implicit TLS and takes the greeting.
func dialRaw(t *testing.T, address string, trust *tls.Config) *rawIMAP {
	t.Helper()
	conn, err := tls.Dial("tcp", address, trust)
	if err != nil {
		t.Fatalf("connecting to %s: %v", address, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(rawTime)); err != nil {
		t.Fatal(err)
	}
	r := &rawIMAP{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	r.response(t)
	return r
}

// literalBehind is the announcement of a literal, or of a literal8 (RFC 3516), at the end of a line.
var literalBehind = regexp.MustCompile(`\{([0-9]+)\}\r\n$`)

// response reads one response with its literals, as it came.
func (r *rawIMAP) response(t *testing.T) string {
	t.Helper()
	response, err := r.read()
	if err != nil {
		t.Fatalf("waiting for a response: %v; so far %q", err, short(response))
	}
	return response
}

func (r *rawIMAP) read() (string, error) {
	var response strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		response.WriteString(line)
		if err != nil {
			return response.String(), err
		}
		size := literalBehind.FindStringSubmatch(line)
		if size == nil {
			return response.String(), nil
		}
		n, err := strconv.ParseInt(size[1], 10, 64)
		if err != nil {
			return response.String(), err
		}
		if _, err := io.CopyN(&response, r.in, n); err != nil {
			return response.String(), err
		}
	}
}

// send writes bytes as they are.
func (r *rawIMAP) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(r.conn, text); err != nil {
		t.Fatalf("sending: %v", err)
	}
}

// nextTag gives the tag of the next command.
func (r *rawIMAP) nextTag() string {
	r.tags++
	return fmt.Sprintf("t%d", r.tags)
}

// command sends a command and gives all responses up to its tagged one, which must be OK.
func (r *rawIMAP) command(t *testing.T, command string) []string {
	t.Helper()
	tag := r.nextTag()
	r.send(t, tag+" "+command+"\r\n")
	return r.until(t, tag)
}

// until gives all responses up to the tagged one, which must be OK.
func (r *rawIMAP) until(t *testing.T, tag string) []string {
	t.Helper()
	var responses []string
	for {
		response := r.response(t)
		responses = append(responses, response)
		if rest, tagged := strings.CutPrefix(response, tag+" "); tagged {
			if !strings.HasPrefix(rest, "OK ") {
				t.Fatalf("got %q, want OK", short(response))
			}
			return responses
		}
	}
}

// side is a way to a mailbox: straight to the server that has it, or through Postern. It gives a client that has signed
// in, and what the server said to the sign-in.
type side func(t *testing.T) (*rawIMAP, []string)

// direct goes straight to an upstream of a simulator's tenant, with a token of the application for alice's mailbox.
func direct(t *testing.T, s *simulator, address, caFile string) side {
	t.Helper()
	message, err := sasl.XOAUTH2("alice@contoso.example", s.accessToken(t))
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) (*rawIMAP, []string) {
		t.Helper()
		r := dialRaw(t, address, (&gateway{ready: ready{CAFile: caFile}}).trust(t))
		return r, r.command(t, "AUTHENTICATE XOAUTH2 "+base64.StdEncoding.EncodeToString(message))
	}
}

// through goes through a gateway to alice's mailbox.
func through(g *gateway) side {
	return func(t *testing.T) (*rawIMAP, []string) {
		t.Helper()
		user := alice(t, g)
		r := dialRaw(t, g.IMAPS, g.trust(t))
		return r, r.command(t, fmt.Sprintf("LOGIN %q %q", user.Login, user.Password))
	}
}

// accessToken gets a token for the application from the simulator's Entra, as the gateway does.
func (s *simulator) accessToken(t *testing.T) secret.Text {
	t.Helper()
	source := clientcredentials.Config{
		ClientID: s.provider.ClientID, ClientSecret: s.secret, TokenURL: s.tenantURL() + "/oauth2/v2.0/token",
		Scopes: []string{"https://outlook.office365.com/.default"}, AuthStyle: oauth2.AuthStyleInParams,
	}
	got, err := source.Token(context.WithValue(t.Context(), oauth2.HTTPClient, s.client(t)))
	if err != nil {
		t.Fatalf("getting a token of the application: %v", err)
	}
	return secret.New(got.AccessToken)
}
