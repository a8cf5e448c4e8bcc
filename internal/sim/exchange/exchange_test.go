package exchange

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/certs"
	"postern/internal/sasl"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenantID = "11111111-1111-1111-1111-111111111111"
	aliceID  = "aaaaaaaa-0000-0000-0000-000000000001"
	appID    = "bbbbbbbb-0000-0000-0000-000000000002"
)

// tokens is a verifier that knows its tokens by name.
type tokens struct {
	mu  sync.Mutex
	all map[string]tenant.Claims
}

func (v *tokens) Verify(token secret.Text) (tenant.Claims, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	claims, ok := v.all[token.Reveal()]
	if !ok || time.Now().After(claims.Expires) {
		return tenant.Claims{}, io.ErrUnexpectedEOF
	}
	return claims, nil
}

func (v *tokens) forget(token string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, token)
}

// world is a server with alice, a shared mailbox of hers, and a mailbox for an application.
type world struct {
	t      *testing.T
	server *Server
	tenant *tenant.Tenant
	tokens *tokens
	client *tls.Config
}

func start(t *testing.T, change func(*Config)) *world {
	t.Helper()
	directory := tenant.New(tenantID, "contoso.example")
	directory.AddPerson(tenant.Person{ObjectID: aliceID, UPN: "alice@contoso.example"})
	directory.AddMailbox(tenant.Mailbox{Address: "alice@contoso.example", Aliases: []string{"al@contoso.example"}, Owner: aliceID})
	directory.AddMailbox(tenant.Mailbox{Address: "bob@contoso.example", Owner: "bob"})
	directory.AddMailbox(tenant.Mailbox{Address: "helpdesk@contoso.example", FullAccess: []string{aliceID}, SendAs: []string{aliceID}})
	directory.AddMailbox(tenant.Mailbox{Address: "scans@contoso.example", FullAccess: []string{appID}})
	hour := time.Now().Add(time.Hour)
	verifier := &tokens{all: map[string]tenant.Claims{
		"alice":        {TenantID: tenantID, ObjectID: aliceID, UPN: "alice@contoso.example", Scopes: []string{"IMAP.AccessAsUser.All", "SMTP.Send"}, Expires: hour},
		"alice-brief":  {TenantID: tenantID, ObjectID: aliceID, UPN: "alice@contoso.example", Scopes: []string{"IMAP.AccessAsUser.All"}, Expires: time.Now().Add(300 * time.Millisecond)},
		"alice-noimap": {TenantID: tenantID, ObjectID: aliceID, UPN: "alice@contoso.example", Scopes: []string{"SMTP.Send"}, Expires: hour},
		"app":          {TenantID: tenantID, ObjectID: appID, ClientID: "app", Roles: []string{"IMAP.AccessAsApp", "SMTP.SendAsApp"}, Expires: hour},
		"elsewhere":    {TenantID: "other", ObjectID: aliceID, UPN: "alice@contoso.example", Scopes: []string{"IMAP.AccessAsUser.All", "SMTP.Send"}, Expires: hour},
	}}
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, _, err := authority.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Tenant: directory, Tokens: verifier, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
		IMAPAddress: "127.0.0.1:0", SMTPAddress: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	server, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &world{t: t, server: server, tenant: directory, tokens: verifier, client: &tls.Config{RootCAs: authority.Roots(), ServerName: "127.0.0.1"}}
}

// peer is a client that types.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (w *world) imap() *peer {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.server.IMAPAddress(), w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.peer(conn)
}

func (w *world) peer(conn net.Conn) *peer {
	w.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{w.t, conn, bufio.NewReader(conn)}
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		p.t.Fatal(err)
	}
}

// read gives the next line without its end; EOF at the end.
func (p *peer) read() string {
	p.t.Helper()
	line, err := p.in.ReadString('\n')
	if err == io.EOF || err != nil && line == "" {
		return "EOF"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// want reads a line for each pattern, in which * at the end stands for anything.
func (p *peer) want(patterns ...string) {
	p.t.Helper()
	for _, pattern := range patterns {
		got := p.read()
		prefix, open := strings.CutSuffix(pattern, "*")
		if got != pattern && !(open && strings.HasPrefix(got, prefix)) {
			p.t.Fatalf("got  %q\nwant %q", got, pattern)
		}
	}
}

// do sends a command and gives all lines up to its tagged answer.
func (p *peer) do(command string) []string {
	p.t.Helper()
	p.send(command)
	tag, _, _ := strings.Cut(command, " ")
	var lines []string
	for {
		line := p.read()
		lines = append(lines, line)
		if line == "EOF" || strings.HasPrefix(line, tag+" ") {
			return lines
		}
	}
}

func xoauth2(user, token string) string {
	message, err := sasl.XOAUTH2(user, secret.New(token))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(message)
}

// signedIn gives a client that has signed in.
func (w *world) signedIn(user, token string) *peer {
	w.t.Helper()
	p := w.imap()
	p.want("* OK *")
	p.send("a AUTHENTICATE XOAUTH2 " + xoauth2(user, token))
	p.want("a OK AUTHENTICATE completed.")
	return p
}

func TestIMAPGreetingAndCapabilities(t *testing.T) {
	p := start(t, nil).imap()
	greeting := p.read()
	encoded := greeting[strings.Index(greeting, "[")+1 : len(greeting)-1]
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) < 4 || raw[0] != 'M' || raw[1] != 0 || raw[2] != 'N' || raw[3] != 0 {
		t.Errorf("greeting %q does not hold a host's name in UTF-16LE", greeting)
	}
	p.send("1 CAPABILITY")
	p.want("* CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+", "1 OK CAPABILITY completed.")
	p.send("2 AUTHENTICATE XOAUTH2 " + xoauth2("alice@contoso.example", "alice"))
	p.want("2 OK AUTHENTICATE completed.")
	p.send("3 CAPABILITY")
	p.want("* CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+", "3 OK CAPABILITY completed.")
}

func TestIMAPWithoutBasicSaysLOGINDISABLED(t *testing.T) {
	p := start(t, func(c *Config) { c.BasicDisabled = true }).imap()
	p.want("* OK *")
	p.send("1 CAPABILITY")
	p.want("* CAPABILITY IMAP4 IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR *")
}

func TestIMAPSignIn(t *testing.T) {
	w := start(t, nil)
	p := w.imap()
	p.want("* OK *")
	p.send("1 LOGIN alice@contoso.example x", "2 AUTHENTICATE PLAIN AGEAYg==", "3 SELECT INBOX",
		"4 AUTHENTICATE XOAUTH2 "+xoauth2("alice@contoso.example", "unknown"), "5 AUTHENTICATE XOAUTH2 "+xoauth2("alice@contoso.example", "elsewhere"))
	p.want("1 NO LOGIN failed.", "2 NO AUTHENTICATE failed.", "3 BAD Command received in Invalid state.", "4 NO AUTHENTICATE failed.", "5 NO AUTHENTICATE failed.")
	p.send("6 AUTHENTICATE XOAUTH2")
	p.want("+ ")
	p.send(xoauth2("alice@contoso.example", "alice"))
	p.want("6 OK AUTHENTICATE completed.")
	p.send("7 LOGOUT")
	p.want("* BYE Microsoft Exchange Server IMAP4 server signing off.", "7 OK LOGOUT completed.", "EOF")
}

func TestIMAPGoogleChallenge(t *testing.T) {
	p := start(t, func(c *Config) { c.GoogleChallenge = true }).imap()
	p.want("* OK *")
	p.send("1 AUTHENTICATE XOAUTH2 " + xoauth2("alice@contoso.example", "unknown"))
	p.want("+ eyJ*")
	p.send("")
	p.want("1 NO AUTHENTICATE failed.")
}

// TestIMAPNotConnected has each cause of a good token that opens nothing.
func TestIMAPNotConnected(t *testing.T) {
	w := start(t, nil)
	w.tenant.UpdateMailbox("bob@contoso.example", func(m *tenant.Mailbox) { m.FullAccess = []string{appID} })
	for _, test := range []struct{ name, user, token string }{
		{"no such mailbox", "nobody@contoso.example", "alice"},
		{"no permission", "scans@contoso.example", "alice"},
		{"no scope", "alice@contoso.example", "alice-noimap"},
		{"application without permission", "alice@contoso.example", "app"},
	} {
		p := w.signedIn(test.user, test.token)
		p.send("1 SELECT INBOX", "2 STATUS INBOX (MESSAGES)", "3 NOOP", "4 LIST \"\" *")
		p.want("1 BAD User is authenticated but not connected.", "2 BAD User is authenticated but not connected.", "3 OK NOOP completed.",
			"4 BAD User is authenticated but not connected.", "* BYE Connection closed. 14", "EOF")
	}
	w.tenant.UpdateMailbox("alice@contoso.example", func(m *tenant.Mailbox) { m.IMAPDisabled = true })
	// The switch that counts is the token's user's, whatever mailbox is opened.
	p := w.signedIn("helpdesk@contoso.example", "alice")
	p.send("1 SELECT INBOX")
	p.want("1 BAD User is authenticated but not connected.")
}

func TestIMAPSessionDiesWithItsToken(t *testing.T) {
	w := start(t, nil)
	p := w.signedIn("alice@contoso.example", "alice-brief")
	p.send("1 SELECT INBOX")
	for line := ""; !strings.HasPrefix(line, "1 OK"); line = p.read() {
	}
	p.send("2 IDLE")
	p.want("+ IDLE accepted, awaiting DONE command.", "* BYE Session invalidated - AccessTokenExpired", "EOF")
}

func TestIMAPRevokedTokenEndsAnIdleSession(t *testing.T) {
	w := start(t, nil)
	p := w.signedIn("alice@contoso.example", "alice")
	p.send("1 IDLE")
	p.want("+ IDLE accepted, awaiting DONE command.")
	w.tokens.forget("alice")
	p.want("* BYE Session invalidated - AccessTokenExpired", "EOF")
}

func TestIMAPFaults(t *testing.T) {
	w := start(t, nil)
	p := w.signedIn("alice@contoso.example", "alice")
	w.tenant.Faults.Add(tenant.Fault{Point: tenant.IMAPCommand, Match: "STATUS", Times: 1, Reply: "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"})
	p.send("1 STATUS INBOX (MESSAGES)", "2 STATUS INBOX (MESSAGES)")
	p.want("1 BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", "* STATUS INBOX (MESSAGES 0)", "2 OK STATUS completed.")
	w.tenant.Faults.Add(tenant.Fault{Point: tenant.IMAPCommand, Match: "alice@contoso.example", Drop: true})
	p.send("3 STATUS INBOX (MESSAGES)")
	p.want("EOF")
	w.tenant.Faults.Clear()
	w.tenant.Faults.Add(tenant.Fault{Point: tenant.IMAPAuth, Reply: "NO Server Unavailable. 15"})
	q := w.imap()
	q.want("* OK *")
	q.send("1 AUTHENTICATE XOAUTH2 " + xoauth2("alice@contoso.example", "alice"))
	q.want("1 NO Server Unavailable. 15")
}

// TestIMAPMailbox goes once through what a client does with a mailbox, in Exchange's words.
func TestIMAPMailbox(t *testing.T) {
	w := start(t, nil)
	if err := w.server.Deliver("alice@contoso.example", "INBOX", []byte("From: Bob <bob@contoso.example>\r\nSubject: one\r\nMessage-ID: <1@x>\r\n\r\nbody one\r\n")); err != nil {
		t.Fatal(err)
	}
	p := w.signedIn("al@contoso.example", "alice") // an alias opens the mailbox
	validity := ""
	for _, line := range p.do("1 SELECT inbox") {
		if rest, ok := strings.CutPrefix(line, "* OK [UIDVALIDITY "); ok {
			validity, _, _ = strings.Cut(rest, "]")
		}
	}
	for _, test := range []struct{ command, want string }{
		{"2 FETCH 1 (UID FLAGS RFC822.SIZE)", "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 78)|2 OK FETCH completed."},
		{"3 FETCH 1 ENVELOPE", `* 1 FETCH (ENVELOPE (NIL "one" (("Bob" NIL "bob" "contoso.example")) (("Bob" NIL "bob" "contoso.example")) (("Bob" NIL "bob" "contoso.example")) NIL NIL NIL NIL "<1@x>"))|3 OK FETCH completed.`},
		{"4 FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]", "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {16}|Subject: one||)|4 OK FETCH completed."},
		{"5 FETCH 1 BODY[TEXT]<5.3>", "* 1 FETCH (BODY[TEXT]<5> {3}|one)|* 1 FETCH (FLAGS (\\Seen))|5 OK FETCH completed."},
		{"6 STORE 1 +FLAGS (\\Flagged keyword)", "* 1 FETCH (FLAGS (\\Seen \\Flagged))|6 OK STORE completed."},
		{"7 UID SEARCH FLAGGED SUBJECT ONE NOT DELETED", "* SEARCH 1|7 OK SEARCH completed."},
		{"8 SEARCH OR UNSEEN LARGER 1000", "* SEARCH|8 OK SEARCH completed."},
		{"9 SELECT NOTHERE", "9 NO NOTHERE doesn't exist."},
		{"10 FETCH 1 FLAGS", "10 BAD Command received in Invalid state."},
		{"11 NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL|11 OK NAMESPACE completed.`},
		{`12 LIST "" "S*"`, `* LIST (\HasNoChildren) "/" "Sent Items"|12 OK LIST completed.`},
		{`13 LIST "" ""`, `* LIST (\Noselect) "/" ""|13 OK LIST completed.`},
		{"14 CREATE Projects/2026", "14 OK CREATE completed."},
		{`15 LIST "" Projects*`, `* LIST (\HasChildren) "/" Projects|* LIST (\HasNoChildren) "/" Projects/2026|15 OK LIST completed.`},
		{"16 STATUS INBOX (MESSAGES UNSEEN UIDNEXT)", "* STATUS INBOX (MESSAGES 1 UNSEEN 0 UIDNEXT 2)|16 OK STATUS completed."},
		{"17 FROBNICATE", "17 BAD Command Error. 12"},
		{`18 ID ("name" "x")`, `* ID ("name" "Microsoft.Exchange.Imap4.Imap4Server" "version" "15.20")|18 OK ID completed.`},
	} {
		if got := strings.Join(p.do(test.command), "|"); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.command, got, test.want)
		}
	}
	p.do("20 SELECT INBOX")
	p.send("21 APPEND INBOX (\\Draft) {5+}", "hello")
	p.want("* 2 EXISTS", "* 0 RECENT", fmt.Sprintf("21 OK [APPENDUID %s 2] APPEND completed.", validity))
	p.send("22 APPEND INBOX {5}")
	p.want("+ *")
	p.send("again")
	p.want("* 3 EXISTS", "* 0 RECENT", fmt.Sprintf("22 OK [APPENDUID %s 3] APPEND completed.", validity))
	if got := p.do("23 UID MOVE 2 Archive"); len(got) != 3 || !strings.HasPrefix(got[0], "* OK [COPYUID ") || got[1] != "* 2 EXPUNGE" || got[2] != "23 OK MOVE completed." {
		t.Errorf("MOVE: got %q", got)
	}
	p.do("24 STORE 2 +FLAGS.SILENT \\Deleted")
	if got := strings.Join(p.do("25 EXPUNGE"), "|"); got != "* 2 EXPUNGE|25 OK EXPUNGE completed." {
		t.Errorf("EXPUNGE: got %q", got)
	}
}

func TestIMAPIdleTellsNewMail(t *testing.T) {
	w := start(t, nil)
	p := w.signedIn("alice@contoso.example", "alice")
	p.do("1 SELECT INBOX")
	p.send("2 IDLE")
	p.want("+ IDLE accepted, awaiting DONE command.")
	if err := w.server.Deliver("alice@contoso.example", "INBOX", []byte("x")); err != nil {
		t.Fatal(err)
	}
	p.want("* 1 EXISTS", "* 0 RECENT")
	p.send("DONE")
	p.want("2 OK IDLE completed.")
}

func TestIMAPCommandLineLimit(t *testing.T) {
	p := start(t, nil).imap()
	p.want("* OK *")
	p.send("1 LOGIN " + strings.Repeat("x", maxCommand) + " y")
	p.want("* BAD Command Error. 10")
	p.send("2 NOOP")
	p.want("2 OK NOOP completed.")
}

func FuzzReadCommand(f *testing.F) {
	for _, seed := range []string{"a FETCH 1:*,4 (BODY.PEEK[1.2.HEADER.FIELDS (A B)]<0.5> UID)\r\n", "a SEARCH OR (UNSEEN) NOT 1:* SINCE 1-Jan-2026\r\n",
		"a APPEND x (\\Seen) \"01-Jan-2026 00:00:00 +0000\" {2+}\r\nhi\r\n", "a LIST \"\" {1+}\r\n*\r\n", "a STORE 1 -FLAGS.SILENT \\Seen \\Draft\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		parseEverything(input)
	})
}
