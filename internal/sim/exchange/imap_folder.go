package exchange

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2/imapserver"
)

// selection is a selected folder as the client knows it: which message has which number changes only when the client
// is told so.
type selection struct {
	folder   *folder
	readOnly bool
	view     []uint32 // sequence number - 1 → UID
	// How far the client has been told of changes, in the store's count: of all, and of all but removed messages.
	seen, flagsSeen uint64
}

// inbox gives the session's mailbox. The store's lock is held.
func (i *imapSession) box() *mailbox { return i.server.store.mailbox(i.mailbox) }

// quote writes a folder's name: an atom where it can be one.
func quote(name string) string {
	if name != "" && !strings.ContainsAny(name, ` (){%*"\]`) {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// noFolder answers for a folder that does not exist.
func (i *imapSession) noFolder(c *command, name string) error {
	return i.line("%s NO %s doesn't exist.", c.tag, name)
}

// selectFolder answers SELECT and EXAMINE, in Exchange's order and words (reference B.2).
func (i *imapSession) selectFolder(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	defer i.server.store.lock()()
	i.selected = nil
	f := i.box().folder(name)
	if f == nil {
		return i.noFolder(c, name)
	}
	s := &selection{folder: f, readOnly: c.name == "EXAMINE", seen: i.server.store.changes, flagsSeen: i.server.store.changes}
	unseen := 0
	for n, m := range f.messages {
		s.view = append(s.view, m.uid)
		if unseen == 0 && m.flags&seenFlag == 0 {
			unseen = n + 1
		}
	}
	i.selected = s
	all, permanent, mode := flagSet(1<<len(flags)-1), flagSet(0), "READ-ONLY"
	if !s.readOnly {
		permanent, mode = all, "READ-WRITE"
	}
	lines := []string{fmt.Sprintf("* %d EXISTS", len(s.view)), "* 0 RECENT", "* FLAGS " + all.String(),
		"* OK [PERMANENTFLAGS " + permanent.String() + "] Permanent flags"}
	if unseen > 0 {
		lines = append(lines, fmt.Sprintf("* OK [UNSEEN %d] Is the first unseen message", unseen))
	}
	lines = append(lines, fmt.Sprintf("* OK [UIDVALIDITY %d] UIDVALIDITY value", f.validity),
		fmt.Sprintf("* OK [UIDNEXT %d] The next unique identifier value", f.next))
	return i.line("%s\r\n%s OK [%s] %s completed.", strings.Join(lines, "\r\n"), c.tag, mode, c.name)
}

// status answers STATUS.
func (i *imapSession) status(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	if err := c.space(); err != nil {
		return err
	}
	var items []string
	if err := c.list(func() error {
		item, ok := c.word()
		items = append(items, strings.ToUpper(item))
		return c.demand(ok)
	}); err != nil {
		return err
	}
	values, found, err := i.statusValues(name, items)
	switch {
	case err != nil:
		return err
	case !found:
		return i.noFolder(c, name)
	}
	if err := i.line("* STATUS %s (%s)", quote(canonicalFolder(name)), strings.Join(values, " ")); err != nil {
		return err
	}
	return i.completed(c)
}

func (i *imapSession) statusValues(name string, items []string) (values []string, found bool, err error) {
	defer i.server.store.lock()()
	f := i.box().folder(name)
	if f == nil {
		return nil, false, nil
	}
	for _, item := range items {
		n := 0
		switch item {
		case "MESSAGES":
			n = len(f.messages)
		case "RECENT":
		case "UIDNEXT":
			n = int(f.next)
		case "UIDVALIDITY":
			n = int(f.validity)
		case "UNSEEN":
			for _, m := range f.messages {
				if m.flags&seenFlag == 0 {
					n++
				}
			}
		default:
			return nil, false, errArgument
		}
		values = append(values, fmt.Sprintf("%s %d", item, n))
	}
	return values, true, nil
}

// list answers LIST and LSUB.
func (i *imapSession) list(c *command) error {
	reference, err := c.argument()
	if err != nil {
		return err
	}
	if err := c.space(); err != nil {
		return err
	}
	pattern, quoted, err := c.string()
	if err == nil && !quoted {
		pattern, err = c.pattern(`(){"\`)
	}
	if err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	if pattern == "" {
		if err := i.line(`* %s (\Noselect) "/" ""`, c.name); err != nil {
			return err
		}
		return i.completed(c)
	}
	if err := i.listMatching(c, reference, pattern); err != nil {
		return err
	}
	return i.completed(c)
}

func (i *imapSession) listMatching(c *command, reference, pattern string) error {
	defer i.server.store.lock()()
	m := i.box()
	names := m.names()
	for _, name := range names {
		if c.name == "LSUB" && !m.subscribed[name] || !imapserver.MatchList(name, '/', reference, pattern) {
			continue
		}
		attribute := `\HasNoChildren`
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+"/") }) {
			attribute = `\HasChildren`
		}
		if err := i.line(`* %s (%s) "/" %s`, c.name, attribute, quote(name)); err != nil {
			return err
		}
	}
	return nil
}

// create answers CREATE; a missing parent is made as well (RFC 3501 section 6.3.3).
func (i *imapSession) create(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	defer i.server.store.lock()()
	m := i.box()
	name = strings.TrimSuffix(name, "/")
	if name == "" || m.folder(name) != nil {
		return i.line("%s NO Mailbox already exists.", c.tag) // words unverified
	}
	for at := range len(name) {
		if name[at] == '/' && m.folder(name[:at]) == nil {
			i.server.store.create(m, name[:at])
		}
	}
	i.server.store.create(m, name)
	return i.line("%s OK CREATE completed.", c.tag)
}

// delete answers DELETE.
func (i *imapSession) delete(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	defer i.server.store.lock()()
	m := i.box()
	switch {
	case m.folder(name) == nil:
		return i.noFolder(c, name)
	case slices.Contains(folders, canonicalFolder(name)):
		return i.line("%s NO Operation is not allowed.", c.tag) // words unverified
	}
	delete(m.folders, name)
	delete(m.subscribed, name)
	return i.line("%s OK DELETE completed.", c.tag)
}

// rename answers RENAME, with all that is below the folder; INBOX leaves its place behind (RFC 3501 section 6.3.5).
func (i *imapSession) rename(c *command) error {
	from, err := c.argument()
	if err != nil {
		return err
	}
	to, err := c.argument()
	if err != nil {
		return err
	}
	defer i.server.store.lock()()
	m := i.box()
	from = canonicalFolder(from)
	switch {
	case m.folder(from) == nil:
		return i.noFolder(c, from)
	case m.folder(to) != nil:
		return i.line("%s NO Mailbox already exists.", c.tag) // words unverified
	}
	for _, name := range m.names() {
		if name == from || strings.HasPrefix(name, from+"/") {
			m.folders[to+strings.TrimPrefix(name, from)] = m.folders[name]
			delete(m.folders, name)
		}
	}
	if from == "INBOX" {
		i.server.store.create(m, "INBOX")
	}
	return i.line("%s OK RENAME completed.", c.tag)
}

// subscribe answers SUBSCRIBE and UNSUBSCRIBE.
func (i *imapSession) subscribe(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	defer i.server.store.lock()()
	m := i.box()
	if c.name == "SUBSCRIBE" {
		if m.folder(name) == nil {
			return i.noFolder(c, name)
		}
		m.subscribed[canonicalFolder(name)] = true
	} else {
		delete(m.subscribed, canonicalFolder(name))
	}
	return i.line("%s OK %s completed.", c.tag, c.name)
}

// tellNews tells the client what has changed in the selected folder. Numbers may change only where the protocol allows
// it (RFC 3501 section 7.4.1).
func (i *imapSession) tellNews(numbersMayChange bool) error {
	s := i.selected
	if s == nil {
		return nil
	}
	defer i.server.store.lock()()
	now := i.server.store.changes
	if s.seen == now || s.flagsSeen == now && !numbersMayChange {
		return nil
	}
	if numbersMayChange {
		for n := len(s.view) - 1; n >= 0; n-- {
			if _, there := s.folder.find(s.view[n]); !there {
				s.view = slices.Delete(s.view, n, n+1)
				if err := i.line("* %d EXPUNGE", n+1); err != nil {
					return err
				}
			}
		}
	}
	if err := i.tellFlags(s); err != nil {
		return err
	}
	before := len(s.view)
	last := uint32(0)
	if before > 0 {
		last = s.view[before-1]
	}
	from, found := s.folder.find(last)
	if found {
		from++
	}
	for _, m := range s.folder.messages[from:] {
		s.view = append(s.view, m.uid)
	}
	if len(s.view) > before {
		if err := i.line("* %d EXISTS\r\n* 0 RECENT", len(s.view)); err != nil {
			return err
		}
	}
	s.flagsSeen = now
	if numbersMayChange {
		s.seen = now
	}
	return nil
}

// tellFlags tells of flags that have changed since the client was last told. The store's lock is held.
func (i *imapSession) tellFlags(s *selection) error {
	for n, uid := range s.view {
		at, there := s.folder.find(uid)
		if !there || s.folder.messages[at].changed <= s.flagsSeen {
			continue
		}
		if err := i.line("* %d FETCH (FLAGS %s)", n+1, s.folder.messages[at].flags); err != nil {
			return err
		}
	}
	return nil
}
