package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

const (
	// mayPeak is the most resident memory that the gateway may ever have had, in KiB, whatever comes in at once.
	mayPeak = 150 << 10
	// manyBig is how many big messages come in at the same time, and bigFlood their size in bytes; with POSTERN_LONG it is
	// the whole measure, which writes 6 GB to the disk twice over.
	manyBig, bigFlood         = 24, 8 << 20
	longManyBig, longBigFlood = 200, 30 << 20
)

// TestQueueMemory has many big messages come in at once, all into the queue and all by the way that tries upstream first,
// and holds the gateway's peak of resident memory against its limit. The last line of each message is sent only when all
// of them are there, so that they are really in the gateway at the same time.
func TestQueueMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes hundreds of megabytes")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc to read the peak of memory from")
	}
	count, size := manyBig, bigFlood
	if os.Getenv("POSTERN_LONG") != "" {
		count, size = longManyBig, longBigFlood
	}
	for _, name := range []string{"alice@contoso.example", "copier-3"} { // delivery: queue, and auto
		t.Run(name, func(t *testing.T) {
			inner, outer := ownSim(t, exchange.Limits{})
			inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPEnd, Reply: "451 4.3.2 Temporary server error"}) // the simulator keeps none of them
			d, g := queueing(t, inner, outer, 30)
			d.serve(t, g, binary(t, plainProgram))
			submitTogether(t, g, g.named(t, name), count, size)
			after := peak(t, g)
			t.Logf("%d messages of %d MB at once: peak of memory %d MiB", count, size>>20, after>>10)
			if after > mayPeak {
				t.Errorf("the peak of memory is %d KiB, want at most %d", after, mayPeak)
			}
			if got := strings.Count(d.admin(t, "queue", "list", "--json"), "\n"); got != count {
				t.Errorf("%d messages are in the queue, want %d", got, count)
			}
		})
	}
}

// submitTogether sends messages over as many connections, and ends them only when all have been sent up to there.
func submitTogether(t *testing.T, g *gateway, user login, count, size int) {
	t.Helper()
	block := strings.Repeat(strings.Repeat("0123456789abcdef", 4)[:62]+"\r\n", 1024) // 64 KB
	var sent, ended sync.WaitGroup
	sent.Add(count)
	for i := range count {
		ended.Go(func() {
			c, err := beginMessage(t, g, user, fmt.Sprintf("big %d", i))
			for n := 0; n < size && err == nil; n += len(block) {
				_, err = io.WriteString(c.conn, block)
			}
			sent.Done()
			sent.Wait()
			if err == nil {
				err = c.say(".", "250")
			}
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
			if c != nil {
				_ = c.conn.Close()
			}
		})
	}
	ended.Wait()
}

// beginMessage signs in and gets as far as the header of a message.
func beginMessage(t *testing.T, g *gateway, user login, subject string) (*submitter, error) {
	c, err := dialSubmitter(g, g.trust(t), 10*time.Minute)
	if err != nil {
		return nil, err
	}
	err = c.signIn(user)
	for _, step := range [][2]string{{"MAIL FROM:<" + user.Mailbox + ">", "250"}, {"RCPT TO:<bob@contoso.example>", "250"}, {"DATA", "354"}} {
		if err == nil {
			err = c.say(step[0], step[1])
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(c.conn, "From: %s\r\nSubject: %s\r\n\r\n", user.Mailbox, subject)
	}
	return c, err
}
