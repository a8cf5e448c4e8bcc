package queue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/keys"
	"postern/internal/store"
)

// mostCuts is how many moments of a recording the power is cut at, each time in three ways. POSTERN_LONG cuts it at all of
// them.
const mostCuts = 10

// TestI01PowerLoss records every write and every sync of a queue at work, and cuts the power after each sync and after
// each promise: with all writes lost that were not synced, with all of them on the disk, and with some of them, in part. What
// was promised until then is in the queue, or upstream has had it; and nothing in it is damaged (threat model I-01, I-02).
func TestI01PowerLoss(t *testing.T) {
	r := recordWrites(t, "")
	r.cut(t, diskSide{})
}

// TestI04FailedSync: a sync that fails is no promise, although what it was for may lie on the disk, whole, for a recovery to find. A
// message that was refused does not come back (threat model I-01, I-04).
func TestI04FailedSync(t *testing.T) {
	r := recordWrites(t, "fsync,fdatasync:error=EIO:when=3+5")
	if r.failures == 0 {
		t.Fatal("no sync failed: the test says nothing")
	}
	r.cut(t, diskSide{keepsFailed: true})
	r.cut(t, diskSide{})
}

// TestI01FullDisk: writes that find no room promise nothing, and harm nothing that was promised.
func TestI01FullDisk(t *testing.T) {
	r := recordWrites(t, "pwrite64:error=ENOSPC:when=60+150")
	if r.failures == 0 {
		t.Fatal("no write failed: the test says nothing")
	}
	r.cut(t, diskSide{})
}

// cut cuts the power at the moments of a recording that count, and looks at what is left.
func (r *recording) cut(t *testing.T, d diskSide) {
	t.Helper()
	var moments int
	for _, e := range r.events {
		if e.counts() {
			moments++
		}
	}
	every := max(1, moments/mostCuts)
	if os.Getenv("POSTERN_LONG") != "" {
		every = 1
	}
	d.files = r.baseline(t)
	fates := make(map[string]string) // id → the last that was said of it
	seen, cuts, promises := 0, 0, 0
	for i, e := range r.events {
		d.take(e)
		if e.what != "" {
			fates[e.id] = e.what
		}
		if e.what == "promised" {
			promises++
		}
		if !e.counts() {
			continue
		}
		if seen++; seen%every != 0 && i != len(r.events)-1 {
			continue
		}
		for _, left := range []leftover{nothingUnsynced, allUnsynced, someUnsynced} {
			r.check(t, d.image(t, left, i), fates)
		}
		if cuts++; t.Failed() {
			for j := range r.events[:i+1] {
				if r.events[j].failed || r.events[j].counts() {
					t.Log(j, r.events[j].short())
				}
			}
			t.Fatalf("after event %d of %d: %+v", i, len(r.events), e.short())
		}
	}
	t.Logf("%d events, %d messages promised; the power was cut at %d moments in 3 ways", len(r.events), promises, cuts)
	if promises < recordedClients*recordedMessages/10 {
		t.Errorf("%d messages were promised: the test says nothing", promises)
	}
}

// check opens the database that the disk has after a cut.
func (r *recording) check(t *testing.T, folder string, fates map[string]string) {
	t.Helper()
	defer os.RemoveAll(folder)
	ring, err := keys.Open(filepath.Join(r.folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, databaseName), ring)
	if err != nil {
		t.Errorf("the database does not open: %v", err)
		return
	}
	defer s.Close()
	q := &Queue{config: Config{Store: s}}
	rows, err := s.QueuedMessages(t.Context(), store.QueueFilter{})
	if err != nil {
		t.Errorf("the queue cannot be read: %v", err)
		return
	}
	there := make(map[string]bool)
	for _, listed := range rows {
		there[listed.ID] = true
		row, err := s.QueuedMessage(t.Context(), listed.ID)
		if err == nil {
			_, err = messageOf(row)
		}
		if err != nil {
			t.Errorf("%s: %v", row.ID, err)
		}
		if _, err := io.Copy(io.Discard, q.content(t.Context(), row)); err != nil {
			t.Errorf("%s (%s): %v", row.ID, fates[row.ID], err)
		}
		if fates[row.ID] == "refused" {
			t.Errorf("%s was refused, and is in the queue", row.ID)
		}
	}
	for id, fate := range fates {
		if fate == "promised" && !there[id] {
			t.Errorf("%s was promised, and is lost", id)
		}
	}
}

// errTrace is a line of a recording that cannot be read.
var errTrace = errors.New("cannot be read")

// short gives an event without its bytes.
func (e diskEvent) short() string {
	return fmt.Sprintf("%s %s at %d, %d bytes, failed %v, %s %s", e.call, e.file, e.at, len(e.data), e.failed, e.what, e.id)
}
