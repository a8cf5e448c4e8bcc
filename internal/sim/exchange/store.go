package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// folders are what every mailbox begins with.
var folders = []string{"INBOX", "Archive", "Deleted Items", "Drafts", "Junk Email", "Outbox", "Sent Items"}

// flags are those that Exchange keeps, in the order in which it lists them.
var flags = []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, `$MDNSent`}

// flagSet is a set of flags: bit i is flags[i].
type flagSet uint8

// newFlagSet takes the flags that Exchange keeps; others are ignored.
func newFlagSet(names []string) flagSet {
	var set flagSet
	for i, flag := range flags {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, flag) }) {
			set |= 1 << i
		}
	}
	return set
}

func (f flagSet) String() string {
	var names []string
	for i, flag := range flags {
		if f&(1<<i) != 0 {
			names = append(names, flag)
		}
	}
	return "(" + strings.Join(names, " ") + ")"
}

const (
	seenFlag    flagSet = 1 << 0
	deletedFlag flagSet = 1 << 3
)

// message is a stored message. Its content never changes; its flags do, under the store's lock.
type message struct {
	uid     uint32
	content []byte
	date    time.Time // INTERNALDATE
	flags   flagSet
	changed uint64 // when its flags last changed, in the store's count of changes
}

// folder is a folder of a mailbox.
type folder struct {
	validity uint32
	next     uint32 // the next UID
	messages []*message
}

// find gives the index of a message, or where it would be.
func (f *folder) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(f.messages, uid, func(m *message, uid uint32) int { return int(int64(m.uid) - int64(uid)) })
}

// mailbox is one mailbox's folders by name.
type mailbox struct {
	folders    map[string]*folder
	subscribed map[string]bool
}

// store holds all mail. One lock guards everything but the content of messages.
type store struct {
	mu        sync.Mutex
	mailboxes map[string]*mailbox // address in lower case → mailbox
	outside   []Outside
	changes   uint64
	validity  uint32
	news      chan struct{} // closed at the next change
}

// Outside is a message for somebody who is not in the tenant.
type Outside struct {
	Sender, Recipient string
	Content           []byte
}

func newStore() *store {
	return &store{mailboxes: make(map[string]*mailbox), news: make(chan struct{}), validity: 14}
}

// lock takes the lock; the function that it gives returns it.
func (s *store) lock() func() {
	s.mu.Lock()
	return s.mu.Unlock
}

// changedNow counts a change and wakes those who wait for one. The lock is held.
func (s *store) changedNow() uint64 {
	s.changes++
	close(s.news)
	s.news = make(chan struct{})
	return s.changes
}

// nextNews gives a channel that is closed at the next change.
func (s *store) nextNews() <-chan struct{} {
	defer s.lock()()
	return s.news
}

// mailbox gives a mailbox, which begins to exist when it is first asked for. The lock is held.
func (s *store) mailbox(address string) *mailbox {
	address = strings.ToLower(address)
	m := s.mailboxes[address]
	if m == nil {
		m = &mailbox{folders: make(map[string]*folder), subscribed: make(map[string]bool)}
		s.mailboxes[address] = m
		for _, name := range folders {
			s.create(m, name)
			m.subscribed[name] = true
		}
	}
	return m
}

// create makes a folder. The lock is held.
func (s *store) create(m *mailbox, name string) {
	s.validity++
	m.folders[name] = &folder{validity: s.validity, next: 1}
}

// folder finds a folder; INBOX in any case. The lock is held.
func (m *mailbox) folder(name string) *folder { return m.folders[canonicalFolder(name)] }

func canonicalFolder(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// names gives the folders' names in order. The lock is held.
func (m *mailbox) names() []string { return slices.Sorted(maps.Keys(m.folders)) }

// append stores a message in a folder. The lock is held.
func (s *store) append(f *folder, content []byte, set flagSet, date time.Time) *message {
	m := &message{uid: f.next, content: content, date: date, flags: set}
	f.next++
	f.messages = append(f.messages, m)
	m.changed = s.changedNow()
	return m
}

// Deliver puts a message into a folder of a mailbox.
func (s *Server) Deliver(address, folder string, content []byte) error {
	defer s.store.lock()()
	f := s.store.mailbox(address).folder(folder)
	if f == nil {
		return fmt.Errorf("mailbox %s has no folder %q", address, folder)
	}
	s.store.append(f, content, 0, time.Now())
	return nil
}

// Messages gives the messages of a folder, the oldest first.
func (s *Server) Messages(address, folder string) [][]byte {
	defer s.store.lock()()
	var contents [][]byte
	if f := s.store.mailbox(address).folder(folder); f != nil {
		for _, m := range f.messages {
			contents = append(contents, m.content)
		}
	}
	return contents
}

// Outside gives what was sent to people who are not in the tenant.
func (s *Server) Outside() []Outside {
	defer s.store.lock()()
	return slices.Clone(s.store.outside)
}
