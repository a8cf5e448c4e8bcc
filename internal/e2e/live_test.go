package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// endTime is how soon a session has to be over once what it stands on is gone (threat model I-24).
const endTime = 5 * time.Second

// liveSession is a client that is signed in and goes on.
type liveSession struct {
	conn     *tls.Conn
	in       *bufio.Reader
	protocol string
}

// say sends lines, and reads until a line begins with want. Each time may take a minute, however long the session lasts.
func (l *liveSession) say(t *testing.T, want string, lines ...string) string {
	t.Helper()
	_ = l.conn.SetDeadline(time.Now().Add(time.Minute))
	for _, line := range lines {
		if _, err := io.WriteString(l.conn, line+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: waiting for %q: %v", l.protocol, want, err)
		}
		if strings.HasPrefix(line, want) {
			return line
		}
	}
}

// signIn begins a session of each protocol: IMAP's in IDLE, SMTP's between two messages.
func (g *gateway) signIn(t *testing.T, user login, protocols ...string) []*liveSession {
	t.Helper()
	var all []*liveSession
	for _, protocol := range protocols {
		if protocol == "imap" {
			conn := dial(t, g, g.IMAPS)
			l := &liveSession{conn, bufio.NewReader(conn), protocol}
			l.say(t, "a OK", fmt.Sprintf("a LOGIN %q %q", user.Login, user.Password))
			l.say(t, "b OK", "b SELECT INBOX")
			l.say(t, "+", "c IDLE")
			all = append(all, l)
			continue
		}
		conn := dial(t, g, g.SMTPS)
		l := &liveSession{conn, bufio.NewReader(conn), protocol}
		l.say(t, "250 ", "EHLO e2e.example")
		l.say(t, "235", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user.Login+"\x00"+user.Password)))
		all = append(all, l)
	}
	return all
}

// ended demands that a session is over in time, and gives what it still heard. err is nil for an orderly end of TLS.
func (l *liveSession) ended(t *testing.T, limit time.Duration) (words string, err error) {
	t.Helper()
	_ = l.conn.SetReadDeadline(time.Now().Add(limit))
	heard, err := io.ReadAll(l.in)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the %s session goes on after %v; heard %q", l.protocol, limit, heard)
	}
	return string(heard), err
}

// admin runs a command of the administrator's, in a process of its own, and gives what it printed.
func (d *deployment) admin(t *testing.T, args ...string) string {
	t.Helper()
	return command{path: binary(t, program), args: append(args, "-c", d.config)}.must(t)
}

// causes gives the causes for which sessions of a login have ended so far.
func (d *deployment) causes(t *testing.T, login string) (causes []string) {
	t.Helper()
	for _, line := range d.audit(t) {
		if line.Kind == "session-end" && line.Login == login {
			causes = append(causes, line.Protocol+" "+line.Cause)
		}
	}
	return causes
}

// TestI24LiveSessionsEnd: whatever ends what sessions stand on, and whoever does it in another process, ends them in
// both protocols, and nobody else's.
func TestI24LiveSessionsEnd(t *testing.T) {
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	alice := alice(t, g)
	bystander := g.signIn(t, g.named(t, "scans-reader"), "imap", "smtp")

	for _, test := range []struct {
		name, cause string
		do          func(t *testing.T)
		undo        func(t *testing.T) // nil where alice may sign in again at once
	}{
		{"kill by id", "killed", func(t *testing.T) {
			for _, id := range d.sessionsOf(t, alice.Login) {
				d.admin(t, "session", "kill", id)
			}
		}, nil},
		{"kill by login", "killed", func(t *testing.T) { d.admin(t, "session", "kill", "--login", alice.Login) }, nil},
		{"lock", "locked", func(t *testing.T) { d.admin(t, "user", "lock", alice.Login, "--reason", "test") },
			func(t *testing.T) { d.admin(t, "user", "unlock", alice.Login) }},
		{"revocation", "revoked", func(t *testing.T) { d.admin(t, "password", "revoke", d.passwordOf(t, alice.Login)) }, func(*testing.T) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(d.causes(t, alice.Login))
			sessions := g.signIn(t, alice, "imap", "smtp")
			if got := len(d.sessionsOf(t, alice.Login)); got != len(sessions) {
				t.Errorf("session list has %d sessions of alice, want %d", got, len(sessions))
			}
			test.do(t)
			if test.undo != nil { // new sign-ins are refused at once (I-24: within 1 s)
				if got := d.imapSignIn(t, g, alice); !strings.HasPrefix(got, "NO [AUTHENTICATIONFAILED]") {
					t.Errorf("alice's sign-in got %q, want it denied", got)
				}
			}
			for _, l := range sessions {
				_, _ = l.ended(t, endTime)
			}
			eventually(t, endTime, "both ends are in the audit log", func() error {
				got := d.causes(t, alice.Login)[before:]
				if len(got) != 2 || !strings.HasSuffix(got[0], " "+test.cause) || !strings.HasSuffix(got[1], " "+test.cause) {
					return fmt.Errorf("got %q, want two %s", got, test.cause)
				}
				return nil
			})
			if test.undo != nil {
				test.undo(t)
			}
		})
	}
	bystander[0].say(t, "c OK", "DONE")
	bystander[1].say(t, "250", "NOOP")
}

// sessionsOf gives the ids of a login's live sessions.
func (d *deployment) sessionsOf(t *testing.T, login string) (ids []string) {
	t.Helper()
	for line := range strings.Lines(d.admin(t, "session", "list", "--json")) {
		var session struct{ ID, Login string }
		if err := json.Unmarshal([]byte(line), &session); err != nil {
			t.Fatal(err)
		}
		if session.Login == login {
			ids = append(ids, session.ID)
		}
	}
	return ids
}

// passwordOf gives the id of a login's app password.
func (d *deployment) passwordOf(t *testing.T, login string) string {
	t.Helper()
	var password struct{ ID string }
	if err := json.Unmarshal([]byte(d.admin(t, "password", "list", login, "--json")), &password); err != nil {
		t.Fatal(err)
	}
	return password.ID
}

// TestExpiryEndsALiveSession: an app password that expires ends what it opened.
func TestExpiryEndsALiveSession(t *testing.T) {
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	user := alice(t, g)
	var issued struct{ Password string }
	if err := json.Unmarshal([]byte(d.admin(t, "password", "issue", user.Login, "--label", "short life", "--expires", "4s", "--json")), &issued); err != nil {
		t.Fatal(err)
	}
	user.Password = issued.Password
	for _, l := range g.signIn(t, user, "imap", "smtp") {
		_, _ = l.ended(t, 4*time.Second+endTime)
	}
	eventually(t, endTime, "both ends are in the audit log", func() error {
		if got := d.causes(t, user.Login); len(got) != 2 || !strings.HasSuffix(got[0], " expired") || !strings.HasSuffix(got[1], " expired") {
			return fmt.Errorf("got %q, want two expired", got)
		}
		return nil
	})
}

// TestI16TokenExpiryEndsASessionCleanly: when upstream ends sessions because their token has expired, a client that waits
// in IDLE and one in the middle of a literal hear upstream's BYE and a clean end, the audit says why, no half message is
// stored, and the next sign-in uses a new token.
func TestI16TokenExpiryEndsASessionCleanly(t *testing.T) {
	s := startSim(t, binary(t, program), "--token-life", "12s")
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	user := alice(t, g)
	sessions := g.signIn(t, user, "imap", "imap")
	sessions[1].say(t, "c OK", "DONE")
	sessions[1].say(t, "+", "d APPEND INBOX {1000}")
	if _, err := io.WriteString(sessions[1].conn, "half"); err != nil {
		t.Fatal(err)
	}
	const want = "* BYE Session invalidated - AccessTokenExpired\r\n"
	for i, session := range sessions {
		if got, err := session.ended(t, 20*time.Second); got != want || err != nil {
			t.Errorf("client %d heard %q, then %v; want %q, and an orderly end", i, got, err, want)
		}
		_ = session.conn.Close()
	}
	eventually(t, endTime, "the causes are in the audit log", func() error {
		if got := d.causes(t, user.Login); len(got) != 2 || got[0] != "imap token-expired" || got[1] != got[0] {
			return fmt.Errorf("got %q, want imap token-expired twice", got)
		}
		return nil
	})
	if got := messages(t, g.open(t, user), "INBOX"); len(got) != 0 {
		t.Errorf("%d messages are stored, want none", len(got))
	}
	if got := s.issued(t).Requests; got < 2 {
		t.Errorf("%d token requests, want another one since the token has expired", got)
	}
	g.signIn(t, user, "imap")
}
