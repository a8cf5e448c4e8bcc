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

// syncEach is how many messages each side has before the first sync; together they are the 500 of the issue.
const syncEach = 250

// tuid is the line by which mbsync finds a message again that it has stored. It is mbsync's own and no part of what
// was synced.
var tuid = regexp.MustCompile(`(?m)^X-TUID: [^\n]*\n`)

// copyOf is what both sides must agree on: a message's bytes and flags.
type copyOf struct {
	Text   string // with lines that end in LF and without mbsync's own line
	Seen   bool
	Marked bool
}

// syncedPair is a mailbox and a maildir that mbsync keeps alike.
type syncedPair struct {
	gateway *gateway
	user    login
	home    string
	mbsync  string
	folder  string
}

// TestMbsyncKeepsBothSidesAlike syncs 500 messages, half of them from each side; then new messages and flags both ways.
func TestMbsyncKeepsBothSidesAlike(t *testing.T) {
	mbsync := need(t, "mbsync")
	g := startDemo(t)
	pair := &syncedPair{gateway: g, user: g.person(t), home: t.TempDir(), mbsync: mbsync, folder: "Synced"}
	client := g.open(t, pair.user)
	if err := client.Create(pair.folder, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range syncEach {
		put(t, client, pair.folder, pair.message("upstream", i))
		pair.putLocal(t, "local", i)
	}
	pair.sync(t)
	pair.alike(t, 2*syncEach)

	put(t, client, pair.folder, pair.message("later upstream", 0))
	pair.putLocal(t, "later local", 0)
	pair.markRemote(t, "upstream 7")
	pair.markLocal(t, "local 9")
	pair.sync(t)
	both := pair.alike(t, 2*syncEach+2)
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

func (p *syncedPair) maildir(parts ...string) string {
	return filepath.Join(append([]string{p.home, "mail"}, parts...)...)
}

// putLocal stores a message in the maildir, unread.
func (p *syncedPair) putLocal(t *testing.T, side string, i int) {
	t.Helper()
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(p.maildir(part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("%d.%s.client", i, strings.ReplaceAll(side, " ", "-"))
	write(t, p.maildir("new"), name, strings.ReplaceAll(p.message(side, i), "\r\n", "\n"))
}

// sync runs mbsync once, both ways.
func (p *syncedPair) sync(t *testing.T) {
	t.Helper()
	config := write(t, p.home, "mbsyncrc", fmt.Sprintf(`IMAPAccount postern
Host localhost
Port %s
User %q
Pass %q
SSLType IMAPS
SystemCertificates no
CertificateFile %q
AuthMechs LOGIN

IMAPStore upstream
Account postern

MaildirStore local
Inbox %q
SubFolders Verbatim

Channel all
Far :upstream:%s
Near :local:INBOX
Sync All
Create Near
SyncState %q
`, port(t, p.gateway.IMAPS), p.user.Login, p.user.Password, p.gateway.CAFile, p.maildir(), p.folder, p.home+"/state-"))
	command{path: p.mbsync, args: []string{"--config", config, "all"}, home: p.home}.must(t)
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
		if err := os.Rename(path, p.maildir("cur", name+":2,FS")); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no message of subject %q in the maildir", subject)
}

func (p *syncedPair) localFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(p.maildir("[cn]*", "*"))
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
		all[subject] = copyOf{Text: tuid.ReplaceAllString(string(text), ""),
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
		all[subject] = copyOf{Text: tuid.ReplaceAllString(strings.ReplaceAll(string(m.raw), "\r\n", "\n"), ""),
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
