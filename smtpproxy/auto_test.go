package smtpproxy

import (
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/queue"
	"postern/internal/store"
)

// queuedReply is what a client hears whose message is in the queue.
var queuedReply = regexp.MustCompile(`^250 2\.0\.0 Ok: queued as ([a-z2-7]{16})$`)

// auto gives a world whose policy says delivery: auto.
func auto(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.gate.send.Delivery = autoMode
	return w
}

// expectQueued reads the reply to a message and demands that it is in the queue; it gives the message's id.
func (c *client) expectQueued() string {
	c.t.Helper()
	match := queuedReply.FindStringSubmatch(c.reply())
	if match == nil {
		c.t.Fatal("the message is not queued")
	}
	return match[1]
}

// entries gives what is in the queue.
func (w *world) entries() []queue.Entry {
	w.t.Helper()
	entries, err := queue.Entries(w.t.Context(), w.store, store.QueueFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// TestAutoTellsUpstreamsWord: where upstream has the last word, nothing is queued and nothing changes for the client.
func TestAutoTellsUpstreamsWord(t *testing.T) {
	w := auto(t)
	c := w.signIn()
	c.deliver()
	w.upstream.script(".", "554 5.2.252 SendAsDenied; no")
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "DATA", goAhead,
		"x\r\n.", "554-5.2.252 SendAsDenied; no\n554 5.2.252 The sender address must be scans@contoso.example")
	if got := w.entries(); len(got) != 0 {
		t.Errorf("in the queue: %+v, want nothing", got)
	}
}

// TestAutoQueues: whatever upstream says that is not for good, and whenever it vanishes, the device's message is queued,
// and goes out as it came in.
func TestAutoQueues(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func(w *world)
	}{
		{"MAIL is deferred", func(w *world) { w.upstream.script("MAIL", "451 4.7.500 Server busy. Please try again later") }},
		{"RCPT is deferred", func(w *world) { w.upstream.script("RCPT", "451 4.3.2 Temporary server error") }},
		{"DATA is deferred", func(w *world) { w.upstream.script("DATA", "451 4.3.2 Temporary server error") }},
		{"the message is deferred", func(w *world) { w.upstream.script(".", "432 4.3.2 Concurrent connections limit exceeded") }},
		{"too many a minute", func(w *world) {
			w.upstream.script(".", "421 4.4.2 Message submission rate for this client has exceeded the configured limit")
		}},
		{"the day's quota is spent", func(w *world) {
			w.upstream.script(".", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; no")
		}},
		{"upstream is down", func(w *world) { w.upstream.stop() }},
		{"the tenant is not ready", func(w *world) {
			w.tokens.fail(&auth.Refusal{Kind: auth.Blocked, Reason: auth.Misconfigured, Say: "SMTP AUTH is switched off"})
		}},
		{"the limit is spent", func(w *world) { w.limits.PerMinute = 1; w.spendPermit() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := auto(t)
			test.fail(w)
			c := w.signIn()
			c.play("MAIL FROM:<scans@contoso.example> BODY=8BITMIME RET=HDRS ENVID=a+2Bb", senderOK,
				"RCPT TO:<bob@contoso.example> NOTIFY=FAILURE ORCPT=rfc822;bob@b.example", recipientOK,
				"RCPT TO:<eve@contoso.example>", recipientOK, "DATA", goAhead)
			c.send("Subject: x\r\n\r\n..dot\r\ny\r\n.\r\n")
			id := c.expectQueued()
			entries := w.entries()
			if len(entries) != 1 || entries[0].ID != id || entries[0].Reason == "" || len(entries[0].Recipients) != 2 {
				t.Fatalf("in the queue: %+v, want the message %s with a reason", entries, id)
			}
			events := w.audit.messages()
			if last := events[len(events)-1]; last.Outcome != audit.Allowed || last.Reason != "queued" || last.Queue != id {
				t.Errorf("audit: %+v, want the message queued as %s", last, id)
			}
		})
	}
}

// spendPermit takes the only permit of the minute.
func (w *world) spendPermit() {
	w.t.Helper()
	permit, wait, err := w.queue.Admit(w.t.Context(), queue.Submitter{Login: "copier-3", User: "scans@contoso.example"})
	if err != nil || wait.Any() {
		w.t.Fatal(wait, err)
	}
	permit.Sent(1)
}

// TestTheQueueSendsWhatCameIn, to the last byte and with all parameters, over a connection that serves the next message.
func TestTheQueueSendsWhatCameIn(t *testing.T) {
	w := newWorld(t)
	w.gate.send.Delivery = queued
	c := w.signIn()
	body := strings.Repeat("0123456789abcdef\r\n", 60_000) // more than a spool keeps in memory, and than a portion of the store
	for range 2 {
		c.play("MAIL FROM:<scans@contoso.example> BODY=8BITMIME RET=HDRS ENVID=a+2Bb", senderOK,
			"RCPT TO:<bob@contoso.example> NOTIFY=FAILURE ORCPT=rfc822;bob@b.example", recipientOK, "DATA", goAhead)
		c.send("Subject: x\r\n\r\n..dot\r\n" + body + ".\r\n")
		c.expectQueued()
	}
	if n := w.upstream.connections(); n != 0 {
		t.Fatalf("%d connections to upstream before the queue was started", n)
	}
	w.limits.Connections = 1
	w.queue.Start(w.proxy)
	w.upstream.await("both messages", func(visits []*visit) bool { return len(visits) == 1 && len(visits[0].messages) == 2 })
	v := w.upstream.visit(0)
	for _, message := range v.messages {
		_, content, _ := strings.Cut(message, "Subject: ")
		if content != "x\r\n\r\n..dot\r\n"+body+".\r\n" {
			t.Errorf("upstream got %d bytes, want what came in: %.200q", len(message), message)
		}
	}
	want := []string{"MAIL FROM:<scans@contoso.example> SIZE= BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
		"RCPT TO:<bob@contoso.example> NOTIFY=FAILURE ORCPT=rfc822;bob@b.example", "DATA"}
	got := v.commands[len(v.commands)-3:]
	got[0] = regexp.MustCompile(`SIZE=\d+`).ReplaceAllString(got[0], "SIZE=")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	w.awaitEmpty()
}

// awaitEmpty waits until nothing is in the queue.
func (w *world) awaitEmpty() {
	w.t.Helper()
	for deadline := time.Now().Add(patience); len(w.entries()) > 0; {
		if time.Now().After(deadline) {
			w.t.Fatalf("still in the queue: %+v", w.entries())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestUpstreamTakesItsTime: the client hears that the message is queued, nobody sends it again, and upstream's word ends
// it when it comes.
func TestUpstreamTakesItsTime(t *testing.T) {
	w := auto(t)
	w.proxy.patience = 10 * time.Millisecond
	release := make(chan struct{})
	w.upstream.change(func() {
		w.upstream.before = func(verb string) {
			if verb == "." {
				<-release
			}
		}
	})
	w.queue.Start(w.proxy)
	c := w.readyForData()
	c.ask("DATA", goAhead)
	c.send("x\r\n.\r\n")
	id := c.expectQueued()
	if entries := w.entries(); len(entries) != 1 || entries[0].ID != id || entries[0].State != queue.Sending {
		t.Errorf("in the queue: %+v, want %s on its way", entries, id)
	}
	close(release)
	w.awaitEmpty()
	if n := w.upstream.connections(); n != 1 || len(w.upstream.visit(0).messages) != 1 {
		t.Errorf("upstream had %d connections, want one message over one", n)
	}
}

// TestI01NothingIsKeptThatWasNotPromised: when the disk fails at any write or sync, the client hears 452 and no later
// delivery happens (threat model I-01, I-04).
func TestI01NothingIsKeptThatWasNotPromised(t *testing.T) {
	large := strings.Repeat("0123456789abcdef\r\n", 150_000)
	for name, body := range map[string]string{"small": "x\r\n", "large": large} {
		for _, step := range []store.Step{store.StepWrite, store.StepSync} {
			for nth := 1; ; nth++ {
				w := newWorld(t)
				w.gate.send.Delivery = queued
				c := w.readyForData()
				c.ask("DATA", goAhead)
				var seen atomic.Int32
				failed := make(chan struct{}, 1)
				w.store.FailWith(func(s store.Step) error {
					if s != step || int(seen.Add(1)) != nth {
						return nil
					}
					failed <- struct{}{}
					return errNoSpace
				})
				c.send("Subject: x\r\n\r\n" + body + ".\r\n")
				reply := c.reply()
				w.store.FailWith(nil)
				if len(failed) == 0 { // there is no such step any more
					if nth == 1 {
						t.Errorf("%s: the promise was made without a %s", name, step)
					}
					if !queuedReply.MatchString(reply) {
						t.Errorf("%s, nothing failed: got %q", name, reply)
					}
					break
				}
				if reply != "452 4.3.1 The message cannot be stored at the moment, try again later" {
					t.Errorf("%s, %s %d failed: got %q", name, step, nth, reply)
				}
				if got := w.entries(); len(got) != 0 {
					t.Errorf("%s, %s %d failed: %d messages are kept", name, step, nth, len(got))
				}
			}
		}
	}
}

// errNoSpace is what a full disk says.
var errNoSpace = errors.New("no space left on device")

// TestRecipientsOfADay are refused as temporary when they are spent, before the message is taken.
func TestRecipientsOfADay(t *testing.T) {
	w := auto(t)
	w.gate.recipients = 1
	c := w.signIn()
	c.deliver()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
	c.send("DATA\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "452 4.5.3 The policy allows 1 recipients in 24 hours") {
		t.Errorf("got %q", got)
	}
}

// TestRecipientsOfTheMailboxesDay: a message for more of them than Exchange takes from the mailbox that day does not go there: it
// is queued, or with delivery: direct refused as temporary. One for fewer goes on.
func TestRecipientsOfTheMailboxesDay(t *testing.T) {
	for _, way := range []string{autoMode, direct} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			w.gate.send.Delivery = way
			w.limits.RecipientsPerDay = 2
			c := w.signIn()
			c.deliver()
			c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK, "RCPT TO:<eve@contoso.example>", recipientOK)
			c.send("DATA\r\n")
			if way == autoMode {
				c.expect(goAhead)
				c.send("x\r\n.\r\n")
				c.expectQueued()
				if e := w.entries(); len(e) != 1 || !strings.HasPrefix(e[0].Reason, "the mailbox's recipients of this day are spent, until ") {
					t.Errorf("in the queue: %+v", e)
				}
				return
			}
			if got := c.reply(); !strings.HasPrefix(got, "451 4.7.1 Try again later: the mailbox's recipients of this day are spent") {
				t.Errorf("got %q", got)
			}
			c.deliver()
		})
	}
}
