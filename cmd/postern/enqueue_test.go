package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postern/internal/audit"
	"postern/internal/keys"
	"postern/internal/queue"
	"postern/internal/store"
)

// enqueue VARIABLE LOGIN MAILBOX RECIPIENT REPLY puts a message of a login into the queue of a script's folder, has it tried once
// by an upstream that says REPLY, and keeps its id in a variable.
func enqueue(s *testscript.TestScript, _ bool, args []string) {
	if len(args) != 5 {
		s.Fatalf("usage: enqueue VARIABLE LOGIN MAILBOX RECIPIENT REPLY")
	}
	variable, login, mailbox, recipient, reply := args[0], args[1], args[2], args[3], args[4]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ring, err := keys.Open(s.MkAbs("postern.keys"))
	s.Check(err)
	state, err := store.Open(ctx, "sqlite:"+s.MkAbs("postern.db"), ring)
	s.Check(err)
	defer state.Close()
	q, err := queue.Open(ctx, queue.Config{Domain: "localhost", Store: state, Files: queue.TemporaryFiles(s.MkAbs("spool")),
		Identities: everybody{}, Audit: nowhere{}, Log: slog.New(slog.DiscardHandler)})
	s.Check(err)
	defer q.Close(ctx)
	spool := q.NewSpool()
	defer spool.Close()
	_, err = io.WriteString(spool, "Subject: scan\r\n\r\npage 1\r\n.\r\n")
	s.Check(err)
	m := &queue.Message{Sender: mailbox, Recipients: []queue.Recipient{{Address: recipient}}, Session: "s1",
		Submitter: queue.Submitter{Login: login, Mailbox: mailbox, User: mailbox, Provider: "contoso", Grant: "application"}}
	s.Check(q.Accept(ctx, m, spool, "upstream cannot be reached", false))
	s.Setenv(variable, m.ID)
	q.Start(upstreamSays(reply))
	for row := (store.QueuedMessage{}); row.Tries == 0; time.Sleep(10 * time.Millisecond) {
		row, err = state.QueuedMessage(ctx, m.ID)
		s.Check(err)
	}
}

// upstreamSays is an upstream that always says the same.
type upstreamSays string

func (u upstreamSays) Send(_ context.Context, _ *queue.Message, _ []int, _ io.Reader) queue.Result {
	fields := strings.Fields(string(u))
	return queue.Result{Reached: true, Sent: true, Final: queue.Reply{Code: 451, Enhanced: fields[1], Text: string(u)}}
}

// everybody may send.
type everybody struct{}

func (everybody) Barred(context.Context, queue.Submitter, bool) (string, error) { return "", nil }
func (everybody) Limits(string) queue.Limits                                    { return queue.Limits{Connections: 3, PerMinute: 30} }

// nowhere is where these events go: the scripts look at those of the commands.
type nowhere struct{}

func (nowhere) Record(audit.Event) error { return nil }
