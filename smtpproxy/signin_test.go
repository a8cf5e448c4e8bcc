package smtpproxy

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/secret"
)

const (
	wrongCredentials = "535 5.7.8 Authentication credentials invalid"
	askUser          = "334 VXNlcm5hbWU6"
	askPassword      = "334 UGFzc3dvcmQ6"
)

func TestAuth(t *testing.T) {
	const (
		malformed = "501 5.5.2 Invalid authentication message"
		notBase64 = "501 5.5.2 Invalid base64"
		cancelled = "501 5.0.0 Authentication cancelled"
		noSuch    = "504 5.5.4 Unrecognized authentication type"
	)
	plain := encode("\x00copier-3\x00" + goodPassword)
	user, password := encode("copier-3"), encode(goodPassword)
	for _, test := range []struct {
		name     string
		dialogue []string
		attempts int // that reach the gate
	}{
		{"PLAIN with initial response", []string{"AUTH PLAIN " + plain, signedIn}, 1},
		{"PLAIN without", []string{"AUTH PLAIN", "334 ", plain, signedIn}, 1},
		{"PLAIN in lower case", []string{"auth plain " + plain, signedIn}, 1},
		{"PLAIN with white space behind it", []string{"AUTH PLAIN ", "334 ", plain, signedIn}, 1},
		{"LOGIN with prompts", []string{"AUTH LOGIN", askUser, user, askPassword, password, signedIn}, 1},
		{"LOGIN with the user name", []string{"AUTH LOGIN " + user, "501 5.5.4 AUTH LOGIN takes no initial response on this listener"}, 0},
		{"PLAIN cancelled", []string{"AUTH PLAIN", "334 ", "*", cancelled, "AUTH PLAIN " + plain, signedIn}, 1},
		{"LOGIN cancelled at the password", []string{"AUTH LOGIN", askUser, user, askPassword, "*", cancelled}, 0},
		{"empty initial response", []string{"AUTH PLAIN =", malformed}, 0},
		{"empty response", []string{"AUTH PLAIN", "334 ", "", malformed}, 0},
		{"empty user name", []string{"AUTH LOGIN", askUser, "", malformed}, 0},
		{"initial response not base64", []string{"AUTH PLAIN !!!!", notBase64, "AUTH PLAIN " + plain + " more", notBase64}, 0},
		{"base64 without its padding", []string{"AUTH PLAIN " + strings.TrimRight(encode("\x00a\x00bc"), "="), notBase64}, 0},
		{"response not base64", []string{"AUTH LOGIN", askUser, "copier-3", malformed}, 0},
		{"one NUL", []string{"AUTH PLAIN " + encode("copier-3\x00x"), malformed}, 0},
		{"three NULs", []string{"AUTH PLAIN " + encode("\x00a\x00b\x00"), malformed}, 0},
		{"control character in the user name", []string{"AUTH PLAIN " + encode("\x00a\rb\x00c"), malformed}, 0},
		{"bare line end in the exchange", []string{"AUTH PLAIN", "334 ", plain + "\rNOOP", malformed, "NOOP", ok}, 0},
		{"other mechanisms", []string{"AUTH XOAUTH2 x", noSuch, "AUTH CRAM-MD5", noSuch, "AUTH", noSuch}, 0},
		{"wrong password", []string{"AUTH PLAIN " + encode("\x00copier-3\x00wrong"), wrongCredentials, "AUTH PLAIN " + plain, signedIn}, 2},
		{"twice", []string{"AUTH PLAIN " + plain, signedIn, "AUTH PLAIN " + plain, badSequence}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(implicit)
			c.hello()
			c.play(test.dialogue...)
			if got := len(w.gate.seen()); got != test.attempts {
				t.Errorf("the gate had %d attempts, want %d", got, test.attempts)
			}
			if n := w.upstream.connections(); n != 0 {
				t.Errorf("upstream had %d connections without a message", n)
			}
		})
	}
}

// TestAuthLineOf12288Octets: RFC 4954 section 4 has room for that much in a command and in a response.
func TestAuthLineOf12288Octets(t *testing.T) {
	long := strings.Repeat("x", 12288/4*3)
	t.Run("response", func(t *testing.T) {
		c := newWorld(t).connect(implicit)
		c.hello()
		c.ask("AUTH PLAIN", "334 ")
		c.ask(encode(long), "501 5.5.2 Invalid authentication message")
		c.ask(goodPlain, signedIn)
	})
	t.Run("longer", func(t *testing.T) {
		c := newWorld(t).connect(implicit)
		c.hello()
		c.ask("AUTH PLAIN", "334 ")
		c.ask(encode(long+"yyy"), "500 5.5.6 Line too long")
		c.ask("AUTH PLAIN "+encode(long), "500 5.5.6 Line too long")
		c.ask(goodPlain, signedIn)
	})
}

func TestWhatTheGateHears(t *testing.T) {
	for _, test := range []struct {
		name    string
		command string
		want    auth.Attempt
	}{
		{"PLAIN", goodPlain, auth.Attempt{Login: "copier-3", Mechanism: "PLAIN"}},
		{"PLAIN with an identity", "AUTH PLAIN " + encode("boss\x00copier-3\x00"+goodPassword),
			auth.Attempt{Login: "copier-3", Identity: "boss", Mechanism: "PLAIN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(implicit)
			c.expect(greeting)
			c.send("EHLO device [7]\r\n")
			c.reply()
			c.ask(test.command, signedIn)
			got := w.gate.seen()[0]
			if !got.Secret.Equal(secret.New(goodPassword)) {
				t.Error("the password is not the one that was sent")
			}
			want := test.want
			want.Session, want.Protocol, want.Client, want.TLS = "s-1", auth.SMTP, "device [7]", tls.VersionTLS13
			want.Remote, want.Secret = netip.MustParseAddrPort(c.conn.LocalAddr().String()), got.Secret
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestI15Refusals: 535 is for the credential alone, all else is temporary (threat model I-15), and the third refusal is the
// last.
func TestI15Refusals(t *testing.T) {
	for _, test := range []struct {
		name    string
		refusal auth.Refusal
		want    string
	}{
		{"denied", auth.Refusal{Kind: auth.Denied, Reason: auth.UnknownLogin}, wrongCredentials},
		{"denied with words that nobody shall see", auth.Refusal{Kind: auth.Denied, Reason: auth.PasswordRevoked, Say: "it was revoked"}, wrongCredentials},
		{"limited", auth.Refusal{Kind: auth.Limited, Reason: auth.TooManySessions}, "454 4.7.0 Too many sessions at once, try again later"},
		{"store down", auth.Refusal{Kind: auth.Unavailable, Reason: auth.StoreUnavailable, Err: errors.New("disk")},
			"454 4.7.0 Temporary authentication failure, try again later"},
		{"blocked", auth.Refusal{Kind: auth.Blocked, Reason: auth.SignInNeeded, Say: "Sign in again"}, "454 4.7.0 Sign in again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.refusal = &test.refusal
			c := w.connect(implicit)
			c.hello()
			c.ask(goodPlain, test.want)
			c.ask("MAIL FROM:<a@b.example>", "530 5.7.0 Authentication required")
			c.ask(goodPlain, test.want)
			c.ask(goodPlain, test.want)
			c.expect("421 4.7.0 Too many refused attempts to sign in")
			c.expectEnd()
			if got := len(w.audit.all()); got != 3 {
				t.Errorf("the audit log has %d events, want one for each attempt: %v", got, w.audit.all())
			}
		})
	}
}

func TestCredentialsInClear(t *testing.T) {
	w := newWorld(t)
	c := w.connect(startTLS)
	c.hello()
	c.ask(goodPlain, "538 5.7.11 Encryption required for requested authentication mechanism")
	c.ask("AUTH LOGIN", "538 5.7.11 Encryption required for requested authentication mechanism")
	c.ask("MAIL FROM:<a@b.example>", "530 5.7.0 Must issue a STARTTLS command first")
	if got := w.gate.seen(); len(got) != 0 {
		t.Errorf("the gate saw %v", got)
	}
}

func TestCredentialsInClearWhereAllowed(t *testing.T) {
	w := newWorld(t)
	c := w.connect(optional)
	c.hello()
	c.ask(goodPlain, signedIn)
	c.ask("STARTTLS", badSequence)
	if got := w.gate.seen(); len(got) != 1 || got[0].TLS != 0 {
		t.Errorf("the gate saw %v, want one attempt in clear", got)
	}
}

func TestTooManySessions(t *testing.T) {
	w := newWorld(t)
	w.gate.limit = 1
	first := w.signIn()
	second := w.connect(implicit)
	second.hello()
	second.ask(goodPlain, "454 4.7.0 Too many sessions at once, try again later")
	first.gone()
	second.ask(goodPlain, signedIn)
	if got := len(w.sessions.List()); got != 1 {
		t.Errorf("%d sessions in the register, want 1", got)
	}
	second.gone()
	if got := len(w.sessions.List()); got != 0 {
		t.Errorf("%d sessions in the register after the last is gone", got)
	}
}

func TestSessionWithoutAuditDoesNotBegin(t *testing.T) {
	for _, kind := range []string{"sign-in", "session-begin"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.audit.broken = kind
			c := w.connect(implicit)
			c.hello()
			c.ask(goodPlain, "454 4.7.0 Temporary authentication failure, try again later")
			c.ask("MAIL FROM:<a@b.example>", "530 5.7.0 Authentication required")
			if got := w.sessions.List(); len(got) != 0 {
				t.Errorf("the register has %v", got)
			}
			c.gone()
			for _, event := range w.audit.all() {
				if _, ended := event.(audit.SessionEnd); ended {
					t.Error("a session that never began has its end in the audit log")
				}
			}
		})
	}
}

func TestSessionInTheAuditLog(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead)
	c.ask("x\r\n.", accepted)
	c.ask("QUIT", bye)
	c.expectEnd()
	c.awaitServed()
	want := []audit.Event{
		audit.SignIn{Outcome: audit.Allowed, Session: "s-1", Login: "copier-3"},
		audit.SessionBegin{Session: "s-1", Protocol: "smtp", Login: "copier-3", Mailbox: "scans@contoso.example",
			Account: copier.String(), Remote: c.conn.LocalAddr().String(), TLS: "TLS 1.3", Password: "pw-1"},
		audit.Message{Outcome: audit.Allowed, Session: "s-1", Login: "copier-3", Mailbox: "scans@contoso.example",
			Sender: "scans@contoso.example", Recipients: []string{"bob@contoso.example"}, Size: 6, Reply: accepted},
		audit.SessionEnd{Session: "s-1", Protocol: "smtp", Login: "copier-3", Mailbox: "scans@contoso.example",
			Cause: "quit", Received: 6, Messages: 1},
	}
	if diff := cmp.Diff(want, w.audit.all()); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}
