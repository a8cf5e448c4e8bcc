package smtpproxy

import (
	"crypto/rand"
	"errors"
	"io"
	"time"

	"postern/internal/header"
)

// maxHops is how many Received fields a message may have: more of them are a loop (RFC 5321 section 6.3).
const maxHops = 100

// edit is the writer that a message passes through on its way to upstream or to the queue. It takes the message as it
// crosses the wire, its end included, and makes the changes that docs/flow.md lists: in the header block, which it holds
// until it is whole and no longer. The body's bytes go on as they are.
//
// Errors: a *fault when the message is refused, and what the destination returns. After an error nothing of the message
// counts.
type edit struct {
	to        io.Writer
	trace     string // the Received line, in front of all
	senders   senders
	profile   Profile
	eightBit  bool // 8-bit characters were announced
	ascii     bool // upstream does not take a header beyond ASCII
	domain    string
	now       time.Time
	collector header.Collector
	past      bool // the header block has gone on
}

// Write passes on a portion of the message.
func (e *edit) Write(p []byte) (int, error) {
	if !e.eightBit && hasEightBit(p) {
		return 0, faultEightBit
	}
	if e.past {
		return e.to.Write(p)
	}
	e.collector.KeepStray = !e.profile.MissingFields
	block, rest, done, err := e.collector.Add(p)
	switch {
	case errors.Is(err, header.ErrTooLarge):
		return 0, faultHeader
	case err != nil || !done:
		return len(p), err
	}
	if f := e.change(&block); f != nil {
		return 0, f
	}
	e.past = true
	head := block.AppendTo([]byte(e.trace))
	if block.Ending != header.Blank && e.profile.MissingFields {
		head = append(head, "\r\n"...)
	}
	if e.ascii && hasEightBit(head) {
		return 0, faultUTF8Header
	}
	if _, err := e.to.Write(append(head, rest...)); err != nil {
		return 0, err
	}
	e.collector = header.Collector{}
	return len(p), nil
}

// change edits the header block.
func (e *edit) change(b *header.Block) *fault {
	if len(b.All("Received")) > maxHops {
		return faultLoop
	}
	if f := e.senders.header(b); f != nil {
		return f
	}
	b.Remove("Bcc") // threat model I-10
	b.Remove("Resent-Bcc")
	if e.profile.MissingFields {
		e.supply(b)
	}
	return nil
}

// supply adds the fields that a message must have (RFC 5322 section 3.6), and the one that it should.
func (e *edit) supply(b *header.Block) {
	if !b.Has("Message-ID") {
		b.Set(header.New("Message-ID", "<"+rand.Text()+"@"+e.domain+">"))
	}
	if !b.Has("Date") {
		b.Set(header.New("Date", e.now.Format(dateFormat)))
	}
	if !b.Has("From") {
		b.Set(header.New("From", header.Address{Address: e.senders.mailbox}.String()))
	}
}

// hasEightBit reports whether there is a byte beyond ASCII.
func hasEightBit(p []byte) bool {
	var all byte
	for len(p) >= 8 {
		all |= p[0] | p[1] | p[2] | p[3] | p[4] | p[5] | p[6] | p[7]
		p = p[8:]
	}
	for _, b := range p {
		all |= b
	}
	return all >= 0x80
}
