package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// deliveryTime bounds how long a message may take from its 250 to the mailbox.
const deliveryTime = 20 * time.Second

// wholeMessage asks for a message as it is, and leaves it unread.
var wholeMessage = &imap.FetchItemBodySection{Peek: true}

// stored is a message in a mailbox.
type stored struct {
	number uint32 // its place in the folder
	raw    []byte
	flags  []imap.Flag
}

// header gives a field of a message.
func (s stored) header(t *testing.T, name string) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(s.raw))
	if err != nil {
		t.Fatalf("a stored message cannot be read: %v\n%s", err, s.raw)
	}
	return m.Header.Get(name)
}

// body gives what stands behind the header.
func (s stored) body() string {
	_, body, _ := bytes.Cut(s.raw, []byte("\r\n\r\n"))
	return string(body)
}

// trust gives the TLS settings of a client that trusts the gateway's authority and nobody else.
func (g *gateway) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(g.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", g.CAFile)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// open signs in to a mailbox through the gateway, and signs out when the test is over.
func (g *gateway) open(t *testing.T, user login) *imapclient.Client {
	t.Helper()
	return g.openWith(t, user, nil)
}

// openWith is open with a handler for what the server says unasked.
func (g *gateway) openWith(t *testing.T, user login, unasked *imapclient.UnilateralDataHandler) *imapclient.Client {
	t.Helper()
	client, err := imapclient.DialTLS(g.IMAPS, &imapclient.Options{TLSConfig: g.trust(t), UnilateralDataHandler: unasked})
	if err != nil {
		t.Fatalf("connecting to %s: %v", g.IMAPS, err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Login(user.Login, user.Password).Wait(); err != nil {
		t.Fatalf("signing in as %s: %v", user.Login, err)
	}
	return client
}

// messages gives all messages of a folder.
func messages(t *testing.T, client *imapclient.Client, folder string) []stored {
	t.Helper()
	selected, err := client.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		t.Fatalf("opening %s: %v", folder, err)
	}
	if selected.NumMessages == 0 {
		return nil
	}
	all := imap.SeqSet{{Start: 1, Stop: 0}} // 1:*
	fetched, err := client.Fetch(all, &imap.FetchOptions{Flags: true, BodySection: []*imap.FetchItemBodySection{wholeMessage}}).Collect()
	if err != nil {
		t.Fatalf("reading %s: %v", folder, err)
	}
	var list []stored
	for _, m := range fetched {
		list = append(list, stored{number: m.SeqNum, raw: m.FindBodySection(wholeMessage), flags: m.Flags})
	}
	return list
}

// arrived waits for the one message of a subject in a folder.
func arrived(t *testing.T, client *imapclient.Client, folder, subject string) stored {
	t.Helper()
	var found stored
	eventually(t, deliveryTime, fmt.Sprintf("message %q in %s", subject, folder), func() error {
		n := 0
		for _, m := range messages(t, client, folder) {
			if m.header(t, "Subject") == subject {
				found = m
				n++
			}
		}
		switch n {
		case 1:
			return nil
		case 0:
			return errors.New("it is not there")
		}
		return fmt.Errorf("it is there %d times", n)
	})
	return found
}

// put stores a message in a folder.
func put(t *testing.T, client *imapclient.Client, folder, message string) {
	t.Helper()
	command := client.Append(folder, int64(len(message)), nil)
	if _, err := io.WriteString(command, message); err != nil {
		t.Fatal(err)
	}
	if err := command.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := command.Wait(); err != nil {
		t.Fatalf("storing a message in %s: %v", folder, err)
	}
}

// trickyBody has what transfers spoil: leading dots, empty lines, spaces at a line's end, and a line of full length.
var trickyBody = strings.Join([]string{
	"Dear reader,", "", ".", "..", ".hidden", "spaces at the end   ", "From here on", "",
	strings.Repeat("0123456789", 99), "", "the end", "",
}, "\r\n")

// letter writes a message with lines that end in CRLF.
func letter(from, to, subject, body string) string {
	return "From: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: " + subject + "\r\n" +
		"Date: Tue, 24 Nov 2026 09:00:00 +0000\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@client.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + body
}

// receivedWhole checks that a message came to its reader and to its sender's Sent Items with its body unchanged.
func receivedWhole(t *testing.T, client *imapclient.Client, subject, body string) {
	t.Helper()
	for _, folder := range []string{"INBOX", "Sent Items"} {
		if got := arrived(t, client, folder, subject).body(); got != body {
			t.Errorf("%s: got body of %q\n%q\nwant\n%q", folder, subject, got, body)
		}
	}
}
