package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"
)

// copyOf is what both sides must agree on: a message's bytes and flags.
type copyOf struct {
	Text   string // with lines that end in LF and without a program's own lines
	Seen   bool
	Marked bool
}

// ownLine is a line by which mbsync or OfflineIMAP finds a message again that it has stored. It is the program's own and
// no part of what was synced.
var ownLine = regexp.MustCompile(`(?m)^X-(TUID|OfflineIMAP): [^\n]*\n`)

// syncedPair is a folder of a mailbox and a maildir that a program keeps alike.
type syncedPair struct {
	gateway *gateway
	user    login
	home    string // the program's
	maildir string // below home
	folder  string
	run     func(*testing.T) // has the program sync both ways once
}

// keepAlike syncs messages of which each side has some, then new messages and flags both ways.
func (p *syncedPair) keepAlike(t *testing.T, each int) {
	t.Helper()
	client := p.gateway.open(t, p.user)
	if err := client.Create(p.folder, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range each {
		put(t, client, p.folder, p.message("upstream", i))
		p.putLocal(t, "local", i)
	}
	p.run(t)
	p.alike(t, 2*each)

	put(t, client, p.folder, p.message("later upstream", 0))
	p.putLocal(t, "later local", 0)
	p.markRemote(t, "upstream 7")
	p.markLocal(t, "local 9")
	p.run(t)
	both := p.alike(t, 2*each+2)
	for _, subject := range []string{"upstream 7", "local 9"} {
		if !both[subject].Seen || !both[subject].Marked {
			t.Errorf("message %q: got flags %+v, want it seen and marked on both sides", subject, both[subject])
		}
	}
	if got := both["local 10"]; got.Seen || got.Marked {
		t.Errorf("message %q: got flags %+v, want none", "local 10", got)
	}
}

// message writes a message whose size differs from its neighbours'.
func (p *syncedPair) message(side string, i int) string {
	subject := fmt.Sprintf("%s %d", side, i)
	return letter("bob@fabrikam.example", p.user.Mailbox, subject, strings.Repeat("line of "+subject+"\r\n", i%40)+trickyBody)
}

// path gives a path in the maildir.
func (p *syncedPair) path(parts ...string) string {
	return filepath.Join(append([]string{p.home, p.maildir}, parts...)...)
}

// putLocal stores a message in the maildir, unread.
func (p *syncedPair) putLocal(t *testing.T, side string, i int) {
	t.Helper()
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(p.path(part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("%d.%s.client", i, strings.ReplaceAll(side, " ", "-"))
	write(t, p.path("new"), name, strings.ReplaceAll(p.message(side, i), "\r\n", "\n"))
}

// markRemote gives a message in the mailbox the flags \Seen and \Flagged.
func (p *syncedPair) markRemote(t *testing.T, subject string) {
	t.Helper()
	client := p.gateway.open(t, p.user)
	number := arrived(t, client, p.folder, subject).number
	if _, err := client.Select(p.folder, nil).Wait(); err != nil { // for writing
		t.Fatal(err)
	}
	flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged}}
	if err := client.Store(imap.SeqSetNum(number), flags, nil).Close(); err != nil {
		t.Fatal(err)
	}
}

// markLocal gives a message in the maildir the flags S and F, by renaming it as maildir readers do.
func (p *syncedPair) markLocal(t *testing.T, subject string) {
	t.Helper()
	for _, path := range p.localFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nSubject: "+subject+"\n") {
			continue
		}
		name, _, _ := strings.Cut(filepath.Base(path), ":2,")
		if err := os.Rename(path, p.path("cur", name+":2,FS")); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no message of subject %q in the maildir", subject)
}

func (p *syncedPair) localFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(p.path("[cn]*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// local gives the messages of the maildir by subject.
func (p *syncedPair) local(t *testing.T) map[string]copyOf {
	t.Helper()
	all := map[string]copyOf{}
	for _, path := range p.localFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		subject := stored{raw: text}.header(t, "Subject")
		if _, twice := all[subject]; twice {
			t.Errorf("message %q is in the maildir twice", subject)
		}
		all[subject] = copyOf{Text: ownLine.ReplaceAllString(string(text), ""),
			Seen: strings.Contains(flags, "S"), Marked: strings.Contains(flags, "F")}
	}
	return all
}

// remote gives the messages of the mailbox by subject.
func (p *syncedPair) remote(t *testing.T) map[string]copyOf {
	t.Helper()
	all := map[string]copyOf{}
	for _, m := range messages(t, p.gateway.open(t, p.user), p.folder) {
		subject := m.header(t, "Subject")
		if _, twice := all[subject]; twice {
			t.Errorf("message %q is in the mailbox twice", subject)
		}
		all[subject] = copyOf{Text: ownLine.ReplaceAllString(strings.ReplaceAll(string(m.raw), "\r\n", "\n"), ""),
			Seen: slices.Contains(m.flags, imap.FlagSeen), Marked: slices.Contains(m.flags, imap.FlagFlagged)}
	}
	return all
}

// alike checks that both sides have the same messages, and that each has the bytes it was made with.
func (p *syncedPair) alike(t *testing.T, count int) map[string]copyOf {
	t.Helper()
	local, remote := p.local(t), p.remote(t)
	if len(local) != count || len(remote) != count {
		t.Errorf("got %d messages in the maildir and %d in the mailbox, want %d", len(local), len(remote), count)
	}
	if diff := cmp.Diff(local, remote); diff != "" {
		t.Fatalf("maildir (-) and mailbox (+) differ:\n%s", diff)
	}
	for i, subject := range slices.Sorted(maps.Keys(local)) {
		side, number, _ := strings.Cut(subject, " ")
		if side == "later" {
			continue // made like the others, and compared above
		}
		var n int
		if _, err := fmt.Sscan(number, &n); err != nil {
			t.Fatalf("message %d has subject %q", i, subject)
		}
		if want := strings.ReplaceAll(p.message(side, n), "\r\n", "\n"); local[subject].Text != want {
			t.Fatalf("message %q: got\n%q\nwant\n%q", subject, local[subject].Text, want)
		}
	}
	return remote
}
