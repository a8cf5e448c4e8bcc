package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/sim/exchange"
)

// TestHundredDevicesOfOneMailbox: 100 devices fire 10 messages at once through one mailbox, of which the simulator takes 3 at
// once as Exchange does. No device hears a refusal, nothing is lost, and every message comes once. The messages of a minute are
// more than Exchange's 30, so that the test ends; the pace itself is tested in package queue, in a time of its own.
func TestHundredDevicesOfOneMailbox(t *testing.T) {
	const devices, each, perMinute = 100, 10, 2000
	inner, outer := ownSim(t, exchange.Limits{PerMinute: perMinute, RecipientsPerDay: -1})
	d, g := queueing(t, inner, outer, perMinute)
	d.serve(t, g, binary(t, program))
	user, trust := g.named(t, "copier-3"), g.trust(t)
	began := time.Now()
	var all sync.WaitGroup
	for i := range devices {
		all.Go(func() {
			c, err := dialSubmitter(g, trust, 3*time.Minute)
			if err == nil {
				err = c.signIn(user)
			}
			for n := 0; n < each && err == nil; n++ {
				id := fmt.Sprintf("crash-%d-%d", i, n)
				err = c.submit(user, "bob@contoso.example", "Message-ID: <"+id+"@crowd.example>\r\nSubject: "+id+"\r\n\r\n"+strings.Repeat("page\r\n", 500))
			}
			if err != nil {
				t.Errorf("device %d: %v", i, err)
			}
			if c != nil {
				_ = c.conn.Close()
			}
		})
	}
	all.Wait()
	answered := time.Since(began)
	d.emptyQueue(t)
	t.Logf("%d messages: all answered within %v, all delivered within %v, %d at once upstream", devices*each, answered, time.Since(began), inner.Exchange.HighestConcurrency())
	came := arrivals{t: t, sim: inner, copies: make(map[string]int)}
	came.count("in all")
	if len(came.copies) != devices*each {
		t.Errorf("%d messages came, want %d", len(came.copies), devices*each)
	}
	if n := inner.Exchange.HighestConcurrency(); n > 3 {
		t.Errorf("%d connections were in the middle of a message at once, want 3 at most", n)
	}
}
