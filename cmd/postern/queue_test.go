package main

import (
	"strings"
	"testing"

	"postern/internal/queue"
)

// TestQueueShowsWhatARefusalMeans, once for each refusal, with the command that mends it.
func TestQueueShowsWhatARefusalMeans(t *testing.T) {
	const refused = "554 5.2.252 SendAsDenied; x not allowed to send as y"
	var e queue.Entry
	e.Mailbox, e.Sender = "scans@contoso.example", "anna@contoso.example"
	e.Recipients = []queue.EntryRecipient{{Reply: refused}, {Reply: refused}, {Reply: "250 2.1.5 OK"}}
	text := describe(e)
	if n := strings.Count(text, "\nmeaning "); n != 1 || !strings.Contains(text, "Add-RecipientPermission anna@contoso.example -Trustee scans@contoso.example") {
		t.Errorf("got %d meanings:\n%s", n, text)
	}
}
