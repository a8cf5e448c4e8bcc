package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/audit"
)

// hostile is what strangers write to be more than text.
const hostile = "=cmd|'/c calc'!A1\r\nCEF:0|x|y\x1b[2J\u202e\"\\|=,;"

// exported gives events in a form, by way of a log.
func exported(t testing.TB, format string, events ...audit.Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, event := range events {
		if err := log.Record(event); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, format, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Scan(t.Context(), path, audit.Query{}, w.Write); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func attempt(text string) audit.SignIn {
	return audit.SignIn{Outcome: audit.Refused, Reason: "wrong-password", Session: "s1", Protocol: "imap", Login: text, Remote: "10.0.0.7:4711", Mechanism: "PLAIN", Client: text}
}

// TestI38ExportsKeepTextText: what strangers wrote begins no formula, no field and no line, in any form.
func TestI38ExportsKeepTextText(t *testing.T) {
	for _, format := range Formats {
		out := exported(t, format, attempt(hostile), attempt("a"))
		lines := strings.Count(out, "\n")
		if format == "csv" {
			rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
			if err != nil || len(rows) != 3 {
				t.Fatalf("csv: %d rows, %v", len(rows), err)
			}
			for _, cell := range rows[1] {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
					t.Errorf("csv: a cell begins a formula: %q", cell)
				}
			}
			continue
		}
		if lines != 2 {
			t.Errorf("%s: two events are %d lines: %q", format, lines, out)
		}
		if format != "jsonl" && strings.ContainsAny(out, "\x1b\u202e\r") {
			t.Errorf("%s: %q has characters that do not show", format, out)
		}
	}
	if out := exported(t, "cef", attempt(hostile)); strings.Count(strings.ReplaceAll(out, `\|`, ""), "|") < 7 || !strings.Contains(out, `duser=\=cmd`) {
		t.Errorf("cef: got %q", out)
	}
}

func TestOCSFClasses(t *testing.T) {
	for _, test := range []struct {
		event                 audit.Event
		uid, activity, status int
	}{
		{attempt("alice"), 3002, 1, 2},
		{audit.SessionEnd{Login: "alice"}, 3002, 2, 1},
		{audit.LoginLocked{Login: "alice", By: "root"}, 3001, 9, 1},
		{audit.PasswordIssued{Login: "alice"}, 3001, 3, 1},
		{audit.Message{Outcome: audit.Allowed, Sender: "a@x", Recipients: []string{"b@y"}}, 4009, 1, 1},
		{audit.MessageBounced{Sender: "a@x"}, 4009, 1, 2},
		{audit.GatewayStarted{}, 6002, 3, 1},
		{audit.TokenRefreshed{}, 0, 99, 1},
	} {
		var got event
		if err := json.Unmarshal([]byte(exported(t, "ocsf", test.event)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Class != test.uid || got.Activity != test.activity || got.Type != test.uid*100+test.activity || got.Category != test.uid/1000 || got.Status != test.status {
			t.Errorf("%s: got %+v", test.event.Kind(), got)
		}
		if got.Category == 3 && (got.User == nil || got.User.Name == "") || got.Class == 4009 && (got.Email == nil || got.Way == 0) || got.Metadata.Version == "" || got.Time == 0 {
			t.Errorf("%s: what the class demands is missing: %+v", test.event.Kind(), got)
		}
	}
}

// TestEveryKindIsExported in every form.
func TestEveryKindIsExported(t *testing.T) {
	all := audit.Catalogue()
	for _, format := range Formats {
		if got, want := strings.Count(exported(t, format, all...), "\n"), len(all); got < want {
			t.Errorf("%s: %d lines of %d events", format, got, want)
		}
	}
	known := map[string]bool{}
	for _, event := range all {
		known[event.Kind()] = true
	}
	for kind := range classes {
		if !known[kind] {
			t.Errorf("there is no kind %s", kind)
		}
	}
}

func FuzzExport(f *testing.F) {
	f.Add(hostile)
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{"cef", "ocsf", "jsonl"} {
			if out := exported(t, format, attempt(text)); strings.Count(out, "\n") != 1 {
				t.Errorf("%s: one event is %q", format, out)
			}
		}
	})
}
