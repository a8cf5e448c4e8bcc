package imapproxy

import (
	"net"
	"slices"
	"strings"
	"testing"

	"postern/auth/token"
	"postern/certs"
	"postern/internal/audit"
)

// TestOpening has the ways in which an upstream lets a mailbox be opened, and what it hears meanwhile.
func TestOpening(t *testing.T) {
	const withIR, withoutIR = "* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] hello", "* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hello"
	twoSteps := encode("user=helpdesk@contoso.example\x01auth=Bearer " + firstToken + "\x01\x01")
	for name, test := range map[string]struct {
		scripts  map[string]string // command → its first answer
		messages []string          // what upstream hears in answer to continuations
	}{
		"as Exchange":                   {nil, nil},
		"greeting with SASL-IR":         {map[string]string{"greeting": withIR}, nil},
		"greeting in lower case":        {map[string]string{"greeting": "* ok [capability imap4rev1 sasl-ir] hello"}, nil},
		"greeting without SASL-IR":      {map[string]string{"greeting": withoutIR, "AUTHENTICATE": "+ "}, []string{twoSteps}},
		"a bare plus":                   {map[string]string{"greeting": withoutIR, "AUTHENTICATE": "+"}, []string{twoSteps}},
		"SASL-IR behind the bracket":    {map[string]string{"greeting": withoutIR + " SASL-IR", "AUTHENTICATE": "+ "}, []string{twoSteps}},
		"untagged before the tagged OK": {map[string]string{"AUTHENTICATE": "* CAPABILITY IMAP4rev1\n* OK still here\nTAG OK done"}, nil},
		"literals in answers":           {map[string]string{"STATUS": "* STATUS {5}\nINBOX (MESSAGES 3)\n* LIST () \"/\" {7}\nA2 NO x\nTAG OK done"}, nil},
		"an empty literal":              {map[string]string{"STATUS": "* STATUS {0}\n (MESSAGES 3)\nTAG OK done"}, nil},
		"a literal of a closing word":   {map[string]string{"STATUS": "* X {13}\n* BYE hello\n\nTAG OK done"}, nil},
		"a warning before the answer":   {map[string]string{"STATUS": "* NO disk is nearly full\n* BAD whatever\nTAG OK done"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for command, answer := range test.scripts {
				w.upstream.script(command, answer)
			}
			w.signIn()
			v := w.upstream.visit(0)
			if v.user != "helpdesk@contoso.example" || v.token != firstToken {
				t.Errorf("upstream was asked for the mailbox %q with the token %q", v.user, v.token)
			}
			if !slices.Equal(v.messages, test.messages) {
				t.Errorf("upstream heard %q, want %q", v.messages, test.messages)
			}
			if want := []string{"AUTHENTICATE XOAUTH2", "STATUS INBOX (MESSAGES)", "CAPABILITY"}; !slices.Equal(v.commands, want) {
				t.Errorf("upstream heard the commands %q, want %q", v.commands, want)
			}
		})
	}
}

// TestI14ComposedCapabilities: clients are told of what works through the gateway (reference B.2, threat model I-14).
func TestI14ComposedCapabilities(t *testing.T) {
	for upstream, want := range map[string]string{
		capabilitiesAfter: composed,
		"IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR STARTTLS IDLE":                  "IMAP4rev1 IDLE",
		"IMAP4rev1 BACKENDAUTHENTICATE-IR backendauthenticate COMPRESS=DEFLATE ID":    "IMAP4rev1 ID",
		"imap4rev1 auth=plain sasl-ir logindisabled compress=deflate idle":            "imap4rev1 idle",
		"IMAP4rev1 IDLE IMAP4rev1 IDLE":                                               "IMAP4rev1 IDLE",
		"IMAP4rev2 CONDSTORE QRESYNC SORT THREAD=REFERENCES QUOTA=RES-STORAGE NOTIFY": "IMAP4rev2 CONDSTORE QRESYNC SORT THREAD=REFERENCES QUOTA=RES-STORAGE NOTIFY",
	} {
		w := newWorld(t)
		w.upstream.script("CAPABILITY", "* CAPABILITY "+upstream+"\nTAG OK CAPABILITY completed.")
		w.greeted(implicit).ask(login, "A1 OK [CAPABILITY "+want+"] LOGIN completed")
	}
}

// TestI15UpstreamInTrouble: whatever upstream does instead of opening the mailbox is told as temporary (threat model I-15),
// nothing of the client's reaches it, and the connection goes on.
func TestI15UpstreamInTrouble(t *testing.T) {
	for name, script := range map[string][2]string{ // what is scripted, and its answer
		"BYE as greeting":              {"greeting", "* BYE Connection is closed. 13"},
		"PREAUTH":                      {"greeting", "* PREAUTH who are you"},
		"no IMAP":                      {"greeting", "220 smtp.example ESMTP"},
		"closes at once":               {"greeting", hangUp},
		"endless greeting":             {"greeting", "* OK " + strings.Repeat("x", upstreamLine)},
		"throttled at sign-in":         {"AUTHENTICATE", "TAG BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"},
		"unavailable at sign-in":       {"AUTHENTICATE", "TAG NO Server Unavailable. 15"},
		"UNAVAILABLE of RFC 5530":      {"AUTHENTICATE", "TAG NO [UNAVAILABLE] later"},
		"INUSE":                        {"AUTHENTICATE", "TAG NO [INUSE] later"},
		"LIMIT":                        {"AUTHENTICATE", "TAG NO [LIMIT] too many"},
		"BYE at sign-in":               {"AUTHENTICATE", "* BYE Connection closed. 14"},
		"closes at sign-in":            {"AUTHENTICATE", hangUp},
		"no end of answers":            {"AUTHENTICATE", strings.Repeat("* OK wait\n", upstreamLines) + "TAG OK done"},
		"authenticated, not connected": {"STATUS", "TAG BAD User is authenticated but not connected."},
		"throttled at the probe":       {"STATUS", "TAG BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"},
		"throttled with NO":            {"STATUS", "TAG NO Request is throttled. Suggested Backoff Time: 1 milliseconds"},
		"unavailable at the probe":     {"STATUS", "TAG NO Server Unavailable. 15"},
		"BYE at the probe":             {"STATUS", "* BYE Session invalidated - AccessTokenExpired"},
		"closes at the probe":          {"STATUS", hangUp},
		"bare line feeds":              {"STATUS", "* STATUS INBOX (MESSAGES 3)\r\r\nTAG OK done"},
		"a literal without end":        {"STATUS", "* STATUS {999999}\nx"},
		"a literal of a million bytes": {"STATUS", "* STATUS {1000000}\nTAG OK done\n* CAPABILITY IMAP4rev1\nA3 OK done"},
		"a literal of no size":         {"STATUS", "* STATUS {99999999999999999999}\nTAG OK done"},
		"throttled at CAPABILITY":      {"CAPABILITY", "TAG BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"},
		"no capabilities":              {"CAPABILITY", "TAG OK CAPABILITY completed."},
		"closes at CAPABILITY":         {"CAPABILITY", hangUp},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(script[0], script[1])
			c := w.greeted(implicit)
			c.send(login + "\r\nA2 SELECT INBOX\r\n")
			c.expect(unavailable + "\nA2" + unknown)
			if v := w.upstream.awaitOver(0); len(v.relayed) > 0 || slices.Contains(v.commands, "SELECT INBOX") {
				t.Errorf("upstream heard %q %q of a client that was not signed in", v.commands, v.relayed)
			}
			if got := w.tokens.seen(); len(got) != 1 {
				t.Errorf("tokens were given %d times, want once: it is not the token's fault", len(got))
			}
			expectRefusal(t, w, "upstream-unavailable")
			w.pass(maxPause * 2)
			c.ask(login, signedIn)
		})
	}
}

// expectRefusal demands that the audit has one event, of a refused sign-in for a reason.
func expectRefusal(t *testing.T, w *world, reason string) {
	t.Helper()
	events := w.audit.all()
	if len(events) != 1 {
		t.Fatalf("audit: got %+v, want one event", events)
	}
	if e, ok := events[0].(audit.SignIn); !ok || e.Outcome != audit.Refused || e.Reason != reason {
		t.Errorf("audit: got %+v, want a sign-in refused for %s", events[0], reason)
	}
}

// TestI15UpstreamNeverAnswers: the wait ends with the attempt's context, wherever upstream is silent.
func TestI15UpstreamNeverAnswers(t *testing.T) {
	for _, command := range []string{"greeting", "AUTHENTICATE", "STATUS", "CAPABILITY"} {
		t.Run(command, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(command, silent)
			c := w.greeted(implicit)
			c.send(login + "\r\n")
			w.upstream.await("the opening", func(visits []*visit) bool {
				return len(visits) == 1 && (command == "greeting" || len(visits[0].commands) > 0)
			})
			w.gate.stopOpening()
			c.expect(unavailable)
			w.upstream.awaitOver(0)
			expectRefusal(t, w, "upstream-unavailable")
		})
	}
}

// TestUpstreamWithoutTLSAnswer: the wait for a handshake ends with the context as well.
func TestUpstreamWithoutTLSAnswer(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	w.upstreams["contoso"] = Upstream{Address: listener.Addr().String(), TLS: clientTLS()}
	c := w.greeted(implicit)
	c.send(login + "\r\n")
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	w.gate.stopOpening()
	c.expect(unavailable)
}

// TestI17NoTokenForWhoIsNotUpstream: nobody listens, or somebody who is not upstream. No token leaves the gateway.
func TestI17NoTokenForWhoIsNotUpstream(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	stranger, err := certs.NewAuthority("somebody else")
	if err != nil {
		t.Fatal(err)
	}
	for name, upstream := range map[string]func(w *world) Upstream{
		"nobody listens": func(*world) Upstream { return Upstream{Address: closed.Addr().String(), TLS: clientTLS()} },
		"another name": func(w *world) Upstream {
			return Upstream{Address: w.upstream.address(), TLS: certs.UpstreamTLS("outlook.office365.com", authority().Roots())}
		},
		"another authority": func(w *world) Upstream {
			return Upstream{Address: w.upstream.address(), TLS: certs.UpstreamTLS("127.0.0.1", stranger.Roots())}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.upstreams["contoso"] = upstream(w)
			w.greeted(implicit).ask(login, unavailable)
			if w.upstream.connections() > 0 {
				if v := w.upstream.awaitOver(0); v.token != "" || len(v.commands) > 0 {
					t.Errorf("a server that was not verified heard %q", v.commands)
				}
			}
			expectRefusal(t, w, "upstream-unavailable")
		})
	}
}

func TestProviderWithoutUpstream(t *testing.T) {
	w := newWorld(t)
	w.gate.account = token.Account{Provider: "fabrikam", Grant: token.Delegated, Name: alice.Name}
	w.greeted(implicit).ask(login, unavailable)
	if n := len(w.tokens.seen()); n != 0 {
		t.Errorf("%d tokens were given", n)
	}
}

const blocked = "A1 NO [CONTACTADMIN] Exchange Online does not accept the gateway's token for this mailbox: " +
	"ask your administrator to look at Postern's log"

// TestTokenRefusedOnce: the refused token is renewed, and the client never knows.
func TestTokenRefusedOnce(t *testing.T) {
	// Google's form of a refusal is a description, which wants an empty line (reference B.1).
	google := "+ " + encode(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`)
	for name, script := range map[string]struct {
		command, answer string
		messages        []string // what the first connection heard
	}{
		"as Exchange": {"AUTHENTICATE", "TAG NO AUTHENTICATE failed.", nil},
		"by code":     {"AUTHENTICATE", "TAG NO [AUTHENTICATIONFAILED] Invalid credentials", nil},
		"BAD":         {"AUTHENTICATE", "TAG BAD Command Argument Error. 12", nil},
		"as Google":   {"AUTHENTICATE", google, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(script.command, script.answer)
			if script.messages != nil {
				w.upstream.script("message", "TAG NO [AUTHENTICATIONFAILED] Invalid credentials")
			}
			w.signIn()
			first, second := w.upstream.awaitOver(0), w.upstream.visit(1)
			if !slices.Equal(first.messages, script.messages) {
				t.Errorf("upstream heard %q, want %q", first.messages, script.messages)
			}
			if first.token != firstToken || second.token != secondToken {
				t.Errorf("upstream was given the tokens %q and %q, want the second to be a new one", first.token, second.token)
			}
			if !slices.Equal(first.commands, []string{"AUTHENTICATE XOAUTH2"}) {
				t.Errorf("upstream heard %q with the refused token", first.commands)
			}
		})
	}
}

func TestTokenRefusedTwice(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("AUTHENTICATE", "TAG NO AUTHENTICATE failed.", "TAG NO AUTHENTICATE failed.")
	c := w.greeted(implicit)
	c.ask(login, blocked)
	w.upstream.awaitOver(0)
	w.upstream.awaitOver(1)
	if got := w.tokens.seen(); !slices.Equal(got, []string{firstToken, secondToken}) {
		t.Errorf("the tokens %q were tried, want each once", got)
	}
	expectRefusal(t, w, "upstream-refused")
	c.ask("A2 NOOP", "A2 OK NOOP completed")
}

// TestUpstreamRepeatsTheToken: an upstream that says back what it was told puts no token into the log (I-41); the world
// searches for it.
func TestUpstreamRepeatsTheToken(t *testing.T) {
	message := func(token string) string {
		return encode("user=helpdesk@contoso.example\x01auth=Bearer " + token + "\x01\x01")
	}
	w := newWorld(t)
	w.upstream.script("AUTHENTICATE",
		"TAG NO failed: AUTHENTICATE XOAUTH2 "+message(firstToken)+" with "+firstToken,
		"* BYE what is "+message(secondToken)+" or "+secondToken)
	w.greeted(implicit).ask(login, unavailable)
}

// TestUpstreamsWordsAreHarmless: they go into the log without what could act there (threat model I-38), and cut.
func TestUpstreamsWordsAreHarmless(t *testing.T) {
	w := newWorld(t)
	w.upstream.script("STATUS", "TAG NO \x1b[31mred\x07\xff "+strings.Repeat("long ", 100))
	w.greeted(implicit).ask(login, unavailable)
	detail := w.audit.all()[0].(audit.SignIn).Detail
	if strings.ContainsFunc(detail, func(r rune) bool { return r < 0x20 || r >= 0x7f }) || len(detail) > 400 {
		t.Errorf("got the detail %q", detail)
	}
}
