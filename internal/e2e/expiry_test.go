package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postern/internal/sim"
	"postern/internal/sim/exchange"
	"postern/internal/sim/tenant"
)

// expireTokens ends all access tokens, and has upstream end the sessions that stand on them where their next messages end. It
// gives how many tokens Entra was asked for until then.
func expireTokens(inner *sim.Sim, sessions int) (requests int64) {
	requests = inner.Entra.TokenRequests()
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPEnd, Drop: true, Times: sessions})
	inner.Entra.ExpireTokens()
	return requests
}

// TestTokenExpires in the middle of a message that goes straight through, and while the queue delivers. The next sessions have a
// new token, every message comes once, and nobody gets a report.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*testing.T, *deployment, *gateway, *sim.Sim) (messages int, requests int64){
		"in a message":             expireInAMessage,
		"while the queue delivers": expireInTheQueue,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner, outer := ownSim(t, exchange.Limits{PerMinute: -1, RecipientsPerDay: -1})
			d, g := queueing(t, inner, outer, 100_000)
			d.serve(t, g, binary(t, program))
			messages, before := send(t, d, g, inner)
			d.emptyQueue(t)
			came := arrivals{t: t, sim: inner, copies: make(map[string]int), reports: make(map[string]int)}
			came.count("in all")
			if len(came.copies) != messages || len(came.reports) != 0 {
				t.Errorf("%d messages and %d reports came, want %d and none", len(came.copies), len(came.reports), messages)
			}
			if n := inner.Entra.TokenRequests() - before; n != 1 {
				t.Errorf("Entra was asked for %d new tokens, want 1", n)
			}
		})
	}
}

// expireInAMessage has the token expire when half of a message has gone upstream.
func expireInAMessage(t *testing.T, _ *deployment, g *gateway, inner *sim.Sim) (messages int, requests int64) {
	c, err := beginMessage(t, g, g.named(t, "copier-3"), "crash-1-1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	half := strings.Repeat("0123456789abcdef\r\n", 20_000)
	_, err = io.WriteString(c.conn, half)
	requests = expireTokens(inner, 1)
	if err == nil {
		_, err = io.WriteString(c.conn, half)
	}
	if err == nil {
		err = c.say(".", "250 2.0.0 Ok: queued as")
	}
	if err != nil {
		t.Fatal(err)
	}
	return 1, requests
}

// expireInTheQueue has the token expire when a part of what is in the queue has gone.
func expireInTheQueue(t *testing.T, d *deployment, g *gateway, inner *sim.Sim) (messages int, requests int64) {
	const count = 20
	user := g.named(t, "alice@contoso.example")
	inner.Tenant.Faults.Add(tenant.Fault{Point: tenant.SMTPEnd, Delay: 200 * time.Millisecond, Times: count / 2})
	for i := range count {
		if got := d.smtpSubmit(t, g, user, "bob@contoso.example", fmt.Sprintf("From: alice@contoso.example\r\nSubject: crash-1-%d\r\n\r\nx", i)); !strings.HasPrefix(got, "250") {
			t.Fatalf("message %d: got %q", i, got)
		}
	}
	eventually(t, 20*time.Second, "a part has gone", func() error {
		if n := len(inner.Exchange.Messages("bob@contoso.example", "INBOX")); n < 3 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	inner.Tenant.Faults.Clear()
	return count, expireTokens(inner, 3)
}
