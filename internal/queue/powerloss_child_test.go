package queue

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/audit"
	"postern/internal/keys"
	"postern/internal/store"
)

// childFolder names the variable that tells a test binary to be the process whose writes are recorded, and where.
const childFolder = "POSTERN_TEST_POWER_LOSS"

const (
	recordedClients  = 4
	recordedMessages = 8 // of each client, one in four of them large
)

// TestPowerLossChild is not a test: it is the process whose writes [recordWrites] records. It accepts messages of several
// clients at once and delivers what it can, and says on standard output what it promises, and what upstream has had, at the
// moment when it does.
func TestPowerLossChild(t *testing.T) {
	folder := os.Getenv(childFolder)
	if folder == "" {
		t.Skip("it is run by TestI01PowerLoss")
	}
	ring, err := keys.Open(filepath.Join(folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	c := &recorded{}
	q := c.open(t, folder, ring)
	q.Start(c)
	var clients sync.WaitGroup
	for client := range recordedClients {
		clients.Go(func() {
			for i := range recordedMessages {
				c.submit(q, client, i)
			}
		})
	}
	clients.Wait()
	for deadline := time.Now().Add(5 * time.Second); c.sent.Load() < recordedClients*recordedMessages/8 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	os.Exit(0) // as abruptly as a crash: closing the database would tidy it up
}

// recorded is all that the child's queue needs to know.
type recorded struct{ sent atomic.Int32 }

func (*recorded) Barred(context.Context, Submitter, bool) (string, error) { return "", nil }
func (*recorded) Limits(string) Limits                                    { return Limits{Connections: 3} }
func (*recorded) Record(audit.Event) error                                { return nil }

// open opens the queue, again and again where the disk is made to fail.
func (c *recorded) open(t *testing.T, folder string, ring *keys.Ring) *Queue {
	var s *store.Store
	var q *Queue
	var err error
	for range 50 {
		if s == nil {
			s, err = store.Open(t.Context(), "sqlite:"+filepath.Join(folder, databaseName), ring)
		}
		if err == nil {
			q, err = Open(t.Context(), Config{Domain: "mail.test", Store: s, Files: TemporaryFiles(filepath.Join(folder, "spool")), Identities: c, Audit: c, Log: slog.New(slog.DiscardHandler)})
		}
		if err == nil {
			return q
		}
	}
	t.Fatal(err)
	return nil
}

// submit submits a message. One that the queue does not take was not promised to anybody.
func (c *recorded) submit(q *Queue, client, i int) {
	size := 100
	if i%4 == 3 {
		size = 3 * portionParts * store.PartSize / 2
	}
	spool := q.NewSpool()
	defer spool.Close()
	_, _ = io.WriteString(spool, "Subject: recorded\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", size/18)+".\r\n")
	m := &Message{Submitter: copier, Sender: "alice@contoso.example", Recipients: []Recipient{{Address: "bob@b.example"}}}
	m.Submitter.User = fmt.Sprintf("box-%d@contoso.example", client)
	m.Submitter.Mailbox = m.Submitter.User
	if err := q.Accept(context.Background(), m, spool, "a test", false); err != nil {
		say("refused", m.ID)
		return
	}
	say("promised", m.ID)
}

// Send delivers the messages of every second mailbox.
func (c *recorded) Send(_ context.Context, m *Message, _ []int, content io.Reader) Result {
	if _, err := io.Copy(io.Discard, content); err != nil {
		return Result{Reached: true, Err: err}
	}
	if strings.HasPrefix(m.Submitter.User, "box-0") || strings.HasPrefix(m.Submitter.User, "box-1") {
		return Result{Reached: true, Sent: true, Final: Reply{Code: 451, Text: "451 4.3.2 later"}}
	}
	say("sent", m.ID)
	c.sent.Add(1)
	return word250
}

// say writes one line, by one call to the system.
func say(what, id string) { _, _ = os.Stdout.WriteString(what + " " + id + "\n") }
