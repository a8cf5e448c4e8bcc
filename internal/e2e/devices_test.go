package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// device is a device that speaks SMTP in clear, as badly as it likes.
type device struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// plugIn connects a device that has an address of its own.
func plugIn(t *testing.T, from, to string) *device {
	t.Helper()
	d, err := plugInQuietly(from, to, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d.t = t
	t.Cleanup(func() { _ = d.conn.Close() })
	return d
}

// plugInQuietly is plugIn for one of many, whose troubles are errors. All that it does has to be over within a time.
func plugInQuietly(from, to string, limit time.Duration) (*device, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: limit}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	d := &device{conn: conn, in: bufio.NewReader(conn)}
	if err := d.await("220 "); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return d, nil
}

// say sends text as it is, and hears a reply that begins with want.
func (d *device) say(text, want string) {
	d.t.Helper()
	if err := d.try(text, want); err != nil {
		d.t.Fatal(err)
	}
}

// try is say with an error where it does not hear that.
func (d *device) try(text, want string) error {
	if _, err := d.conn.Write([]byte(text)); err != nil {
		return err
	}
	return d.await(want)
}

func (d *device) await(want string) error {
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", want, err)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("heard %q, want %q", line, want)
		}
		return nil
	}
}

// TestADeviceThatKnowsNothing: no TLS, no EHLO, no AUTH, no CRLF, no brackets, somebody else's address in From, and the
// scan is in the mailbox all the same; another address is nobody.
func TestADeviceThatKnowsNothing(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	const scans = "scans@contoso.example"
	d := plugIn(t, "127.0.0.9", o.legacy)
	d.say("helo copier\n", "250 ")
	d.say("mail from: copier@printers.local\n", "250 ")
	d.say("rcpt to: "+scans+"\n", "250 ")
	d.say("data\n", "354 ")
	d.say("From: \"3rd floor\" <copier@printers.local>\nBcc: boss@contoso.example\nSubject: scan 1\n\npage 1\n..\nover\n.\n", "250 2.0.0")
	_ = d.conn.Close() // no QUIT either

	got := arrived(t, o.open(t, o.named(t, "scans-reader")), "INBOX", "scan 1")
	for name, want := range map[string]string{"From": `"3rd floor" <` + scans + ">", "Reply-To": "<copier@printers.local>", "Bcc": ""} {
		if value := got.header(t, name); value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
	if got.header(t, "Date") == "" || got.header(t, "Message-ID") == "" {
		t.Errorf("Date or Message-ID is missing:\n%s", got.raw)
	}
	if body := got.body(); body != "page 1\r\n.\r\nover\r\n" {
		t.Errorf("got body %q", body)
	}
	if !o.audited(t, `"kind":"sign-in"`, `"outcome":"allowed"`, `"login":"copier-3"`, `"mechanism":"address"`, `"remote":"127.0.0.9:`) {
		t.Error("the sign-in by address is not in the audit log")
	}

	stranger := plugIn(t, "127.0.0.10", o.legacy)
	stranger.say("helo copier\n", "250 ")
	stranger.say(fmt.Sprintf("mail from:<%s>\n", scans), "530 5.7.0")
	if !o.audited(t, `"kind":"sign-in"`, `"outcome":"refused"`, `"reason":"unknown-address"`, `"remote":"127.0.0.10:`) {
		t.Error("the stranger is not in the audit log")
	}
}

// TestI06NothingIsSmuggled: false ends of a message, as CVE-2023-51764 and its kin have them, through the running program:
// upstream gets one message or none.
func TestI06NothingIsSmuggled(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	user := o.named(t, "scans-reader")
	reader := o.open(t, user)
	const scans = "scans@contoso.example"
	for i, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n"} {
		subject := fmt.Sprintf("smuggled %d", i)
		d := plugIn(t, "127.0.0.9", o.legacy)
		for _, command := range []string{"EHLO x", "MAIL FROM:<" + scans + ">", "RCPT TO:<" + scans + ">"} {
			d.say(command+"\r\n", "250 ")
		}
		d.say("DATA\r\n", "354 ")
		inner := "MAIL FROM:<" + scans + ">\r\nRCPT TO:<" + scans + ">\r\nDATA\r\nFrom: ceo@contoso.example\r\nSubject: " + subject + "\r\n\r\nforged"
		d.say("From: "+scans+"\r\nSubject: outer\r\n\r\ntext"+end+inner+"\r\n.\r\n", "")
		d.say("NOOP\r\n", "250 2.0.0 OK")
		for _, m := range messages(t, reader, "INBOX") {
			if m.header(t, "Subject") == subject {
				t.Errorf("%q ended the message: %q", end, m.raw)
			}
		}
	}
}
