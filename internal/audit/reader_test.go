package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock gives a second more each time, from nine o'clock on.
func clock() func() time.Time {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}

// trail makes a log of these events, one a second after nine o'clock.
func trail(t testing.TB, events ...Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit")
	log, err := Open(path, clock())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, event := range events {
		if err := log.Record(event); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func find(t *testing.T, path string, q Query) ([]int64, Found) {
	t.Helper()
	var numbers []int64
	found, err := Search(t.Context(), path, q, func(e Entry) bool {
		numbers = append(numbers, e.Seq)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers, found
}

func TestSearch(t *testing.T) {
	path := trail(t,
		GatewayStarted{Version: "test"},
		SignIn{Login: "alice@contoso.com", Account: "alice@contoso.com", Session: "s1", Outcome: Allowed},
		SignIn{Login: "copier-3", Session: "s2", Outcome: Refused, Reason: "wrong-password"},
		SignInsRefused{Logins: []Tally{{"alice@contoso.com", 7}}},
		Message{Login: "copier-3", Session: "s2", Outcome: Allowed, Recipients: []string{"alice@contoso.com"}},
		AccountEnrolled{Provider: "contoso", Account: "bob@contoso.com", ObjectID: "o-1"},
		SessionEnd{Login: "alice@contoso.com", Session: "s1"},
		SignIn{Login: "helpdesk", Account: "alice@contoso.com at contoso", Outcome: Allowed},
		PortalSignIn{Username: "Alice@contoso.com", Outcome: Allowed},
		LoginLocked{Login: "copier-3", By: "alice@contoso.com (oid, operator) at 10.0.4.9:50122"},
	)
	nine := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		query Query
		want  []int64
	}{
		{"everything, the newest first", Query{}, []int64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{"the last two", Query{Limit: 2}, []int64{10, 9}},
		{"a login, also in a sum, not as a recipient", Query{Who: Who{Logins: []string{"alice@contoso.com"}}}, []int64{7, 4, 2}},
		{"a kind", Query{Kinds: []string{"message", "gateway-started"}}, []int64{5, 1}},
		{"a session", Query{Session: "s2"}, []int64{5, 3}},
		{"an outcome", Query{Outcome: Refused}, []int64{3}},
		{"an account or a person", Query{Who: Who{Accounts: []string{"alice@contoso.com"}, ObjectIDs: []string{"o-1"}}}, []int64{8, 6, 2}},
		{"an account as it signs in", Query{Who: Who{Accounts: []string{"Alice@contoso.com"}}}, []int64{9}},
		{"a part of an account", Query{Who: Who{Accounts: []string{"alice"}}}, nil},
		{"an account of a provider", Query{Who: Who{Owned: []string{"alice@contoso.com at contoso"}}}, []int64{8}},
		{"a namesake elsewhere", Query{Who: Who{Owned: []string{"alice@contoso.com at fabrikam"}}}, nil},
		{"an account with its provider apart", Query{Who: Who{Owned: []string{"bob@contoso.com at contoso"}}}, []int64{6}},
		{"who did it", Query{By: "alice@contoso.com"}, []int64{10}},
		{"who did not do it", Query{By: "alice@contoso"}, nil},
		{"a time", Query{Since: nine.Add(3 * time.Second), Until: nine.Add(5 * time.Second)}, []int64{4, 3}},
		{"a kind of a login", Query{Who: Who{Logins: []string{"copier-3"}}, Kinds: []string{"sign-in"}}, []int64{3}},
		{"a part of a name", Query{Who: Who{Logins: []string{"copier"}}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, found := find(t, path, test.query)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("numbers of the entries (-want +got):\n%s", diff)
			}
			if !found.Whole {
				t.Error("the search says that it is not whole")
			}
		})
	}
}

func TestSearchReadsAsMuchAsAllowed(t *testing.T) {
	events := make([]Event, 100)
	for i := range events {
		events[i] = SignIn{Login: "alice", Detail: strings.Repeat("x", 50*i)}
	}
	path := trail(t, events...)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bytes := range []int64{1, 200, 5000, 20_000, info.Size() - 1, info.Size(), info.Size() + 1} {
		got, found := find(t, path, Query{MaxBytes: bytes})
		if want := bytes >= info.Size(); found.Whole != want {
			t.Errorf("%d bytes: whole: got %v want %v", bytes, found.Whole, want)
		}
		if found.Unreadable != 0 {
			t.Errorf("%d bytes: %d unreadable lines, want none", bytes, found.Unreadable)
		}
		if n := int64(len(got)); n > 0 && (got[0] != 100 || got[n-1] != 101-n) {
			t.Errorf("%d bytes: got %v, want the last ones", bytes, got)
		}
	}
}

func TestSearchStopsWhereItIsOldEnough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	log, err := Open(path, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for range 10 {
		mustRecord(t, log, GatewayStarted{})
		at = at.AddDate(0, 0, 1)
	}
	_, found := find(t, path, Query{Since: time.Date(2026, 11, 8, 0, 0, 0, 0, time.UTC)})
	if want := time.Date(2026, 11, 6, 9, 0, 0, 0, time.UTC); !found.Oldest.Equal(want) || !found.Whole {
		t.Errorf("it went back to %v (whole: %v), want %v", found.Oldest, found.Whole, want)
	}
}

// TestSearchPassesOverHalfLines has a line cut by a crash, one being written, and one without an end in sight.
func TestSearchPassesOverHalfLines(t *testing.T) {
	path := trail(t, GatewayStarted{}, GatewayStopped{})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := bytes.Cut(content, []byte("\n"))
	long := bytes.Repeat([]byte("x"), maxLine+3*readChunk)
	content = slices.Concat(first, []byte("\n"), first[:40], []byte("\n\n"), long, []byte("\n"), second, first[:50])
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, found := find(t, path, Query{})
	if diff := cmp.Diff([]int64{2, 1}, got); diff != "" {
		t.Errorf("numbers of the entries (-want +got):\n%s", diff)
	}
	if found.Unreadable != 3 || !found.Whole {
		t.Errorf("got %d unreadable lines (whole: %v), want 3", found.Unreadable, found.Whole)
	}
}

func TestSearchOfAnEmptyLog(t *testing.T) {
	path := trail(t)
	for _, content := range []string{"", "\n", "half"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, found := find(t, path, Query{MaxBytes: 100}); got != nil || !found.Whole {
			t.Errorf("%q: got %v, whole: %v", content, got, found.Whole)
		}
	}
	if _, err := Search(t.Context(), path+"x", Query{}, nil); err == nil {
		t.Error("a log that is not there was read")
	}
}

// TestI38AuditForTerminals has strangers write what moves cursors, changes titles and turns text around.
func TestI38AuditForTerminals(t *testing.T) {
	const evil = "a\x1b]0;title\a\u009b2J\x7f\u202eb \u200b\U000e0041 \"=\n"
	path := trail(t, SignIn{Login: evil, Client: "näme 日本", Outcome: Refused})
	_, err := Search(t.Context(), path, Query{}, func(e Entry) bool {
		var back SignIn
		if err := json.Unmarshal(e.JSON(), &back); err != nil || back.Login != evil {
			t.Errorf("the JSON means %q (%v), want %q", back.Login, err, evil)
		}
		for _, text := range []string{string(e.JSON()), e.Text()} {
			for _, r := range text {
				if r < ' ' || r > '~' && !strings.ContainsRune("näme日本", r) {
					t.Errorf("%q has the character %U", text, r)
				}
			}
		}
		want := `sign-in           outcome=refused session="" protocol="" login="a\x1b]0;title\a\u009b2J\x7f\u202eb \u200b\U000e0041 \"=\n" remote="" mechanism="" client="näme 日本"`
		if diff := cmp.Diff(want, e.Text()); diff != "" {
			t.Errorf("text (-want +got):\n%s", diff)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	path := trail(t, GatewayStarted{}, LoginLocked{Login: "a"}, LoginLocked{Login: "b"}, GatewayStopped{})
	var got []int64
	each := func(e Entry) error {
		got = append(got, e.Seq)
		return nil
	}
	if err := Tail(t.Context(), path, 2, Query{Kinds: []string{"login-locked", "gateway-started"}}, false, each); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{2, 3}, got); diff != "" {
		t.Errorf("numbers of the entries (-want +got):\n%s", diff)
	}
}

// TestTailFollows writes lines, one of them in two halves, and puts another file into the log's place.
func TestTailFollows(t *testing.T) {
	path := trail(t, GatewayStarted{})
	log := open(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- Tail(ctx, path, 10, Query{}, true, func(e Entry) error {
			got <- fmt.Sprint(e.Seq, " ", e.Kind)
			return nil
		})
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case entry := <-got:
			if entry != want {
				t.Fatalf("got %q want %q", entry, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q does not come", want)
		}
	}
	expect("1 gateway-started")
	mustRecord(t, log, LoginLocked{Login: "a", Reason: strings.Repeat("long ", readChunk)})
	expect("2 login-locked")
	write(t, path, `{"time":"2026-11-24T09:00:00Z","seq":3,"ki`)
	write(t, path, `nd":"half"}`+"\n")
	expect("3 half")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	mustRecord(t, open(t, path), GatewayStopped{})
	expect("1 gateway-stopped")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the end is an error: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// FuzzSearch reads files that hold anything. What is found has to be lines of the file.
func FuzzSearch(f *testing.F) {
	content, err := os.ReadFile(trail(f, GatewayStarted{}, SignIn{Login: "alice"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content, int64(0))
	f.Add(content[:len(content)-10], int64(100))
	f.Add([]byte("\n\n{\"time\":\"2026-11-24T09:00:00Z\",\"seq\":1,\"kind\":\"\xff\"}\n"), int64(0))
	f.Fuzz(func(t *testing.T, content []byte, maxBytes int64) {
		path := filepath.Join(t.TempDir(), "audit")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(content, []byte("\n"))
		_, err := Search(t.Context(), path, Query{MaxBytes: maxBytes}, func(e Entry) bool {
			if !slices.ContainsFunc(lines, func(line []byte) bool { return bytes.Equal(line, e.Line) }) {
				t.Errorf("%q is no line of %q", e.Line, content)
			}
			if e.Text() == "" && len(e.Line) > 200 || bytes.ContainsAny(e.JSON(), "\x1b\x7f") || strings.ContainsAny(e.Text(), "\x1b\x7f\n") {
				t.Errorf("%q shows as %q", e.Line, e.Text())
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkSearch looks for a login that is not in a log of a day.
func BenchmarkSearch(b *testing.B) {
	path := trail(b, slices.Repeat([]Event{SignIn{Login: "copier-3", Session: "0123456789abcdef", Mailbox: "scans@contoso.com",
		Account: "application of contoso", Remote: "10.0.8.31:49152", Mechanism: "LOGIN", TLS: "TLS 1.2", Client: "copier"}}, 20_000)...)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		if _, err := Search(b.Context(), path, Query{Who: Who{Logins: []string{"alice"}}}, func(Entry) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}
