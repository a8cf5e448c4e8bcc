package storetest

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"postern/internal/store"
)

// enqueue puts a message into the queue.
func enqueue(t *testing.T, s *store.Store, id string) {
	t.Helper()
	must(t, s.Enqueue(t.Context(), store.QueuedMessage{
		ID: id, Mailbox: "scans@contoso.example", Login: "copier-3", State: store.Waiting, Size: 3, Parts: 1, Accepted: kept(start), NextTry: kept(start),
		Record: []byte("record"), Recipients: []store.QueuedRecipient{{State: store.RecipientWaiting}},
	}, []store.Part{{Content: []byte("x\r\n")}}, s.Generation()))
}

// claimedOnce: nodes that look for work at the same time share it, and none has what another has; who gives a message
// back leaves it to the others.
func claimedOnce(t *testing.T, s *store.Store) {
	const messages, nodes = 20, 4
	for i := range messages {
		enqueue(t, s, "m"+strconv.Itoa(i))
	}
	claim := func(node string) string {
		id, err := s.Claim(t.Context(), "scans@contoso.example", "copier-3", node, start.Add(time.Second), time.Hour)
		if err != nil {
			t.Error(err)
		}
		return id
	}
	var mu sync.Mutex
	var claimed []string
	var wait sync.WaitGroup
	for node := range nodes {
		wait.Go(func() {
			for id := claim(strconv.Itoa(node)); id != ""; id = claim(strconv.Itoa(node)) {
				mu.Lock()
				claimed = append(claimed, id)
				enough := len(claimed) > messages // one has been claimed twice: it could go on for ever
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	wait.Wait()
	slices.Sort(claimed)
	if len(claimed) != messages || len(slices.Compact(claimed)) != messages {
		t.Fatalf("%d claims of %d messages", len(claimed), messages)
	}
	all, err := s.QueuedMessages(t.Context(), store.QueueFilter{})
	must(t, err)
	must(t, s.Unclaim(t.Context(), all[0].ID, all[0].Node))
	if id := claim("another"); id != all[0].ID {
		t.Errorf("after %s was given back, another claimed %q", all[0].ID, id)
	}
}
