package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/smtp"
	"os"
	"strconv"
	"strings"
	"testing"
)

const (
	// mayGrow is how much the gateway's peak of resident memory may rise, in KiB.
	mayGrow = 10 << 10
	// bigMessage and bigMailbox are what is moved, in bytes; a mailbox has messages of partSize.
	bigMessage = 30 << 20
	bigMailbox = 100 << 20
	partSize   = 10 << 20
)

// digestScript reads a whole mailbox in one session and prints the size and digest of each message.
const digestScript = `
import hashlib, imaplib, json, ssl, sys
job = json.load(sys.stdin)
client = imaplib.IMAP4_SSL("localhost", int(job["imaps"]), timeout=120, ssl_context=ssl.create_default_context(cafile=job["ca_file"]))
client.login(job["login"], job["password"])
assert client.select("INBOX", readonly=True)[0] == "OK"
for part in client.fetch("1:*", "(BODY.PEEK[])")[1]:
    if isinstance(part, tuple):
        print(len(part[1]), hashlib.sha256(part[1]).hexdigest())
client.logout()
`

// TestMemoryStaysSmall moves a message of 30 MB by SMTP and a mailbox of 100 MB by IMAP through a gateway that is alone
// in its process, and holds its peak of memory against that after a small message and a first sign-in.
func TestMemoryStaysSmall(t *testing.T) {
	need(t, "python3")
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc to read the peak of memory from")
	}
	released := binary(t, plainProgram)
	s := startSim(t, released)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, released)
	user := alice(t, g)
	client := g.open(t, user)
	submit(t, g, copier(t, g), user.Mailbox, letter("scans@contoso.example", user.Mailbox, "small", "small\r\n"))
	arrived(t, client, "INBOX", "small")

	t.Run("message by SMTP", func(t *testing.T) {
		before := peak(t, g)
		submit(t, g, copier(t, g), user.Mailbox, big("30 MB by SMTP", bigMessage))
		grown(t, g, before)
		if got := len(arrived(t, client, "INBOX", "30 MB by SMTP").body()); got < bigMessage {
			t.Errorf("got a body of %d bytes, want %d or more", got, bigMessage)
		}
	})
	t.Run("mailbox by IMAP", func(t *testing.T) {
		reader := g.named(t, "scans-reader")
		folder := g.open(t, reader)
		before := peak(t, g)
		var want []string
		for i := range bigMailbox / partSize {
			message := big(fmt.Sprintf("part %d", i), partSize)
			put(t, folder, "INBOX", message)
			sum := sha256.Sum256([]byte(message))
			want = append(want, fmt.Sprintf("%d %s", len(message), hex.EncodeToString(sum[:])))
		}
		grown(t, g, before)
		got := runPython(t, g, reader, digestScript)
		if want := strings.Join(want, "\n") + "\n"; got != want {
			t.Errorf("got sizes and digests\n%swant\n%s", got, want)
		}
		grown(t, g, before)
	})
}

// big writes a message with a body of at least size bytes, no line of it like another.
func big(subject string, size int) string {
	var body strings.Builder
	for i := 0; body.Len() < size; i++ {
		fmt.Fprintf(&body, "%-10d%s\r\n", i, strings.Repeat("0123456789", 6))
	}
	return letter("scans@contoso.example", "alice@contoso.example", subject, body.String())
}

// submit sends a message over STARTTLS.
func submit(t *testing.T, g *gateway, user login, to, message string) {
	t.Helper()
	client, err := smtp.Dial(g.Submission)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step("STARTTLS", client.StartTLS(g.trust(t)))
	step("AUTH", client.Auth(smtp.PlainAuth("", user.Login, user.Password, "127.0.0.1")))
	step("MAIL", client.Mail(user.Mailbox))
	step("RCPT", client.Rcpt(to))
	data, err := client.Data()
	step("DATA", err)
	_, err = data.Write([]byte(message))
	step("the message", err)
	step("the end of the message", data.Close())
	step("QUIT", client.Quit())
}

// peak gives the most resident memory that the gateway ever had, in KiB.
func peak(t *testing.T, g *gateway) int {
	t.Helper()
	return status(t, g, "VmHWM")
}

// status gives a figure of the gateway's process, in KiB.
func status(t *testing.T, g *gateway, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(line, "kB")))
	if err != nil {
		t.Fatalf("%s of the gateway: %v", name, err)
	}
	return kib
}

// grown fails the test when the peak of memory has risen too much.
func grown(t *testing.T, g *gateway, before int) {
	t.Helper()
	now := peak(t, g)
	t.Logf("peak of memory: %d KiB, was %d KiB", now, before)
	if now-before >= mayGrow {
		t.Errorf("the peak of memory rose by %d KiB, want less than %d", now-before, mayGrow)
	}
}
