package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/sim"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// mailboxLoad says how many mailboxes send how much: each a few messages, and the busy ones more than Exchange takes in a
// minute.
type mailboxLoad struct{ mailboxes, each, busy, busyEach int }

// TestManyMailboxes has a device for each of many mailboxes send at the same time, to a simulator that enforces Exchange's
// limits. No device hears a refusal, every message comes once, and the simulator never has to complain. With POSTERN_LONG it is
// 1,000 mailboxes, ten of which send 40 messages in a minute; otherwise nobody is to wait for a minute.
func TestManyMailboxes(t *testing.T) {
	t.Parallel()
	load := mailboxLoad{mailboxes: 40, each: 3}
	if os.Getenv("POSTERN_LONG") != "" {
		load = mailboxLoad{mailboxes: 1000, each: 4, busy: 10, busyEach: 40}
	}
	inner, outer := ownSim(t, exchange.Limits{})
	d, g := queueing(t, inner, outer, 30)
	door := freeAddress(t)
	var logins strings.Builder
	application, _ := inner.Tenant.Application(sim.ClientID)
	for i := range load.mailboxes {
		inner.Tenant.AddMailbox(tenant.Mailbox{Address: boxAddress(i), FullAccess: []string{application.ObjectID}})
		fmt.Fprintf(&logins, "  - {login: box-%d, mailbox: %q, provider: contoso, grant: application, policy: device, without_auth: [%s/32]}\n", i, boxAddress(i), boxDevice(i))
	}
	d.change(t, "policies:\n", fmt.Sprintf("  - {protocol: smtp, address: %q, tls: none, without_auth: true, networks: [127.1.0.0/16]}\npolicies:\n", door),
		"device: {protocols: [smtp]}", "device: {protocols: [smtp], limits: {messages_per_minute: 1000}}", "users:\n", "users:\n"+logins.String())
	g.process = start(t, binary(t, plainProgram), "serve", "-c", d.config)
	g.listening(t, door)

	began := time.Now()
	var devices sync.WaitGroup
	want := 0
	for i := range load.mailboxes {
		messages := load.each
		if i < load.busy {
			messages = load.busyEach
		}
		want += messages
		devices.Go(func() { sendScans(t, door, i, messages) })
	}
	devices.Wait()
	answered := time.Since(began)
	eventually(t, 5*time.Minute, "all have arrived", func() error {
		if n := len(inner.Exchange.Messages("bob@contoso.example", "INBOX")); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
	took := time.Since(began)
	t.Logf("%d messages of %d mailboxes: answered within %v, delivered within %v; at most %d at once for a mailbox",
		want, load.mailboxes, answered, took, inner.Exchange.HighestConcurrency())
	copies := make(map[string]int)
	for _, message := range inner.Exchange.Messages("bob@contoso.example", "INBOX") {
		copies[crashID.FindString(string(message))]++
	}
	for id, n := range copies {
		if n > 1 {
			t.Errorf("message %s came %d times", id, n)
		}
	}
	if len(copies) != want {
		t.Errorf("%d messages came, want %d", len(copies), want)
	}
	if n := inner.Exchange.HighestConcurrency(); n > 3 {
		t.Errorf("%d messages of a mailbox were on their way at once, want 3 at most", n)
	}
	if n := strings.Count(g.stderr.String(), "upstream wants a mailbox to go slower"); n > 0 {
		t.Errorf("the simulator complained %d times", n)
	}
	if load.busy > 0 && took < time.Minute {
		t.Errorf("all were delivered within %v: the limit of a minute was not kept", took)
	}
}

func boxAddress(i int) string { return fmt.Sprintf("box-%d@contoso.example", i) }

// boxDevice gives the address of a mailbox's device.
func boxDevice(i int) string { return fmt.Sprintf("127.1.%d.%d", i/200+1, i%200+1) }

// sendScans has the device of a mailbox send messages, over one connection.
func sendScans(t *testing.T, door string, box, messages int) {
	d, err := plugInQuietly(boxDevice(box), door, 5*time.Minute)
	if err == nil {
		defer d.conn.Close()
		err = d.try("EHLO copier\r\n", "250 ")
	}
	for n := 0; n < messages && err == nil; n++ {
		id := fmt.Sprintf("crash-%d-%d", box, n)
		for _, step := range [][2]string{{"MAIL FROM:<" + boxAddress(box) + ">", "250 "}, {"RCPT TO:<bob@contoso.example>", "250 "}, {"DATA", "354 "},
			{"From: " + boxAddress(box) + "\r\nSubject: " + id + "\r\nMessage-ID: <" + id + "@boxes.example>\r\n\r\nscan\r\n.", "250 2.0.0"}} {
			if err = d.try(step[0]+"\r\n", step[1]); err != nil {
				break
			}
		}
	}
	if err != nil {
		t.Errorf("device %d: %v", box, err)
	}
}
