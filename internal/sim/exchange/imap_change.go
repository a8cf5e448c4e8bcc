package exchange

import (
	"fmt"
	"slices"
	"strings"
)

// uid answers the commands that work by UID.
func (i *imapSession) uid(c *command) error {
	if err := c.space(); err != nil {
		return err
	}
	name, _ := c.word()
	c.name = strings.ToUpper(name)
	switch c.name {
	case "FETCH":
		return i.fetchBy(c, true)
	case "STORE":
		return i.storeBy(c, true)
	case "COPY", "MOVE":
		return i.copyBy(c, true)
	case "SEARCH":
		return i.searchBy(c, true)
	case "EXPUNGE":
		numbers, err := c.set()
		if err != nil {
			return err
		}
		return i.expungeMatching(c, func(uid uint32, largest uint32) bool { return numbers.contains(uid, largest) })
	}
	return errArgument
}

// check answers CHECK.
func (i *imapSession) check(c *command) error { return i.completed(c) }

// closeFolder answers CLOSE, which expunges in silence, and UNSELECT, which does not.
func (i *imapSession) closeFolder(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	if c.name == "CLOSE" && !i.selected.readOnly {
		i.remove(func(m *message) bool { return m.flags&deletedFlag != 0 })
	}
	i.selected = nil
	return i.completed(c)
}

// remove takes messages out of the selected folder.
func (i *imapSession) remove(gone func(*message) bool) {
	defer i.server.store.lock()()
	f := i.selected.folder
	before := len(f.messages)
	f.messages = slices.DeleteFunc(f.messages, gone)
	if len(f.messages) < before {
		i.server.store.changedNow()
	}
}

// readOnly answers for a command that changes a folder selected by EXAMINE.
func (i *imapSession) readOnly(c *command) error {
	return i.line("%s NO Command is not allowed: the folder is read-only.", c.tag) // words unverified
}

// expunge answers EXPUNGE.
func (i *imapSession) expunge(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	return i.expungeMatching(c, func(uint32, uint32) bool { return true })
}

func (i *imapSession) expungeMatching(c *command, match func(uid, largest uint32) bool) error {
	if i.selected.readOnly {
		return i.readOnly(c)
	}
	largest := uint32(0)
	if n := len(i.selected.view); n > 0 {
		largest = i.selected.view[n-1]
	}
	i.remove(func(m *message) bool { return m.flags&deletedFlag != 0 && match(m.uid, largest) })
	return i.completed(c)
}

// storeFlags answers STORE.
func (i *imapSession) storeFlags(c *command) error { return i.storeBy(c, false) }

func (i *imapSession) storeBy(c *command, byUID bool) error {
	numbers, err := c.set()
	if err != nil {
		return err
	}
	operation, err := c.argument()
	if err != nil {
		return err
	}
	if err := c.space(); err != nil {
		return err
	}
	names, err := c.flagNames()
	if err != nil {
		return err
	}
	if i.selected.readOnly {
		return i.readOnly(c)
	}
	operation, silent := strings.CutSuffix(strings.ToUpper(operation), ".SILENT")
	change, err := flagChange(operation, newFlagSet(names))
	if err != nil {
		return err
	}
	for _, picked := range i.pick(numbers, byUID) {
		if err := i.storeOne(picked, change, silent, byUID); err != nil {
			return err
		}
	}
	return i.completed(c)
}

func flagChange(operation string, set flagSet) (func(flagSet) flagSet, error) {
	switch operation {
	case "FLAGS":
		return func(flagSet) flagSet { return set }, nil
	case "+FLAGS":
		return func(old flagSet) flagSet { return old | set }, nil
	case "-FLAGS":
		return func(old flagSet) flagSet { return old &^ set }, nil
	}
	return nil, errArgument
}

// storeOne changes a message's flags and tells the client, who is then not told again with the news.
func (i *imapSession) storeOne(n numbered, change func(flagSet) flagSet, silent, byUID bool) error {
	defer i.server.store.lock()()
	m := n.message
	if changed := change(m.flags); changed != m.flags {
		before := i.server.store.changes
		m.flags = changed
		m.changed = i.server.store.changedNow()
		if i.selected.flagsSeen == before {
			i.selected.flagsSeen = m.changed
		}
	}
	if silent {
		return nil
	}
	uid := ""
	if byUID {
		uid = fmt.Sprintf(" UID %d", m.uid)
	}
	return i.line("* %d FETCH (FLAGS %s%s)", n.number, m.flags, uid)
}

// copy answers COPY and MOVE (RFC 6851) with the UIDs of RFC 4315.
func (i *imapSession) copy(c *command) error { return i.copyBy(c, false) }

func (i *imapSession) copyBy(c *command, byUID bool) error {
	numbers, err := c.set()
	if err != nil {
		return err
	}
	name, err := c.argument()
	if err != nil {
		return err
	}
	if c.name == "MOVE" && i.selected.readOnly {
		return i.readOnly(c)
	}
	picked := i.pick(numbers, byUID)
	from, to, validity, found := i.copyTo(picked, name)
	if !found {
		return i.line("%s NO [TRYCREATE] %s doesn't exist.", c.tag, name)
	}
	if c.name == "COPY" {
		code := ""
		if len(picked) > 0 {
			code = fmt.Sprintf("[COPYUID %d %s %s] ", validity, from, to)
		}
		if err := i.tellNews(true); err != nil {
			return err
		}
		return i.line("%s OK %sCOPY completed.", c.tag, code)
	}
	if len(picked) > 0 {
		if err := i.line("* OK [COPYUID %d %s %s] Moved", validity, from, to); err != nil {
			return err
		}
	}
	i.remove(func(m *message) bool {
		return slices.ContainsFunc(picked, func(n numbered) bool { return n.message == m })
	})
	return i.completed(c)
}

func (i *imapSession) copyTo(picked []numbered, name string) (from, to string, validity uint32, found bool) {
	defer i.server.store.lock()()
	f := i.box().folder(name)
	if f == nil {
		return "", "", 0, false
	}
	var sources, copies []string
	for _, n := range picked {
		m := i.server.store.append(f, n.message.content, n.message.flags, n.message.date)
		sources, copies = append(sources, fmt.Sprint(n.message.uid)), append(copies, fmt.Sprint(m.uid))
	}
	return strings.Join(sources, ","), strings.Join(copies, ","), f.validity, true
}
