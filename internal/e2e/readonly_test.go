package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// readOnlyScript reads with imaplib, and tries to change what there is.
const readOnlyScript = `
import imaplib, json, smtplib, ssl, sys
job = json.load(sys.stdin)
trust = ssl.create_default_context(cafile=job["ca_file"])
client = imaplib.IMAP4_SSL("localhost", int(job["imaps"]), ssl_context=trust, timeout=60)
client.login(job["login"], job["password"])

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

def refused(answer):
    assert answer[0] == "NO" and b"[NOPERM]" in answer[1][0], answer

try:
    client.select("INBOX")
    raise AssertionError("the folder is open for writing")
except imaplib.IMAP4.readonly:
    pass
ok(client.select("INBOX", readonly=True))
found = ok(client.uid("SEARCH", None, "UNSEEN"))[0].split()
assert len(found) == 1, found
assert b"one" in ok(client.uid("FETCH", found[0], "(BODY[])"))[0][1]
refused(client.uid("STORE", found[0], "+FLAGS", "(\\Deleted)"))
refused(client.store("1", "+FLAGS", "(\\Seen)"))
refused(client.expunge())
refused(client.copy("1", "Archive"))
refused(client.uid("COPY", found[0], "Archive"))
refused(client.create("New"))
refused(client.delete("Archive"))
refused(client.rename("Archive", "New"))
refused(client.subscribe("Archive"))
refused(client.append("INBOX", None, None, job["message"].encode()))
assert ok(client.uid("SEARCH", None, "UNSEEN"))[0].split() == found
ok(client.close())
assert client.logout()[0] == "BYE"

sender = smtplib.SMTP_SSL("localhost", int(job["smtps"]), "python.example", timeout=60, context=trust)
try:
    sender.login(job["login"], job["password"])
    raise AssertionError("a read-only password sends")
except smtplib.SMTPAuthenticationError as e:
    assert e.smtp_code == 535, e
sender.close()
print("done")
`

// TestReadOnlyPassword issues a read-only password on the command line, with which clients can read and cannot change
// anything.
func TestReadOnlyPassword(t *testing.T) {
	need(t, "python3")
	curl := need(t, "curl")
	program := binary(t, program)
	sim := startSim(t, program)
	d, g := deploy(t, sim, sim.upstreams())
	d.serve(t, g, program)
	full := g.named(t, "alice@contoso.example")
	client := g.open(t, full)
	put(t, client, "INBOX", letter(full.Mailbox, full.Mailbox, "one", "one\r\n"))

	issued := command{path: program, args: []string{"password", "issue", full.Login, "--label", "reader", "--read-only", "--json", "-c", d.config}}.must(t)
	var reader login
	if err := json.Unmarshal([]byte(issued), &reader); err != nil {
		t.Fatal(err)
	}
	reader.Mailbox = full.Mailbox
	if list := (command{path: program, args: []string{"password", "list", full.Login, "-c", d.config}}).must(t); !strings.Contains(list, "imap read-only") {
		t.Errorf("`password list` does not say that a password is read-only:\n%s", list)
	}

	runPython(t, g, reader, readOnlyScript)
	args := []string{"--silent", "--show-error", "--max-time", "60", "--cacert", g.CAFile, "--user", reader.Login + ":" + reader.Password}
	inbox := "imaps://" + byName(t, g.IMAPS) + "/INBOX"
	if got := (command{path: curl, args: append(args, inbox+";MAILINDEX=1")}).must(t); !strings.Contains(got, "Subject: one") {
		t.Errorf("curl read %q", got)
	}
	if out, code := (command{path: curl, args: append(args, inbox, "--request", `STORE 1 +Flags \Deleted`)}).try(t); code == 0 {
		t.Errorf("curl could mark a message as deleted: %s", out)
	}
	if out, code := (command{path: curl, args: append(args, inbox, "--upload-file", write(t, t.TempDir(), "m.eml", "Subject: two\r\n\r\n"))}).try(t); code == 0 {
		t.Errorf("curl could store a message: %s", out)
	}

	if left := messages(t, client, "INBOX"); len(left) != 1 || left[0].header(t, "Subject") != "one" || len(left[0].flags) > 1 ||
		len(left[0].flags) == 1 && left[0].flags[0] != imap.Flag(`\Recent`) {
		t.Errorf("after the reading: got %+v, want one message without a flag", left)
	}
	folders, err := client.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if folder.Mailbox == "New" {
			t.Error("a folder was created")
		}
	}
}

// TestReadOnlyPasswordIsForIMAPAlone: what cannot send is not issued for sending.
func TestReadOnlyPasswordIsForIMAPAlone(t *testing.T) {
	program := binary(t, program)
	sim := startSim(t, program)
	d, _ := deploy(t, sim, sim.upstreams())
	out, code := command{path: program, args: []string{"password", "issue", "alice@contoso.example", "--label", "reader", "--read-only",
		"--protocol", "imap,smtp", "-c", d.config}}.try(t)
	if want := "a read-only password is for imap alone; it cannot be for imap, smtp"; code == 0 || !strings.Contains(out, want) {
		t.Errorf("got exit code %d and %q, want %q", code, out, want)
	}
}
