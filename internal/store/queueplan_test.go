package store

import (
	"fmt"
	"strings"
	"testing"
)

// TestDueGoesByTheIndex: what is due is found by looking a row up, and never by going through all of them or by sorting them. A
// mailbox with a hundred thousand messages is looked at as often as one with ten.
func TestDueGoesByTheIndex(t *testing.T) {
	s := openAt(t, database(t), newRing(t))
	for name, query := range map[string]string{
		"mailboxes": dueMailboxes,
		"logins":    dueLogins,
		"first":     "SELECT " + fmt.Sprintf(firstDue, "next_try <= ?", s.engine.skipLocked()),
	} {
		arguments := make([]any, strings.Count(query, "?"))
		for i := range arguments {
			arguments[i] = 1
		}
		steps, err := rows(t.Context(), s.reader, func(row scanner) (step string, err error) {
			var id, parent, unused int
			err = row.Scan(&id, &parent, &unused, &step)
			return step, err
		}, "EXPLAIN QUERY PLAN "+query, arguments...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan := strings.Join(steps, "\n")
		if !strings.Contains(plan, "queue_messages_due (state=?") || strings.Contains(plan, "SCAN m\n") || strings.Contains(plan, "SCAN queue") ||
			strings.Contains(plan, "B-TREE") {
			t.Errorf("%s are not found by the index alone:\n%s", name, plan)
		}
	}
}
