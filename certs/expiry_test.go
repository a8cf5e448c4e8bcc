package certs

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExpiryWarnsAtEachThreshold(t *testing.T) {
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	var e Expiry
	var got []string
	for _, left := range []time.Duration{31 * day, 30 * day, 29 * day, 8 * day, 7 * day, 2 * day, day, time.Hour, 0, -day} {
		for _, w := range e.Due([]Info{{SHA256: "a", NotAfter: end}, {SHA256: "b", NotAfter: end.AddDate(1, 0, 0)}}, end.Add(-left)) {
			got = append(got, fmt.Sprint(w.SHA256, " ", w.Days, " at ", left))
		}
	}
	want := []string{"a 30 at 720h0m0s", "a 7 at 168h0m0s", "a 1 at 24h0m0s", "a 0 at 0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
}

func TestExpiryTellsOfALateOneOnce(t *testing.T) {
	now := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	var e Expiry
	late := []Info{{SHA256: "a", NotAfter: now.Add(3 * 24 * time.Hour)}}
	if due := e.Due(late, now); len(due) != 1 || due[0].Days != 7 {
		t.Errorf("got %v, want one warning of 7 days", due)
	}
	if due := e.Due(late, now); due != nil {
		t.Errorf("got %v again", due)
	}
	if due := e.Due(nil, now); due != nil {
		t.Errorf("it was replaced, and still: %v", due)
	}
}
