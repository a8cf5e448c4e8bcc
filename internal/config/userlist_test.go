package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameApart fails when a file whose users can be read apart comes out otherwise than read as a whole, and reports whether
// they can.
func sameApart(t *testing.T, content string) bool {
	t.Helper()
	got, gotDecoder, ok := decodeUsersApart("postern.yaml", []byte(content))
	if !ok {
		return false
	}
	want, wantDecoder := decodeWhole("postern.yaml", []byte(content))
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Fatalf("%s\nread apart it is another configuration (-want +got):\n%s", content, diff)
	}
	places := cmp.AllowUnexported(place{})
	if diff := cmp.Diff(wantDecoder.positions, gotDecoder.positions, places); diff != "" {
		t.Fatalf("%s\nread apart the settings stand elsewhere (-want +got):\n%s", content, diff)
	}
	for _, problems := range []Problems{wantDecoder.problems, gotDecoder.problems} {
		slices.SortStableFunc(problems, byPlace)
	}
	if diff := cmp.Diff(wantDecoder.problems, gotDecoder.problems); diff != "" {
		t.Fatalf("%s\nread apart other things are wrong (-want +got):\n%s", content, diff)
	}
	return true
}

// userLists are lists of users; those that can be read apart, and those that cannot.
var userLists = []struct {
	text  string
	apart bool
}{
	{"users:\n  - {login: a@b.example, provider: p}\n  - {login: c, mailbox: d@b.example}\n", true},
	{"users:\n- {login: a}\n- {login: b}\ndomain: later.example\n", true},
	{"users:\n  - login: a\n    mailbox: b@c.example\n\n  # a word about c\n  - login: c\n    policy: p\n", true},
	{"users: \n\n  -   {login: \"a b\", match: \"*@b.example\" }  \n", true},
	{"users:\n  - {login: a, aliases: [b, c], override: {protocols: [imap]}} # why\n  - {login: d}\n", true},
	{"users:\n  - login: a\n    aliases:\n      - b\n      - c\n    override:\n      limits: {connections: 3}\n  - {login: d}\n", true},
	{"users:\n  - {login: a, login: b, unknown: c}\n  - {login: null, mailbox: yes, account: 12}\n  - a\n", true},
	{"users:\n  - {login: 'it''s', mailbox: \"\\u0041\"}\n  - {login: a#b, mailbox: x:y}\n", true},
	{"users:\n  - login: a\n    mailbox: >\n      b@c\n      .example\n  - login: é\n", true},
	{"users:\n  - login: a", true},
	{"users: [{login: a}]\n", false},
	{"users:\n  - &first {login: a}\n  - *first\n", false},
	{"users:\n  - {login: a,\nmailbox: b}\n", false},
	{"users:\n  - {login: a\n  - {login: b}\n", false},
	{"users:\n    - {login: a}\n  - {login: b}\n", false},
	{"users:\n  - {login: a}\nusers:\n  - {login: b}\n", false},
	{"domain: \"x\nusers:\n- {login: a}\n\"\n", false},
	{"users:\r\n  - {login: a}\r\n", false},
	{"users:\n  -\n  - {login: a}\n", false},
	{"users:\n  - !tag\ndomain: x\n", false},
	{"users:\n", false},
}

// TestUsersReadApart: the list of users means the same whether it is read apart or with the rest of the file.
func TestUsersReadApart(t *testing.T) {
	for _, list := range userLists {
		if got := sameApart(t, list.text); got != list.apart {
			t.Errorf("%q: read apart %v, want %v", list.text, got, list.apart)
		}
		sameApart(t, "domain: a.example\npolicies: {p: {protocols: [imap]}}\n"+list.text+"\nstore: sqlite:x\n")
	}
	if !sameApart(t, crowded(t, 3*pieceSize)) {
		t.Error("a large list was not read apart")
	}
	if !sameApart(t, strings.ReplaceAll(crowded(t, 3*pieceSize), "}\n", "} # a device\n")) {
		t.Error("a large list with comments was not read apart")
	}
	galleries, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range galleries {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sameApart(t, string(content))
	}
}

func FuzzUsersReadApart(f *testing.F) {
	for _, list := range userLists {
		f.Add(list.text)
	}
	f.Fuzz(func(t *testing.T, text string) { sameApart(t, text) })
}

// crowded gives the content of a file with so many users.
func crowded(tb testing.TB, n int) string {
	tb.Helper()
	content, err := os.ReadFile("testdata/good/limits.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	head, _, _ := strings.Cut(string(content), "users:")
	var b strings.Builder
	b.WriteString(head + "users:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {login: device-%d, mailbox: device-%d@contoso.example, provider: contoso, grant: delegated, policy: person}\n", i, i)
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			file := filepath.Join(gallery(b), "postern.yaml")
			if err := os.WriteFile(file, []byte(crowded(b, n)), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
