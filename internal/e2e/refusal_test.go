package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wrongPassword is a password that nobody has. Somebody may have typed it for another service: it is a secret too.
const wrongPassword = "Tr0ub4dor-and-3-more"

// imapSignIn signs in by IMAP's LOGIN and gives the tagged response without its tag.
func (d *deployment) imapSignIn(t *testing.T, g *gateway, user login) string {
	t.Helper()
	conn := dial(t, g, g.IMAPS)
	lines := bufio.NewReader(conn)
	if _, err := conn.Write([]byte("a LOGIN \"" + user.Login + "\" \"" + user.Password + "\"\r\n")); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := lines.ReadString('\n')
		d.replies.WriteString(line)
		if err != nil {
			t.Fatalf("waiting for IMAP's answer: %v", err)
		}
		if answer, tagged := strings.CutPrefix(line, "a "); tagged {
			return strings.TrimRight(answer, "\r\n")
		}
	}
}

// smtpSend signs in by AUTH PLAIN and submits a message, until a reply is neither positive nor intermediate. It gives
// the last reply.
func (d *deployment) smtpSend(t *testing.T, g *gateway, user login) string {
	t.Helper()
	return d.smtpSubmit(t, g, user, "bob@fabrikam.example", "Subject: hello\r\n\r\nhello")
}

// smtpSubmit is smtpSend for a message of the caller's.
func (d *deployment) smtpSubmit(t *testing.T, g *gateway, user login, to, message string) string {
	t.Helper()
	text := textproto.NewConn(dial(t, g, g.SMTPS))
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user.Login + "\x00" + user.Password))
	var last string
	for i, send := range []string{"", "EHLO e2e.example", "AUTH PLAIN " + plain, "MAIL FROM:<" + user.Mailbox + ">",
		"RCPT TO:<" + to + ">", "DATA", message + "\r\n."} {
		if i > 0 {
			if err := text.PrintfLine("%s", send); err != nil {
				t.Fatal(err)
			}
		}
		code, words, err := text.ReadResponse(0)
		if err != nil {
			t.Fatalf("waiting for SMTP's reply: %v", err)
		}
		last = words
		d.replies.WriteString(last + "\n")
		last = strings.Join([]string{strconv.Itoa(code), last}, " ")
		if code >= 400 {
			break
		}
	}
	return last
}

// dial connects to a listener with implicit TLS, for one dialogue of a minute at most.
func dial(t *testing.T, g *gateway, address string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, g.trust(t))
	if err != nil {
		t.Fatalf("connecting to %s: %v", address, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refusal is a client that must be refused.
type refusal struct {
	name     string
	protocol string
	who      func(*testing.T, *gateway) login
	want     string // regular expression for the answer
	kind     string // of the one audit line
	reason   string
}

func alice(t *testing.T, g *gateway) login  { return g.named(t, "alice@contoso.example") }
func copier(t *testing.T, g *gateway) login { return g.named(t, "copier-3") }

func aliceWithAWrongPassword(t *testing.T, g *gateway) login {
	user := alice(t, g)
	user.Password = wrongPassword
	return user
}

func nobody(*testing.T, *gateway) login {
	return login{Login: "nobody@contoso.example", Mailbox: "nobody@contoso.example", Password: wrongPassword}
}

const (
	imapDenied      = `^NO \[AUTHENTICATIONFAILED\] Authentication failed$`
	smtpDenied      = `^535 5\.7\.8 `
	imapUnavailable = `^NO \[UNAVAILABLE\] `
	smtpTemporary   = `^451 4\.`
)

// refuse runs refusals against one deployment: the answer, the one audit line, and that no secret is anywhere.
func refuse(t *testing.T, s *simulator, up upstreams, table []refusal) {
	t.Helper()
	d, g := deploy(t, s, up)
	d.serve(t, g, binary(t, program))
	for _, r := range table {
		t.Run(r.name+" by "+r.protocol, func(t *testing.T) {
			before := len(d.audit(t))
			user := r.who(t, g)
			ask := d.imapSignIn
			if r.protocol == "smtp" {
				ask = d.smtpSend
			}
			if got := ask(t, g, user); !regexp.MustCompile(r.want).MatchString(got) {
				t.Errorf("got %q, want %s", got, r.want)
			}
			// The line is written before the client is answered: there is nothing to wait for.
			got := refusals(d.audit(t), before)
			if len(got) != 1 || got[0].Kind != r.kind || got[0].Reason != r.reason || got[0].Login != user.Login {
				t.Errorf("got refusals %+v in the audit log, want one %s of %s for %s", got, r.kind, user.Login, r.reason)
			}
		})
	}
	l := secretsOf(s, g)
	l.add("wrong password", wrongPassword)
	d.searchTwice(t, g, l)
}

// TestDeniedSignIns holds that all denials of a credential look alike.
func TestDeniedSignIns(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	refuse(t, s, s.upstreams(), []refusal{
		{"wrong password", "imap", aliceWithAWrongPassword, imapDenied, "sign-in", "wrong-password"},
		{"wrong password", "smtp", aliceWithAWrongPassword, smtpDenied, "sign-in", "wrong-password"},
		{"unknown login", "imap", nobody, imapDenied, "sign-in", "unknown-login"},
		{"unknown login", "smtp", nobody, smtpDenied, "sign-in", "unknown-login"},
		{"login without the protocol", "imap", copier, imapDenied, "sign-in", "protocol-forbidden"},
	})
}

// TestI15UpstreamDown has nothing listen where Exchange Online should be, while tokens can be had.
func TestI15UpstreamDown(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	up := s.upstreams()
	up.imap, up.smtp = freeAddress(t), freeAddress(t)
	refuse(t, s, up, []refusal{
		{"upstream down", "imap", alice, imapUnavailable, "sign-in", "upstream-unavailable"},
		{"upstream down", "smtp", alice, smtpTemporary, "message", "upstream-unavailable"},
	})
}

// TestI15TokenEndpointDown has nothing listen where Entra ID should be, while Exchange Online works. The second client is
// refused from memory: it must hear of it, and be recorded, like the first.
func TestI15TokenEndpointDown(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	up := s.upstreams()
	up.authority = "https://" + freeAddress(t)
	refuse(t, s, up, []refusal{
		{"token endpoint down", "imap", alice, imapUnavailable, "sign-in", "token-unavailable"},
		{"token endpoint down", "smtp", alice, smtpTemporary, "message", "token-unavailable"},
		{"token endpoint down, from memory", "smtp", alice, smtpTemporary, "message", "token-unavailable"},
	})
}

// TestI15TokenEndpointFails has Entra ID answer, and answer with an error of its own making.
func TestI15TokenEndpointFails(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	s.order(t, "faults", map[string]any{"point": "token", "status": 503})
	refuse(t, s, s.upstreams(), []refusal{
		{"token endpoint fails", "imap", alice, imapUnavailable, "sign-in", "token-unavailable"},
		{"token endpoint fails", "smtp", alice, smtpTemporary, "message", "token-unavailable"},
	})
}

// TestI15TokenEndpointThrottles has Entra ID answer 429: temporary, also for the second, who is refused without another
// request.
func TestI15TokenEndpointThrottles(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	s.order(t, "faults", map[string]any{"point": "token", "status": 429, "retry_after": 30})
	refuse(t, s, s.upstreams(), []refusal{
		{"token endpoint throttles", "imap", alice, imapUnavailable, "sign-in", "token-unavailable"},
		{"token endpoint throttles", "smtp", alice, smtpTemporary, "message", "token-unavailable"},
	})
}

// TestI15UpstreamThrottles has Exchange Online refuse a genuine token because it is busy, by each protocol's words of
// reference B.2 and B.4.
func TestI15UpstreamThrottles(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	s.order(t, "faults", map[string]any{"point": "imap-auth", "reply": "NO Server Unavailable. 15"})
	s.order(t, "faults", map[string]any{"point": "smtp-auth", "reply": "454 4.7.0 Temporary authentication failure"})
	refuse(t, s, s.upstreams(), []refusal{
		{"server unavailable", "imap", alice, imapUnavailable, "sign-in", "upstream-unavailable"},
		{"temporary failure", "smtp", alice, smtpTemporary, "message", "upstream-unavailable"},
	})
}

// TestI15SlowTokenEndpoint: a client that has to wait for a token is let in, and not refused.
func TestI15SlowTokenEndpoint(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	s.order(t, "faults", map[string]any{"point": "token", "delay": "3s", "times": 1})
	if got := d.imapSignIn(t, g, alice(t, g)); !strings.HasPrefix(got, "OK") {
		t.Errorf("got %q, want OK, if late", got)
	}
}

// TestI15NameThatDoesNotResolve has a name where Exchange Online should be that no resolver knows.
func TestI15NameThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	up := s.upstreams()
	up.imap, up.smtp = "outlook.invalid:993", "smtp.invalid:587"
	refuse(t, s, up, []refusal{
		{"no such name", "imap", alice, imapUnavailable, "sign-in", "upstream-unavailable"},
		{"no such name", "smtp", alice, smtpTemporary, "message", "upstream-unavailable"},
	})
}
