package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"mime"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-message/textproto"
)

// item is one data item of FETCH: how it is written for a message.
type item func(i *imapSession, m *message) error

// fetch answers FETCH and UID FETCH.
func (i *imapSession) fetch(c *command) error { return i.fetchBy(c, false) }

func (i *imapSession) fetchBy(c *command, byUID bool) error {
	numbers, err := c.set()
	if err != nil {
		return err
	}
	if err := c.space(); err != nil {
		return err
	}
	items, sees, err := fetchItems(c, byUID)
	if err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	for _, picked := range i.pick(numbers, byUID) {
		if sees && !i.selected.readOnly {
			i.see(picked.message)
		}
		if err := i.fetchOne(picked, items); err != nil {
			return err
		}
	}
	return i.completed(c)
}

// numbered is a message with its sequence number.
type numbered struct {
	number  int
	message *message
}

// pick gives the messages of a set that still exist.
func (i *imapSession) pick(numbers set, byUID bool) []numbered {
	defer i.server.store.lock()()
	s := i.selected
	largest := uint32(len(s.view))
	if byUID && len(s.view) > 0 {
		largest = s.view[len(s.view)-1]
	}
	var picked []numbered
	for n, uid := range s.view {
		number := uint32(n + 1)
		if byUID {
			number = uid
		}
		if !numbers.contains(number, largest) {
			continue
		}
		if at, there := s.folder.find(uid); there {
			picked = append(picked, numbered{n + 1, s.folder.messages[at]})
		}
	}
	return picked
}

// see sets \Seen, as reading a body does.
func (i *imapSession) see(m *message) {
	defer i.server.store.lock()()
	if m.flags&seenFlag == 0 {
		m.flags |= seenFlag
		m.changed = i.server.store.changedNow()
	}
}

func (i *imapSession) fetchOne(n numbered, items []item) error {
	if _, err := fmt.Fprintf(i.out, "* %d FETCH (", n.number); err != nil {
		return err
	}
	for at, write := range items {
		if at > 0 {
			_ = i.out.WriteByte(' ')
		}
		if err := write(i, n.message); err != nil {
			return err
		}
	}
	return i.line(")")
}

// fetchItems reads the items, and tells whether they set \Seen.
func fetchItems(c *command, byUID bool) (items []item, sees bool, err error) {
	hasUID := false
	one := func() error {
		name, err := c.pattern(`(){%*"\[]`)
		if err != nil {
			return err
		}
		name = strings.ToUpper(name)
		hasUID = hasUID || name == "UID"
		more, reads, err := fetchItem(c, name)
		items, sees = append(items, more...), sees || reads
		return err
	}
	if len(c.rest) > 0 && c.rest[0] == '(' {
		err = c.list(one)
	} else {
		err = one()
	}
	if byUID && !hasUID {
		items = append(items, uidItem)
	}
	return items, sees, err
}

func uidItem(i *imapSession, m *message) error   { return i.write("UID %d", m.uid) }
func flagsItem(i *imapSession, m *message) error { return i.write("FLAGS %s", i.flagsOf(m)) }
func dateItem(i *imapSession, m *message) error {
	return i.write("INTERNALDATE \"%s\"", m.date.Format(dateTime))
}
func sizeItem(i *imapSession, m *message) error { return i.write("RFC822.SIZE %d", len(m.content)) }
func envelopeItem(i *imapSession, m *message) error {
	return i.write("ENVELOPE %s", envelope(m.content))
}
func structureItem(name string) item {
	return func(i *imapSession, m *message) error {
		return i.write("%s %s", name, structure(imapserver.ExtractBodyStructure(bytes.NewReader(m.content)), name == "BODYSTRUCTURE"))
	}
}

func (i *imapSession) flagsOf(m *message) flagSet {
	defer i.server.store.lock()()
	return m.flags
}

func (i *imapSession) write(format string, arguments ...any) error {
	_, err := fmt.Fprintf(i.out, format, arguments...)
	return err
}

// fetchItem gives what a name stands for. Of a name that has a section, the section is read.
func fetchItem(c *command, name string) (items []item, sees bool, err error) {
	fast := []item{flagsItem, dateItem, sizeItem}
	switch name {
	case "FAST":
		return fast, false, nil
	case "ALL":
		return append(fast, envelopeItem), false, nil
	case "FULL":
		return append(fast, envelopeItem, structureItem("BODY")), false, nil
	case "UID":
		return []item{uidItem}, false, nil
	case "FLAGS":
		return []item{flagsItem}, false, nil
	case "INTERNALDATE":
		return []item{dateItem}, false, nil
	case "RFC822.SIZE":
		return []item{sizeItem}, false, nil
	case "ENVELOPE":
		return []item{envelopeItem}, false, nil
	case "BODYSTRUCTURE":
		return []item{structureItem(name)}, false, nil
	case "RFC822":
		return []item{sectionItem(name, &imap.FetchItemBodySection{})}, true, nil
	case "RFC822.HEADER":
		return []item{sectionItem(name, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader})}, false, nil
	case "RFC822.TEXT":
		return []item{sectionItem(name, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText})}, true, nil
	case "BODY", "BODY.PEEK":
		if name == "BODY" && (len(c.rest) == 0 || c.rest[0] != '[') {
			return []item{structureItem(name)}, false, nil
		}
		label, section, err := bodySection(c)
		return []item{sectionItem(label, section)}, name == "BODY", err
	}
	return nil, false, errArgument
}

// bodySection reads "[section]<from.count>" and gives the label under which the answer goes.
func bodySection(c *command) (label string, section *imap.FetchItemBodySection, err error) {
	end := bytes.IndexByte(c.rest, ']')
	if end < 0 || c.rest[0] != '[' {
		return "", nil, errArgument
	}
	inside := &command{rest: c.rest[1:end], literals: c.literals}
	label = "BODY[" + strings.ToUpper(string(inside.rest)) + "]"
	c.rest = c.rest[end+1:]
	section = &imap.FetchItemBodySection{}
	if err := sectionParts(inside, section); err != nil {
		return "", nil, err
	}
	if !c.skip('<') {
		return label, section, nil
	}
	partial, after, found := bytes.Cut(c.rest, []byte(">"))
	from, count, dotted := strings.Cut(string(partial), ".")
	offset, err1 := strconv.ParseUint(from, 10, 32)
	size, err2 := strconv.ParseUint(count, 10, 32)
	if !found || !dotted || err1 != nil || err2 != nil || size == 0 {
		return "", nil, errArgument
	}
	c.rest = after
	section.Partial = &imap.SectionPartial{Offset: int64(offset), Size: int64(size)}
	return label + "<" + from + ">", section, nil
}

// sectionParts reads part numbers and a specifier.
func sectionParts(c *command, section *imap.FetchItemBodySection) error {
	for len(c.rest) > 0 && c.rest[0] >= '0' && c.rest[0] <= '9' {
		digits := 0
		for digits < len(c.rest) && c.rest[digits] >= '0' && c.rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseUint(string(c.rest[:digits]), 10, 16)
		if err != nil || n == 0 {
			return errArgument
		}
		section.Part = append(section.Part, int(n))
		if c.rest = c.rest[digits:]; !c.skip('.') {
			return c.end()
		}
	}
	specifier, _ := c.word()
	switch strings.ToUpper(specifier) {
	case "", "HEADER", "TEXT":
		section.Specifier = imap.PartSpecifier(strings.ToUpper(specifier))
	case "MIME":
		section.Specifier = imap.PartSpecifierMIME
	case "HEADER.FIELDS":
		section.Specifier = imap.PartSpecifierHeader
		return headerFields(c, &section.HeaderFields)
	case "HEADER.FIELDS.NOT":
		section.Specifier = imap.PartSpecifierHeader
		return headerFields(c, &section.HeaderFieldsNot)
	default:
		return errArgument
	}
	return c.end()
}

func headerFields(c *command, into *[]string) error {
	if err := c.space(); err != nil {
		return err
	}
	if err := c.list(func() error {
		field, err := c.astring()
		*into = append(*into, field)
		return err
	}); err != nil {
		return err
	}
	return c.end()
}

// sectionItem writes a section as a literal.
func sectionItem(label string, section *imap.FetchItemBodySection) item {
	return func(i *imapSession, m *message) error {
		content := extract(m.content, section)
		if _, err := fmt.Fprintf(i.out, "%s {%d}\r\n", label, len(content)); err != nil {
			return err
		}
		_, err := i.out.Write(content)
		return err
	}
}

// extract gives a section of a message. The whole message is given as it is, without a copy.
func extract(content []byte, section *imap.FetchItemBodySection) []byte {
	if section.Specifier != imap.PartSpecifierNone || len(section.Part) > 0 {
		return imapserver.ExtractBodySection(bytes.NewReader(content), section)
	}
	if p := section.Partial; p != nil {
		from := min(p.Offset, int64(len(content)))
		content = content[from:min(from+p.Size, int64(len(content)))]
	}
	return content
}

// nstring writes a string, or NIL for an empty one.
func nstring(s string) string {
	if s == "" {
		return "NIL"
	}
	if strings.ContainsAny(s, "\r\n\x00") || strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		s = mime.QEncoding.Encode("utf-8", strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(s))
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// envelope writes ENVELOPE (RFC 3501 section 7.4.2).
func envelope(content []byte) string {
	header, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(content)))
	if err != nil {
		return "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
	}
	return envelopeText(imapserver.ExtractEnvelope(header))
}

func envelopeText(e *imap.Envelope) string {
	if e == nil {
		e = &imap.Envelope{}
	}
	date := ""
	if !e.Date.IsZero() {
		date = e.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700")
	}
	sender, replyTo := e.Sender, e.ReplyTo
	if sender == nil {
		sender = e.From
	}
	if replyTo == nil {
		replyTo = e.From
	}
	fields := []string{nstring(date), nstring(e.Subject), addresses(e.From), addresses(sender), addresses(replyTo),
		addresses(e.To), addresses(e.Cc), addresses(e.Bcc), nstring(angles(e.InReplyTo...)), nstring(angles(e.MessageID))}
	return "(" + strings.Join(fields, " ") + ")"
}

func angles(ids ...string) string {
	if len(ids) == 0 || ids[0] == "" {
		return ""
	}
	return "<" + strings.Join(ids, "> <") + ">"
}

func addresses(list []imap.Address) string {
	if len(list) == 0 {
		return "NIL"
	}
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "(%s NIL %s %s)", nstring(a.Name), nstring(a.Mailbox), nstring(a.Host))
	}
	return "(" + b.String() + ")"
}

// structure writes BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2).
func structure(s imap.BodyStructure, extended bool) string {
	switch s := s.(type) {
	case *imap.BodyStructureMultiPart:
		var b strings.Builder
		for _, child := range s.Children {
			b.WriteString(structure(child, extended))
		}
		b.WriteString(" " + nstring(s.Subtype))
		if extended && s.Extended != nil {
			fmt.Fprintf(&b, " %s %s NIL NIL", parameters(s.Extended.Params), disposition(s.Extended.Disposition))
		}
		return "(" + b.String() + ")"
	case *imap.BodyStructureSinglePart:
		return "(" + singlePart(s, extended) + ")"
	}
	return `("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 0 0)`
}

func singlePart(s *imap.BodyStructureSinglePart, extended bool) string {
	encoding := s.Encoding
	if encoding == "" {
		encoding = "7BIT"
	}
	text := fmt.Sprintf("%s %s %s %s %s %s %d", nstring(s.Type), nstring(s.Subtype), parameters(s.Params),
		nstring(s.ID), nstring(s.Description), nstring(encoding), s.Size)
	if m := s.MessageRFC822; m != nil {
		text += fmt.Sprintf(" %s %s %d", envelopeText(m.Envelope), structure(m.BodyStructure, extended), m.NumLines)
	} else if s.Text != nil {
		text += fmt.Sprintf(" %d", s.Text.NumLines)
	}
	if extended && s.Extended != nil {
		text += fmt.Sprintf(" NIL %s NIL NIL", disposition(s.Extended.Disposition))
	}
	return text
}

func disposition(d *imap.BodyStructureDisposition) string {
	if d == nil {
		return "NIL"
	}
	return "(" + nstring(d.Value) + " " + parameters(d.Params) + ")"
}

func parameters(p map[string]string) string {
	if len(p) == 0 {
		return "NIL"
	}
	var pairs []string
	for name, value := range p {
		if value == "" {
			value = " "
		}
		pairs = append(pairs, nstring(name)+" "+nstring(value))
	}
	return "(" + strings.Join(pairs, " ") + ")"
}
