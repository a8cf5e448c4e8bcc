package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is a line of the log as a reader sees it.
type record struct {
	Seq   int64
	Kind  string
	Login string
	Prev  string
	Time  time.Time
}

// readChain reads a log and fails the test where the chain of hashes or numbers breaks.
func readChain(t *testing.T, path string) []record {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	prev := ""
	scanner := bufio.NewScanner(bytes.NewReader(content))
	for scanner.Scan() {
		var r record
		if err := json.Unmarshal(scanner.Bytes(), &r); err != nil {
			t.Fatalf("line %q: %v", scanner.Text(), err)
		}
		if r.Prev != prev {
			t.Fatalf("line %d names the line before it %q, which is %q", r.Seq, r.Prev, prev)
		}
		if want := int64(len(records)) + 1; r.Seq != want {
			t.Fatalf("line %d is numbered %d", want, r.Seq)
		}
		sum := sha256.Sum256(scanner.Bytes())
		prev = hex.EncodeToString(sum[:])
		records = append(records, r)
	}
	return records
}

func open(t *testing.T, path string) *Log {
	t.Helper()
	log, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func mustRecord(t *testing.T, log *Log, event Event) {
	t.Helper()
	if err := log.Record(event); err != nil {
		t.Fatal(err)
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	at := time.Date(2026, 11, 24, 9, 0, 0, 1000, time.FixedZone("CET", 3600))
	log, err := Open(path, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	mustRecord(t, log, SignIn{Outcome: Refused, Reason: "wrong-password", Session: "s1", Protocol: "imap", Login: "a\n\"b", Remote: "127.0.0.1:1", Mechanism: "PLAIN"})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-11-24T08:00:00.000001Z","seq":1,"kind":"sign-in","outcome":"refused","reason":"wrong-password",` +
		`"session":"s1","protocol":"imap","login":"a\n\"b","remote":"127.0.0.1:1","mechanism":"PLAIN","prev":""}` + "\n"
	if string(content) != want {
		t.Errorf("got  %s\nwant %s", content, want)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the log has mode %v, want 0600", info.Mode().Perm())
	}
}

func TestChainGoesOnAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	for range 3 {
		log := open(t, path)
		for range 40 { // more than one window of lastLines
			mustRecord(t, log, SignIn{Login: strings.Repeat("x", 100)})
		}
		log.Close()
	}
	if got := len(readChain(t, path)); got != 120 {
		t.Errorf("got %d lines, want 120", got)
	}
}

func TestConcurrentLogsShareOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	logs := []*Log{open(t, path), open(t, path)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if err := logs[i%2].Record(SessionEnd{Login: "a"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(readChain(t, path)); got != 400 {
		t.Errorf("got %d lines, want 400", got)
	}
}

// TestProcessesShareOneChain runs this test again as a second process that writes to the same file.
func TestProcessesShareOneChain(t *testing.T) {
	const lines = 100
	if path := os.Getenv("POSTERN_TEST_AUDIT"); path != "" {
		log := open(t, path)
		for range lines {
			mustRecord(t, log, PasswordRevoked{ID: "child"})
		}
		return
	}
	path := filepath.Join(t.TempDir(), "audit")
	child := exec.Command(os.Args[0], "-test.run=^TestProcessesShareOneChain$")
	child.Env = append(os.Environ(), "POSTERN_TEST_AUDIT="+path)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	log := open(t, path)
	for range lines {
		mustRecord(t, log, SignIn{Login: "parent"})
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := len(readChain(t, path)); got != 2*lines {
		t.Errorf("got %d lines, want %d", got, 2*lines)
	}
}

func TestTornLineStaysAndTheChainGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	log := open(t, path)
	mustRecord(t, log, SignIn{Login: "a"})
	log.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	const torn = `{"time":"2026-11-24T08:00:00.0000`
	if _, err := file.WriteString(torn); err != nil {
		t.Fatal(err)
	}
	file.Close()

	log = open(t, path)
	if content, _ := os.ReadFile(path); !strings.HasSuffix(string(content), torn) {
		t.Error("a log that was only opened has changed, which a full disk would not allow")
	}
	mustRecord(t, log, SignIn{Login: "b"})
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	if len(lines) != 3 || lines[1] != torn {
		t.Fatalf("got lines %q", lines)
	}
	sum := sha256.Sum256([]byte(torn))
	var last record
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Prev != hex.EncodeToString(sum[:]) || last.Seq != 3 {
		t.Errorf("the line after the torn one is %s", lines[2])
	}
}

func TestOpenRefusesAnotherKindOfFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(path, []byte("hello\nworld\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestRecordFailsWhenTheLineCannotBeWritten(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	log, err := Open("/dev/full", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	watched := 0
	log.Watch(func(Event) { watched++ })
	if err := log.Record(SignIn{}); err == nil {
		t.Error("a line that could not be written was reported as written")
	}
	if log.Err() == nil {
		t.Error("the log says that it can be written")
	}
	if watched != 0 {
		t.Error("an event that is not in the log was shown to who counts them")
	}
}

func TestWatchSeesWhatIsRecorded(t *testing.T) {
	log, err := Open(filepath.Join(t.TempDir(), "audit"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var kinds []string
	log.Watch(func(event Event) { kinds = append(kinds, event.Kind()) })
	for _, event := range []Event{SignIn{}, GatewayStopped{}} {
		if err := log.Record(event); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(kinds, " "); got != "sign-in gateway-stopped" || log.Err() != nil {
		t.Errorf("got %q, error %v", got, log.Err())
	}
}

// TestEventsHoldNoSecretTypes looks at the catalogue by its types: everything in it is plain data that was meant to be
// shown.
func TestEventsHoldNoSecretTypes(t *testing.T) {
	for _, event := range []Event{SignIn{}, SessionBegin{}, SessionEnd{}, Message{}, TokenRefreshed{}, TokenRefused{},
		AccountEnrolled{}, EnrolmentRefused{}, PasswordIssued{}, PasswordRevoked{}, GatewayStarted{}, GatewayStopped{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(event)) {
			if strings.Contains(field.Type.String(), "secret.") {
				t.Errorf("%s has a secret in %s", event.Kind(), field.Name)
			}
			if field.Tag.Get("json") == "" && !field.Anonymous { // the fields of an embedded struct are visible themselves
				t.Errorf("%s.%s has no name in the log", event.Kind(), field.Name)
			}
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	log, err := Open(filepath.Join(b.TempDir(), "audit"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	event := SignIn{Outcome: Allowed, Session: "0123456789abcdef", Protocol: "imap", Login: "alice@contoso.example",
		Mailbox: "alice@contoso.example", Remote: "127.0.0.1:12345", Mechanism: "PLAIN", TLS: "TLS 1.3", Password: "0123456789"}
	b.ReportAllocs()
	for b.Loop() {
		if err := log.Record(event); err != nil {
			b.Fatal(err)
		}
	}
}
