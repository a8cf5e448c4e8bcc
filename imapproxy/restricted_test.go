package imapproxy

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
	"postern/internal/secret"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// simTokens knows the one token that these tests use.
type simTokens struct{ claims tenant.Claims }

func (s simTokens) Verify(token secret.Text) (tenant.Claims, error) {
	if token.Reveal() != firstToken {
		return tenant.Claims{}, errors.New("unknown token")
	}
	return s.claims, nil
}

// beforeExchange gives a world whose upstream is the simulator's Exchange.
func beforeExchange(t *testing.T) *world {
	t.Helper()
	directory := tenant.New("t-1", "contoso.example")
	directory.AddPerson(tenant.Person{ObjectID: "o-1", UPN: alice.Name})
	directory.AddMailbox(tenant.Mailbox{Address: alice.Name, Owner: "o-1"})
	directory.AddMailbox(tenant.Mailbox{Address: "helpdesk@contoso.example", FullAccess: []string{"o-1"}})
	server, err := exchange.Start(exchange.Config{
		Tenant: directory, TLS: serverTLS(), IMAPAddress: "127.0.0.1:0", SMTPAddress: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Tokens: simTokens{tenant.Claims{TenantID: "t-1", ObjectID: "o-1", UPN: alice.Name, Scopes: []string{"IMAP.AccessAsUser.All"},
			Expires: time.Now().Add(time.Hour)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w := newWorld(t)
	w.upstreams["contoso"] = Upstream{Address: server.IMAPAddress(), TLS: clientTLS()}
	return w
}

// done gives the answer to a command: all lines up to the tagged one.
func (c *client) done(command string) []string {
	c.t.Helper()
	c.send(command + "\r\n")
	tag, _, _ := strings.Cut(command, " ")
	return c.until(tag)
}

// until gives the lines up to the answer for a tag.
func (c *client) until(tag string) []string {
	c.t.Helper()
	var lines []string
	for {
		lines = append(lines, c.line())
		if strings.HasPrefix(lines[len(lines)-1], tag+" ") {
			return lines
		}
	}
}

// expectStatus gives commands and holds the tagged answer to each against its beginning.
func (c *client) expectStatus(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		lines := c.done(pairs[i])
		if got := lines[len(lines)-1]; !strings.HasPrefix(got, pairs[i+1]) {
			c.t.Errorf("%q: got %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

// furnish puts folders and a message into the mailbox, without restrictions.
func furnish(t *testing.T, w *world) {
	t.Helper()
	c := w.signIn()
	c.expectStatus(
		"F1 CREATE Scans", "F1 OK", "F2 CREATE Scans/a", "F2 OK", "F3 CREATE Other", "F3 OK",
		"F4 APPEND INBOX {20+}\r\nSubject: one\r\n\r\nhi\r\n", "F4 OK", "F5 APPEND INBOX {20+}\r\nSubject: two\r\n\r\nhi\r\n", "F5 OK")
	c.expectStatus("F6 LOGOUT", "F6 OK")
	c.gone()
}

// lastEnd gives what the audit says of the newest session that is over.
func lastEnd(t *testing.T, w *world) audit.SessionEnd {
	t.Helper()
	for _, event := range slices.Backward(w.audit.all()) {
		if end, ok := event.(audit.SessionEnd); ok {
			return end
		}
	}
	t.Fatal("no session has ended")
	return audit.SessionEnd{}
}

func TestReadOnlySession(t *testing.T) {
	w := beforeExchange(t)
	furnish(t, w)
	w.gate.readOnly = true
	c := w.signIn()
	const no = " NO [NOPERM] This sign-in may only read"
	c.ask("a0 CAPABILITY", "* CAPABILITY "+composedReader+"\na0 OK CAPABILITY completed.")
	opened := c.done("a1 SELECT INBOX")
	if got := opened[len(opened)-1]; !strings.HasPrefix(got, "a1 OK [READ-ONLY]") {
		t.Errorf("SELECT: got %q, want READ-ONLY", got)
	}
	for i, command := range []string{
		`STORE 1 +FLAGS (\Deleted)`, `UID STORE 1 FLAGS ()`, "EXPUNGE", "UID EXPUNGE 1", "COPY 1 Other", "UID COPY 1 Other", "MOVE 1 Other", "UID MOVE 1 Other",
		"CREATE New", "DELETE Other", "RENAME Other New", "SUBSCRIBE Other", "UNSUBSCRIBE Other", "APPEND INBOX {5}", "APPEND INBOX {5+}\r\nhello",
		`SETMETADATA INBOX (/private/comment "x")`, "SETACL INBOX bob lrs", "DELETEACL INBOX bob", `SETQUOTA "" ()`, "REPLACE 1 INBOX {3+}\r\nabc",
	} {
		c.expectStatus(fmt.Sprintf("b%d %s", i, command), fmt.Sprintf("b%d%s", i, no))
	}
	c.expectStatus("c1 UID FETCH 1:* (FLAGS BODY[])", "c1 OK", "c2 SEARCH UNSEEN", "c2 OK", "c3 STATUS Other (MESSAGES)", "c3 OK", "c4 CLOSE", "c4 OK")
	// All at once: the answers come in the order of the commands.
	c.send("d1 EXAMINE INBOX\r\nd2 APPEND INBOX {24+}\r\nd0 DELETE Other\r\nhello!!\r\nd3 UID FETCH 1 FLAGS\r\nd4 EXPUNGE\r\nd5 NOOP\r\n")
	var order []string
	for len(order) < 5 {
		if line := c.line(); line[0] == 'd' {
			order = append(order, line[:5])
		}
	}
	if diff := cmp.Diff([]string{"d1 OK", "d2 NO", "d3 OK", "d4 NO", "d5 OK"}, order); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	c.expectStatus("e1 LOGOUT", "e1 OK")
	c.gone()
	if diff := cmp.Diff(audit.Commands{Selects: 2, Fetches: 2, Refused: 22}, lastEnd(t, w).Commands); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}

	w.gate.readOnly = false
	c = w.signIn()
	c.ask("a0 CAPABILITY", "* CAPABILITY "+composed+"\na0 OK CAPABILITY completed.")
	if got := c.done("a1 STATUS INBOX (MESSAGES UNSEEN)")[0]; got != `* STATUS INBOX (MESSAGES 2 UNSEEN 2)` {
		t.Errorf("after a read-only session: %s", got)
	}
}

func TestSessionWithFolders(t *testing.T) {
	w := beforeExchange(t)
	furnish(t, w)
	w.gate.folders = []string{"INBOX", "Scans/*"}
	c := w.signIn()
	const no = " NO [NOPERM] This sign-in may not use that folder"
	c.expectStatus("a1 SELECT INBOX", "a1 OK [READ-WRITE]", "a2 COPY 1 Scans/a", "a2 OK", "a3 COPY 1 Other", "a3"+no, "a4 SELECT Other", "a4"+no)
	c.expectStatus(`a5 STORE 1 +FLAGS (\Deleted)`, "a5 OK", "a6 EXPUNGE", "a6 OK", "a7 CREATE Scans/b", "a7 OK", "a8 RENAME Scans/b Other/b", "a8"+no)
	c.expectStatus("a9 APPEND Scans/a {20+}\r\nSubject: two\r\n\r\nhi\r\n", "a9 OK", "b1 APPEND Other {20+}\r\nSubject: two\r\n\r\nhi\r\n", "b1"+no)
	// The folder's name by literals that wait, and a message behind it.
	c.ask("b2 SELECT {7}", "+ Ready for 7 bytes")
	c.send("Scans/a\r\n")
	if got := c.until("b2"); got[len(got)-1] != "b2 OK [READ-WRITE] SELECT completed." {
		t.Errorf("SELECT by a literal: got %q", got)
	}
	c.ask("b4 SELECT {5}", "+ Ready for 5 bytes")
	c.ask("Other", "b4"+no)
	c.ask("b5 APPEND {7}", "+ Ready for 7 bytes")
	c.ask("Scans/a {3}", "+ Ready for additional command text.")
	c.send("abc\r\n")
	if got := c.until("b5"); !strings.HasPrefix(got[len(got)-1], "b5 OK [APPENDUID") {
		t.Errorf("APPEND by literals: got %q", got)
	}
	c.expectStatus("b6 LOGOUT", "b6 OK")
	c.gone()
	want := audit.Commands{Selects: 2, Copies: 1, Stores: 1, Deletes: 1, Expunges: 1, Appends: 2, Refused: 5}
	if diff := cmp.Diff(want, lastEnd(t, w).Commands); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestRestrictedFromTheFirstByte: what a client sends right behind its sign-in is held to the rules as well.
func TestRestrictedFromTheFirstByte(t *testing.T) {
	w := beforeExchange(t)
	furnish(t, w)
	w.gate.readOnly = true
	c := w.greeted(implicit)
	c.send(login + "\r\nb1 DELETE Other\r\nb2 STATUS Other (MESSAGES)\r\n")
	c.expect(readerIn + "\nb1 NO [NOPERM] This sign-in may only read\n* STATUS Other (MESSAGES 0)\nb2 OK STATUS completed.")
	c.gone()
}

// TestCountsOfAnOrdinarySession: the tap counts what the audit then says.
func TestCountsOfAnOrdinarySession(t *testing.T) {
	w := beforeExchange(t)
	furnish(t, w)
	if diff := cmp.Diff(audit.Commands{Appends: 2}, lastEnd(t, w).Commands); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
