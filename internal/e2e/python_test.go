package e2e

import (
	"encoding/json"
	"testing"
)

// pythonJob is what the scripts get on standard input.
type pythonJob struct {
	CAFile   string `json:"ca_file"`
	IMAP     string `json:"imap"` // ports
	IMAPS    string `json:"imaps"`
	SMTP     string `json:"smtp"`
	SMTPS    string `json:"smtps"`
	Login    string `json:"login"`
	Password string `json:"password"`
	Mailbox  string `json:"mailbox"`
	Message  string `json:"message"`
}

// smtplibScript sends the message once in each way that smtplib knows, each time under a subject of its own.
const smtplibScript = `
import json, smtplib, ssl, sys
job = json.load(sys.stdin)
trust = ssl.create_default_context(cafile=job["ca_file"])

def implicit():
    return smtplib.SMTP_SSL("localhost", int(job["smtps"]), "python.example", timeout=60, context=trust)

def starttls():
    server = smtplib.SMTP("localhost", int(job["smtp"]), "python.example", timeout=60)
    server.ehlo()
    assert not server.has_extn("auth"), "AUTH is offered in clear"
    server.starttls(context=trust)
    server.ehlo()
    return server

for connect in (implicit, starttls):
    for mechanism in ("plain", "login"):
        for initial in (True, False):
            server = connect()
            server.ehlo()
            assert server.has_extn("auth"), "AUTH is not offered over TLS"
            server.user, server.password = job["login"], job["password"]
            code, words = server.auth(mechanism.upper(), getattr(server, "auth_" + mechanism), initial_response_ok=initial)
            assert code == 235, (code, words)
            subject = "smtplib.%s.%s.%s" % (connect.__name__, mechanism, initial)
            message = job["message"].replace("SUBJECT", subject).encode()
            refused = server.sendmail(job["mailbox"], [job["mailbox"]], message)
            assert refused == {}, refused
            server.quit()
            print(subject)
`

// imaplibScript works in a folder of its own in each way that imaplib knows.
const imaplibScript = `
import imaplib, json, ssl, sys
job = json.load(sys.stdin)
trust = ssl.create_default_context(cafile=job["ca_file"])

def implicit():
    return imaplib.IMAP4_SSL("localhost", int(job["imaps"]), ssl_context=trust, timeout=60)

def starttls():
    client = imaplib.IMAP4("localhost", int(job["imap"]), timeout=60)
    assert "LOGINDISABLED" in client.capabilities, client.capabilities
    client.starttls(ssl_context=trust)
    assert "LOGINDISABLED" not in client.capabilities, client.capabilities
    return client

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

def plain(client):
    ok(client.authenticate("PLAIN", lambda _: ("\0%s\0%s" % (job["login"], job["password"])).encode()))

def login(client):
    ok(client.login(job["login"], job["password"]))

for connect in (implicit, starttls):
    for sign_in in (login, plain):
        client = connect()
        sign_in(client)
        folder = '"imaplib %s %s"' % (connect.__name__, sign_in.__name__)
        message = job["message"].replace("SUBJECT", folder.strip('"').replace(" ", ".")).encode()
        ok(client.create(folder))
        ok(client.append(folder, "\\Seen", None, message))
        ok(client.select(folder))
        found = ok(client.uid("SEARCH", None, "SEEN"))[0].split()
        assert len(found) == 1, found
        got = ok(client.uid("FETCH", found[0], "(BODY.PEEK[])"))[0][1]
        assert got == message, (got, message)
        ok(client.uid("STORE", found[0], "+FLAGS", "(\\Flagged)"))
        assert ok(client.uid("SEARCH", None, "FLAGGED"))[0].split() == found
        ok(client.uid("STORE", found[0], "+FLAGS", "(\\Deleted)"))
        ok(client.expunge())
        assert ok(client.uid("SEARCH", None, "ALL"))[0].split() == []
        ok(client.close())
        assert client.logout()[0] == "BYE"
        print(folder)
`

// runPython runs a script with what it needs to know of the gateway.
func runPython(t *testing.T, g *gateway, user login, script string) string {
	t.Helper()
	job, err := json.Marshal(pythonJob{
		CAFile: g.CAFile, IMAP: port(t, g.IMAP), IMAPS: port(t, g.IMAPS), SMTP: port(t, g.Submission), SMTPS: port(t, g.SMTPS),
		Login: user.Login, Password: user.Password, Mailbox: user.Mailbox,
		Message: letter(user.Mailbox, user.Mailbox, "SUBJECT", trickyBody),
	})
	if err != nil {
		t.Fatal(err)
	}
	return command{path: need(t, "python3"), args: []string{"-c", script}, stdin: string(job)}.must(t)
}

// TestPythonSends sends with smtplib.
func TestPythonSends(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	g := startDemo(t)
	alice := g.person(t)
	runPython(t, g, alice, smtplibScript)
	client := g.open(t, alice)
	for _, connect := range []string{"implicit", "starttls"} {
		for _, mechanism := range []string{"plain", "login"} {
			for _, initial := range []string{"True", "False"} {
				receivedWhole(t, client, "smtplib."+connect+"."+mechanism+"."+initial, trickyBody)
			}
		}
	}
}

// imaplibWorks creates, fills, searches, reads, flags and empties folders with imaplib.
func imaplibWorks(t *testing.T, g *gateway, user login) { runPython(t, g, user, imaplibScript) }
