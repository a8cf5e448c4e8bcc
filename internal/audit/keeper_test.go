package audit

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settable is a clock that tests set.
type settable struct {
	mu sync.Mutex
	at time.Time
}

func (c *settable) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *settable) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// keeping opens a log at a path, with a clock of its own, and keeps it as k says.
func keeping(t *testing.T, path string, k Keeping) (*Log, *Keeper, *settable) {
	t.Helper()
	c := &settable{at: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	log, err := Open(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	log.Sign(newTestKey(1))
	mustRecord(t, log, GatewayStarted{Version: "test"})
	keeper := Keep(log, k, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _, _ = keeper.Close(), log.Close() })
	return log, keeper, c
}

func (k *Keeper) mustLook(t *testing.T) {
	t.Helper()
	if err := k.due(); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, path string) string {
	t.Helper()
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return strings.Join(all, " ")
}

func TestHeadsAreSignedWhereThereIsSomethingNew(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, keeper, clock := keeping(t, path, Keeping{HeadEvery: 15 * time.Minute})
	for range 10 { // nothing new
		clock.add(time.Hour)
		keeper.mustLook(t)
	}
	mustRecord(t, log, SignIn{Login: "a"})
	clock.add(14 * time.Minute)
	keeper.mustLook(t)
	if r := collect(t, path, newTestKey(1)).verify(t); r.Heads != 1 || r.Since != 1 {
		t.Errorf("got %d heads and %d lines since; want one of the start, and a line that waits", r.Heads, r.Since)
	}
	clock.add(time.Minute)
	keeper.mustLook(t)
	mustRecord(t, log, GatewayStopped{})
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	if r := collect(t, path, newTestKey(1)).verify(t); r.Heads != 3 || r.Since != 0 || len(r.Problems) > 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRotationBySizeAndAgeKeepsOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, keeper, clock := keeping(t, path, Keeping{HeadEvery: time.Hour, RotateSize: 2000, RotateAge: 7 * 24 * time.Hour})
	for range 12 {
		mustRecord(t, log, SignIn{Login: strings.Repeat("x", 100)})
		clock.add(time.Second)
		keeper.mustLook(t)
	}
	clock.add(8 * 24 * time.Hour)
	keeper.mustLook(t)
	keeper.mustLook(t) // the new file is young
	if got, want := names(t, path), "postern.audit postern.audit.000000000001 postern.audit.000000000009 postern.audit.000000000017 postern.audit.heads"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r := collect(t, path, newTestKey(1)).verify(t); len(r.Problems) > 0 || r.Since != 0 {
		t.Errorf("got %+v", r)
	}
	got, found := find(t, path, Query{Kinds: []string{"sign-in"}})
	if len(got) != 12 || !found.Whole {
		t.Errorf("got %v, whole %v; want the sign-ins of all files", got, found.Whole)
	}
}

// TestI44RetentionKeepsTheRestVerifiable: what retention removes it says in the log; the same file removed by hand is found.
func TestI44RetentionKeepsTheRestVerifiable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, keeper, clock := keeping(t, path, Keeping{HeadEvery: time.Hour, RotateSize: 1, KeepAge: 3 * 24 * time.Hour})
	for range 5 {
		mustRecord(t, log, SignIn{Login: "a"})
		clock.add(24 * time.Hour)
		keeper.mustLook(t)
	}
	r := collect(t, path, newTestKey(1)).verify(t)
	if len(r.Problems) > 0 || r.Pruned == 0 || r.First != r.Pruned+1 {
		t.Errorf("got %+v", r)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), r.Files[0])); err != nil {
		t.Fatal(err)
	}
	r = collect(t, path, newTestKey(1)).verify(t)
	if len(r.Problems) == 0 || r.Problems[0].File != r.Files[0] || !strings.Contains(r.Problems[0].What, "retention") {
		t.Errorf("after a removal by hand: got %v", r.Problems)
	}
}

func TestRetentionBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, keeper, _ := keeping(t, path, Keeping{HeadEvery: time.Hour, RotateSize: 1000, KeepSize: 6000})
	for range 60 {
		mustRecord(t, log, SignIn{Login: strings.Repeat("x", 100)})
		keeper.mustLook(t)
	}
	files, total, err := keeper.closed()
	if err != nil || total > 6000 || len(files) < 2 {
		t.Errorf("got %d bytes in %d closed files, %v; want at most 6000", total, len(files), err)
	}
	if r := collect(t, path, newTestKey(1)).verify(t); len(r.Problems) > 0 {
		t.Errorf("got %v", r.Problems)
	}
}

// TestEveryoneGoesOnInTheNewFile: logs that have the same file open, here and in another process, while it is rotated again and
// again, write one chain.
func TestEveryoneGoesOnInTheNewFile(t *testing.T) {
	const lines = 100
	if path := os.Getenv("POSTERN_TEST_ROTATED"); path != "" {
		log := open(t, path)
		for range lines {
			mustRecord(t, log, PasswordRevoked{ID: "child"})
		}
		return
	}
	path := filepath.Join(t.TempDir(), "postern.audit")
	child := exec.Command(os.Args[0], "-test.run=^TestEveryoneGoesOnInTheNewFile$")
	child.Env = append(os.Environ(), "POSTERN_TEST_ROTATED="+path)
	logs := []*Log{open(t, path), open(t, path)}
	logs[0].Sign(newTestKey(1))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, log := range logs {
		wg.Go(func() {
			for n := range lines {
				if err := log.Record(SignIn{Login: "parent"}); err != nil {
					t.Error(err)
				}
				if n%10 == i {
					if err := log.Rotate(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := logs[0].SignHead(); err != nil {
		t.Fatal(err)
	}
	r := collect(t, path, newTestKey(1)).verify(t)
	if want := int64(3*lines + 20*2); len(r.Problems) > 0 || r.Last != want || len(r.Files) != 21 {
		t.Errorf("got %d lines in %d files, want %d in 21: %v", r.Last, len(r.Files), want, r.Problems)
	}
}

// TestARotationThatWasInterruptedIsFinished by whoever records next, at each place where a process can die.
func TestARotationThatWasInterruptedIsFinished(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, path string){
		"the file says that it is closed": func(*testing.T, string) {},
		"that line has no end": func(t *testing.T, path string) {
			if info, err := os.Stat(path); err != nil {
				t.Fatal(err)
			} else if err := os.Truncate(path, info.Size()-1); err != nil {
				t.Fatal(err)
			}
		},
		"it has its name too": func(t *testing.T, path string) {
			if err := os.Link(path, closedName(path, 1)); err != nil {
				t.Fatal(err)
			}
		},
		"half of its successor is written": func(t *testing.T, path string) {
			if err := os.WriteFile(path+".next", []byte(`{"time`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "postern.audit")
			log := open(t, path)
			mustRecord(t, log, SignIn{Login: "a"})
			mustRecord(t, log, LogRotated{File: "postern.audit.000000000001", First: 1})
			log.Close()
			die(t, path)
			log = open(t, path)
			log.Sign(newTestKey(1))
			mustRecord(t, log, SignIn{Login: "b"})
			if _, err := log.SignHead(); err != nil {
				t.Fatal(err)
			}
			r := collect(t, path, newTestKey(1)).verify(t)
			if len(r.Problems) > 0 || r.Last != 4 || len(r.Files) != 2 {
				t.Errorf("got %+v", r)
			}
			if got, want := names(t, path), "postern.audit postern.audit.000000000001 postern.audit.heads"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestHeadsAreCopied(t *testing.T) {
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "postern.audit"), filepath.Join(folder, "elsewhere")
	log, keeper, _ := keeping(t, path, Keeping{HeadEvery: time.Hour, Copies: []string{copied}})
	mustRecord(t, log, GatewayStopped{})
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	heads, err := os.ReadFile(path + ".heads")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, heads) || bytes.Count(got, []byte("\n\n— ")) != 2 {
		t.Errorf("got %q, %v; want the two heads", got, err)
	}
	// Heads that are no longer those of the copy are not written over it.
	if err := os.WriteFile(path+".heads", bytes.Replace(heads, []byte("\n1\n"), []byte("\n2\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	c := headCopy{from: path + ".heads", to: copied}
	if err := c.update(); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(copied); !bytes.Equal(got, heads) {
		t.Error("the copy was changed")
	}
}

func TestFollowGoesThroughRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	log := open(t, path)
	mustRecord(t, log, SignIn{Login: "a"})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	follow := &follower{path: path, file: f}
	defer func() { follow.file.Close() }()
	for range 3 {
		if err := log.Rotate(); err != nil {
			t.Fatal(err)
		}
		mustRecord(t, log, SignIn{Login: "b"})
	}
	var got []int64
	if err := follow.reopen(func(e Entry) error { got = append(got, e.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, seq := range got {
		if seq != int64(i)+1 {
			t.Errorf("entry %d has number %d", i, seq)
		}
	}
	if len(got) != 10 {
		t.Errorf("got the entries %v, want ten", got)
	}
}

// TestI43RetentionWaitsForTheReceiver up to a bound; what is removed beyond it is counted in the log.
func TestI43RetentionWaitsForTheReceiver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	received := int64(0)
	how := Keeping{HeadEvery: time.Hour, RotateSize: 1000, KeepAge: time.Hour, Received: func() int64 { return received }, Unsent: 100_000}
	log, keeper, clock := keeping(t, path, how)
	for range 20 {
		mustRecord(t, log, SignIn{Login: strings.Repeat("x", 100)})
		keeper.mustLook(t)
	}
	clock.add(24 * time.Hour)
	keeper.mustLook(t)
	pruned := func() (all []LogPruned) {
		_, err := Scan(t.Context(), path, Query{Kinds: []string{"log-pruned"}}, func(e Entry) error {
			var p LogPruned
			err := e.Decode(&p)
			all = append(all, p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := pruned(); len(all) > 0 {
		t.Fatalf("removed what the receiver had not had: %+v", all)
	}
	files, _, err := keeper.closed()
	if err != nil || len(files) < 4 {
		t.Fatalf("got %d closed files, %v", len(files), err)
	}
	received = files[1].last.seq // of the third, nothing yet
	keeper.mustLook(t)
	if all := pruned(); len(all) != 2 || all[0].Lost != 0 || all[1].Lost != 0 {
		t.Errorf("got %+v; want the two files that the receiver has had", all)
	}
	how.Unsent = 1
	keeper.Change(how)
	keeper.mustLook(t)
	all := pruned()
	lost := int64(0)
	for _, p := range all {
		lost += p.Lost
	}
	if last := all[len(all)-1].Last; lost != last-received || lost == 0 {
		t.Errorf("the log says that %d lines were lost; want %d: %+v", lost, last-received, all)
	}
	if r := collect(t, path, newTestKey(1)).verify(t); len(r.Problems) > 0 {
		t.Errorf("got %v", r.Problems)
	}
}

// TestSequelReadsWhatComes across rotations, and says what was removed before it could be read.
func TestSequelReadsWhatComes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	log := open(t, path)
	mustRecord(t, log, SignIn{Login: "a"})
	s, err := Continue(path, Place{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	var got []int64
	read := func() {
		for {
			e, err := s.Next()
			if err != nil {
				if err != io.EOF {
					t.Fatal(err)
				}
				return
			}
			got = append(got, e.Seq)
		}
	}
	read()
	for range 3 {
		if err := log.Rotate(); err != nil {
			t.Fatal(err)
		}
		mustRecord(t, log, SignIn{Login: "b"})
	}
	read()
	mustRecord(t, log, SignIn{Login: "c"})
	place := s.Place()
	read()
	for i, seq := range got {
		if seq != int64(i)+1 {
			t.Fatalf("got %v", got)
		}
	}
	if len(got) != 11 || s.Missed != 0 {
		t.Errorf("got %v, missed %d", got, s.Missed)
	}
	again, err := Continue(path, place)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if e, err := again.Next(); err != nil || e.Seq != 11 {
		t.Errorf("from %+v: got %d, %v", place, e.Seq, err)
	}
	if err := os.Remove(closedName(path, 1)); err != nil {
		t.Fatal(err)
	}
	late, err := Continue(path, Place{Seq: 1, First: 1, At: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if e, err := late.Next(); err != nil || e.Seq != 3 || late.Missed != 1 {
		t.Errorf("got %d, %v, missed %d; want line 3, and line 2 missed", e.Seq, err, late.Missed)
	}
}
