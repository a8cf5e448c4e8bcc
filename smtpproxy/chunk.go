package smtpproxy

import (
	"context"
	"strconv"
	"strings"

	"postern/internal/audit"
)

// chunked is a message that comes by BDAT (RFC 3030) in chunks of announced sizes. It goes on as every other: with its
// dots doubled and a dot at its end. Between two chunks it outlives a command.
type chunked struct {
	transaction *transaction
	message     *edit
	framing     stuffing
	size        int64 // bytes so far
}

// bdat answers BDAT. The bytes of a chunk are read whatever becomes of it, so that they are never taken for commands.
func (d *dialogue) bdat(ctx context.Context, rest string) error {
	n, last, ok := parseChunk(rest)
	if !ok { // where the next command begins, nobody knows
		d.farewell(replySyntax)
		return errDone
	}
	if d.grant == nil { // and to a stranger the chunk may be as long as he likes
		d.farewell(replyAuthFirst)
		return errDone
	}
	if err := d.flush(); err != nil { // the client may wait for a reply before it sends the chunk
		return err
	}
	if d.chunks == nil {
		if answered, err := d.firstChunk(ctx, n); answered {
			return err
		}
	}
	c := d.chunks
	f, err := d.readChunk(n, last)
	switch {
	case err != nil:
		d.dropChunks(audit.Message{Reason: "client-lost", Detail: err.Error()}, replyTrouble)
		return err
	case f != nil:
		d.chunks = nil
		return d.settle(c.transaction, c.size, f)
	case !last:
		return d.send(say(250, "2.0.0 "+strconv.FormatInt(n, 10)+" octets received"))
	}
	d.chunks = nil
	return d.settle(c.transaction, c.size, nil)
}

// parseChunk reads what follows BDAT: a size, and LAST for the message's last chunk.
func parseChunk(rest string) (n int64, last, ok bool) {
	size, word, more := strings.Cut(rest, " ")
	u, err := strconv.ParseUint(size, 10, 62)
	if err != nil || more && !strings.EqualFold(word, "LAST") {
		return 0, false, false
	}
	return int64(u), more, true
}

// firstChunk sets out for a message's content. answered says that the client has its answer, and that the chunk's bytes
// have been read away.
func (d *dialogue) firstChunk(ctx context.Context, n int64) (answered bool, err error) {
	t := d.transaction
	refusal := replySequence
	if t != nil && len(t.recipients) == 0 {
		refusal = replyNoRecipients
	}
	if t == nil || len(t.recipients) == 0 {
		if err := d.discard(n); err != nil {
			return true, err
		}
		return true, d.send(refusal)
	}
	// The refusal may come first: it waits in the buffer until the chunk has been read.
	if answered, err := d.openContent(ctx, t); answered {
		if err == nil {
			err = d.discard(n)
		}
		return true, err
	}
	d.chunks = &chunked{transaction: t, message: d.newEdit(t, d.destination(t))}
	return false, nil
}

// readChunk reads a chunk and passes it on. On a fault the rest is read away.
func (d *dialogue) readChunk(n int64, last bool) (f *fault, err error) {
	c := d.chunks
	block := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(block)
	for n > 0 {
		got, err := d.readBlock(block[:min(n, blockSize)])
		if err != nil {
			return f, err
		}
		n -= int64(got)
		c.size += int64(got)
		if f == nil {
			f = d.passBlock(c.message, c.framing.take(block[:got]), c.size, c.framing.bare)
		}
	}
	if last && f == nil {
		end := c.framing.end()
		f = d.passBlock(c.message, end, c.size, c.framing.bare)
	}
	return f, nil
}

// discard reads bytes away.
func (d *dialogue) discard(n int64) error {
	block := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(block)
	for n > 0 {
		got, err := d.readBlock(block[:min(n, blockSize)])
		if err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}

// dropChunks gives up a message that has come in part, and records it. Upstream is hung up on, since it waits for the rest.
func (d *dialogue) dropChunks(m audit.Message, r reply) {
	c := d.chunks
	if c == nil {
		return
	}
	d.chunks = nil
	m.Outcome, m.Size = audit.Refused, c.size
	d.tally.received += c.size
	d.lostUpstream(c.transaction)
	c.transaction.closeSpool()
	d.record(c.transaction, m, r)
}

// stuffing makes of a message's bytes what crosses the wire behind DATA. The zero value is at the start of a message.
type stuffing struct {
	state endState
	bare  bool // a bare CR or LF has been seen
	out   []byte
}

// take gives the next portion with its dots doubled. A CR waits for its LF.
func (s *stuffing) take(p []byte) []byte {
	s.out = s.out[:0]
	for _, b := range p {
		switch {
		case s.state == afterCR && b != '\n', s.state != afterCR && b == '\n':
			s.bare = true
			return nil
		case b == '\r':
			s.state = afterCR
			continue
		case b == '\n':
			s.out = append(s.out, '\r', '\n')
			s.state = lineStart
			continue
		case b == '.' && s.state == lineStart:
			s.out = append(s.out, '.')
		}
		s.out = append(s.out, b)
		s.state = inLine
	}
	return s.out
}

// end gives the end of the message, behind a line end where it has none.
func (s *stuffing) end() []byte {
	if s.state == afterCR {
		s.bare = true
	}
	if s.state == lineStart {
		return []byte(".\r\n")
	}
	return []byte("\r\n.\r\n")
}
