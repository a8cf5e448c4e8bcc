package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/keys"
)

// sessionPlace is where a test's portal sessions are.
func sessionPlace(hash []byte) []byte { return append([]byte("session "), hash...) }

// sealedWorld has something sealed in every table that has such.
type sealedWorld struct {
	*Store
	ring *keys.Ring
	dsn  string
}

func newSealedWorld(t *testing.T, dsn string, each int) *sealedWorld {
	t.Helper()
	ring := newRing(t)
	w := &sealedWorld{openDSN(t, dsn, ring), ring, dsn}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range each {
		name := fmt.Sprint("n", i)
		must(w.SaveTokenCache(t.Context(), w.cacheKey(i), []byte("tokens "+name)))
		_, err := w.AddFactor(t.Context(), Factor{ID: name, TenantID: "t", ObjectID: name, Method: "totp", Created: time.Now(), Content: []byte("factor " + name)}, false)
		must(err)
		must(w.SaveCeremony(t.Context(), Ceremony{Browser: name, Purpose: "p", Expires: time.Now().Add(time.Hour), Content: []byte("ceremony " + name)}, time.Now()))
		sealed, err := ring.Seal([]byte("session "+name), sessionPlace([]byte(name)))
		must(err)
		must(w.AddPortalSession(t.Context(), PortalSession{Hash: []byte(name), Started: time.Now(), Expires: time.Now().Add(time.Hour), Sealed: sealed}, nil, time.Now()))
		must(w.SaveCertificateItem(t.Context(), CertificateItem{Name: "private-ca/" + name, Modified: time.Now(), Content: []byte("key " + name)}))
		must(w.Enqueue(t.Context(), w.message(name), []Part{{0, []byte("part " + name)}, {1, []byte("end " + name)}}, w.Generation()))
	}
	return w
}

func (w *sealedWorld) cacheKey(i int) TokenCacheKey {
	return TokenCacheKey{Provider: "contoso", TenantID: "t", Owner: fmt.Sprint("n", i), Kind: "k"}
}

func (w *sealedWorld) message(name string) QueuedMessage {
	return QueuedMessage{ID: name, Mailbox: "scans@contoso.example", Login: "copier-3", State: Waiting, Size: 3, Parts: 2,
		Accepted: time.Now(), NextTry: time.Now(), Record: []byte("record " + name)}
}

// rotate makes the next keys the primary ones.
func (w *sealedWorld) rotate(t *testing.T) {
	t.Helper()
	if err := errors.Join(w.ring.Prepare(), w.ring.Promote()); err != nil {
		t.Fatal(err)
	}
}

// check opens everything, and gives how much is under the primary key and under others.
func (w *sealedWorld) check(t *testing.T) (current, old int) {
	t.Helper()
	found, err := w.CheckSealed(t.Context(), sessionPlace, func(Sealing) {})
	if err != nil || len(found.Broken) > 0 {
		t.Fatalf("got %v, %v; want everything to open", found.Broken, err)
	}
	if counted, err := w.CountSealed(t.Context()); err != nil || !maps.Equal(counted, found.Counts) {
		t.Fatalf("counted %v, %v; what was opened is %v", counted, err, found.Counts)
	}
	seal, _ := w.ring.Primaries()
	return found.Counts[seal], total(found.Counts) - found.Counts[seal]
}

func TestI42EverythingSealedIsSealedAnew(t *testing.T) { onBothEngines(t, everythingIsSealedAnew) }

func everythingIsSealedAnew(t *testing.T, dsn string) {
	const each = 70 // more than a batch
	w := newSealedWorld(t, dsn, each)
	print := w.Print([]byte("alice"))
	w.rotate(t)
	if current, old := w.check(t); current != 0 || old != 8*each+1 {
		t.Fatalf("after the rotation: %d and %d records, want 0 and %d", current, old, 8*each+1)
	}
	so, err := w.ResealAll(t.Context(), sessionPlace, func(Sealing) {})
	if seal, _ := w.ring.Primaries(); err != nil || so.Counts[seal] != 8*each+1 {
		t.Fatalf("got %+v, %v", so, err)
	}
	if err := w.ring.Retire(true); err != nil {
		t.Fatal(err)
	}
	if current, old := w.check(t); current != 8*each+1 || old != 0 {
		t.Errorf("with the old keys gone: %d and %d records", current, old)
	}
	again := openDSN(t, w.dsn, w.ring)
	if got, err := again.LoadTokenCache(t.Context(), w.cacheKey(3)); err != nil || string(got) != "tokens n3" {
		t.Errorf("a token cache is %q, %v", got, err)
	}
	if got, err := again.Factors(t.Context(), "t", "n3"); err != nil || len(got) != 1 || string(got[0].Content) != "factor n3" {
		t.Errorf("a factor is %v, %v", got, err)
	}
	if got, err := again.CertificateItem(t.Context(), "private-ca/n3"); err != nil || string(got.Content) != "key n3" {
		t.Errorf("a certificate is %q, %v", got.Content, err)
	}
	if got, err := again.QueuedMessage(t.Context(), "n3"); err != nil || string(got.Record) != "record n3" {
		t.Errorf("a message is %q, %v, %v", got.Record, got.RecordError, err)
	}
	if got, err := again.ReadPart(t.Context(), "n3", 1); err != nil || string(got) != "end n3" {
		t.Errorf("a part is %q, %v", got, err)
	}
	if string(again.Print([]byte("alice"))) != string(print) {
		t.Error("the print of a name has changed")
	}
}

// TestI42ResealKilledAnywhere runs the sealing in a process of its own, and kills it at each of its steps: everything opens
// after each kill, and the next process goes on.
func TestI42ResealKilledAnywhere(t *testing.T) {
	if at := os.Getenv("POSTERN_TEST_KILL_AT"); at != "" {
		steps, _ := strconv.Atoi(at)
		ring, err := keys.Open(os.Getenv("POSTERN_TEST_KEYS"))
		if err != nil {
			t.Fatal(err)
		}
		s := openDSN(t, os.Getenv("POSTERN_TEST_DB"), ring)
		_, err = s.ResealAll(t.Context(), sessionPlace, func(Sealing) {
			if steps--; steps < 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	onBothEngines(t, resealKilledAnywhere)
}

func resealKilledAnywhere(t *testing.T, dsn string) {
	w := newSealedWorld(t, dsn, 5)
	w.rotate(t)
	_, before := w.check(t)
	for step := 0; ; step++ {
		child := exec.Command(os.Args[0], "-test.run", "^TestI42ResealKilledAnywhere$")
		child.Env = append(os.Environ(), "POSTERN_TEST_KILL_AT="+strconv.Itoa(step), "POSTERN_TEST_KEYS="+w.ring.Path(), "POSTERN_TEST_DB="+w.dsn)
		output, err := child.CombinedOutput()
		current, old := w.check(t)
		if current+old != before {
			t.Fatalf("after step %d: %d records, want %d", step, current+old, before)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			continue
		}
		if err != nil {
			t.Fatalf("it ended with %v:\n%s", err, output)
		}
		if old != 0 {
			t.Errorf("%d records are left", old)
		}
		if step < 10 {
			t.Errorf("it was killed %d times only", step)
		}
		return
	}
}

// TestI42ResealUnderLoad: what others write meanwhile is what is there in the end, and opens.
func TestI42ResealUnderLoad(t *testing.T) { onBothEngines(t, resealUnderLoad) }

func resealUnderLoad(t *testing.T, dsn string) {
	w := newSealedWorld(t, dsn, 40)
	other, err := keys.Open(w.ring.Path())
	if err != nil {
		t.Fatal(err)
	}
	busy := openDSN(t, w.dsn, other)
	over := make(chan struct{})
	var load sync.WaitGroup
	last := make([]string, 40)
	for i := range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				at := i*10 + n%10
				last[at] = fmt.Sprintf("tokens %d of %d", n, at)
				if err := busy.SaveTokenCache(t.Context(), w.cacheKey(at), []byte(last[at])); err != nil {
					t.Error(err)
				}
				if err := busy.Enqueue(t.Context(), w.message(fmt.Sprintf("load %d %d", i, n)), []Part{{0, []byte("x")}, {1, []byte("y")}}, busy.Generation()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	w.rotate(t)
	go func() { // as a running gateway does
		time.Sleep(50 * time.Millisecond)
		_, _ = other.Refresh()
	}()
	_, err = w.ResealAll(t.Context(), sessionPlace, func(Sealing) {})
	close(over)
	load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ring.Retire(true); err != nil {
		t.Fatal(err)
	}
	if _, old := w.check(t); old != 0 {
		t.Errorf("%d records under old keys", old)
	}
	for at, want := range last {
		if got, err := w.LoadTokenCache(t.Context(), w.cacheKey(at)); err != nil || want != "" && string(got) != want {
			t.Errorf("token cache %d is %q, %v; want %q", at, got, err, want)
		}
	}
}

// TestBrokenRecordsAreNamedAndLeft: one that does not open stops nothing.
func TestBrokenRecordsAreNamedAndLeft(t *testing.T) {
	w := newSealedWorld(t, "sqlite:"+database(t), 3)
	if _, err := w.writer.ExecContext(t.Context(), `UPDATE factors SET object_id = 'eve' WHERE id = 'n1'`); err != nil {
		t.Fatal(err)
	}
	w.rotate(t)
	so, err := w.ResealAll(t.Context(), sessionPlace, func(Sealing) {})
	if err != nil || len(so.Broken) != 1 || !strings.HasPrefix(so.Broken[0], "second factors n1 ") {
		t.Errorf("got %q, %v; want the one named", so.Broken, err)
	}
}

// TestI42WithoutTheKeyNothingChanges: with a keys file of another ring, or from before a rotation, the store does not open, and
// no byte of it changes.
func TestI42WithoutTheKeyNothingChanges(t *testing.T) {
	path := database(t)
	w := newSealedWorld(t, "sqlite:"+path, 3)
	old, err := os.ReadFile(w.ring.Path())
	if err != nil {
		t.Fatal(err)
	}
	before := filepath.Join(t.TempDir(), "before.keys")
	if err := os.WriteFile(before, old, 0o600); err != nil {
		t.Fatal(err)
	}
	w.rotate(t)
	if _, err := w.ResealAll(t.Context(), sessionPlace, func(Sealing) {}); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	stale, err := keys.Open(before)
	if err != nil {
		t.Fatal(err)
	}
	bytes := contents(t, filepath.Dir(path))
	for name, ring := range map[string]*keys.Ring{"of another ring": newRing(t), "from before the rotation": stale} {
		s, err := Open(t.Context(), w.dsn, ring)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "bring back the") {
			t.Errorf("keys %s: got %v, want it refused, with what to do", name, err)
		}
		for file, content := range contents(t, filepath.Dir(path)) {
			if content != bytes[file] {
				t.Errorf("keys %s: %s has changed", name, file)
			}
		}
	}
}
