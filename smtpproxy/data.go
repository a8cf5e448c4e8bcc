package smtpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"postern/internal/audit"
	"postern/internal/relay"
)

// blockSize is the size in bytes of the buffer that a message passes through: some TLS records.
const blockSize = relay.BlockSize

// blocks holds the *[blockSize]byte that no message uses at the moment.
var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// dateFormat is that of a trace line and of Date (RFC 5322 section 3.3).
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// data answers DATA: it passes the message on while it comes, and hands back upstream's final word; or it takes the
// message into the queue.
func (d *dialogue) data(ctx context.Context, rest string) error {
	t := d.transaction
	switch {
	case rest != "":
		return d.reject(replyNoParameters)
	case t == nil:
		return d.outOfTurn()
	case len(t.recipients) == 0:
		return d.send(replyNoRecipients)
	}
	if answered, err := d.openContent(ctx, t); answered {
		return err
	}
	size, fault, err := d.invite(t)
	if err != nil { // upstream waits for the message: not even a QUIT may follow
		d.lostUpstream(t)
		t.closeSpool()
		d.record(t, audit.Message{Outcome: audit.Refused, Reason: "client-lost", Size: size, Detail: err.Error()}, replyTrouble)
		return err
	}
	return d.settle(t, size, fault)
}

// openContent sees to the places that a message's content goes to, and ends the envelope. answered says that the client has
// its answer already, and that the message has come to nothing.
func (d *dialogue) openContent(ctx context.Context, t *transaction) (answered bool, err error) {
	if r, err := d.spend(ctx, t); r.code != 0 {
		d.abandon()
		return true, d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "limit", Detail: errorText(err)}, r)
	}
	if answered, err := d.widen(ctx, t); answered {
		return true, err
	}
	if t.why == "" {
		if answered, err := d.askForData(t); answered {
			return true, err
		}
	}
	d.transaction = nil
	if d.delivery() != direct {
		t.spool = d.proxy.Queue.NewSpool()
	}
	return false, nil
}

// settle answers for a message whose content has come to its end: whole, or with a fault.
func (d *dialogue) settle(t *transaction, size int64, f *fault) error {
	defer t.closeSpool()
	d.tally.received += size
	switch {
	case f != nil:
		d.lostUpstream(t)
		return d.fail(t, size, f)
	case t.upstream == nil:
		return d.enqueue(t, size)
	}
	return d.awaitFinal(t, size)
}

// closeSpool gives back what a message was spooled in.
func (t *transaction) closeSpool() {
	if t.spool != nil {
		t.spool.Close()
		t.spool = nil
	}
}

// askForData asks upstream for the message. done says that the client has its answer already.
func (d *dialogue) askForData(t *transaction) (done bool, err error) {
	r, err := t.upstream.timedCommand("DATA")
	switch lost := err != nil || r.code == 421 || r.code != 354 && r.code < 400; {
	case lost && d.delivery() == autoMode:
		d.lostUpstream(t)
		d.turnToQueue(t, "upstream was lost before the message")
	case lost:
		return true, d.lose(err)
	case r.code != 354 && d.postponable(r):
		d.turnToQueue(t, r.text())
	case r.code != 354:
		d.abandon() // upstream is in the transaction still
		return true, d.finish(t, audit.Message{Outcome: audit.Refused, Reason: "upstream-refused"}, r)
	}
	return false, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fail answers for a message that upstream did not get whole.
func (d *dialogue) fail(t *transaction, size int64, f *fault) error {
	return d.finish(t, audit.Message{Outcome: audit.Refused, Reason: f.reason, Size: size}, f.reply)
}

// invite tells the client to send its message, and passes it on. Only the client's loss is an error.
func (d *dialogue) invite(t *transaction) (size int64, f *fault, err error) {
	if err := d.send(say(354, "Start mail input; end with <CRLF>.<CRLF>")); err != nil {
		return 0, nil, err
	}
	if err := d.flush(); err != nil {
		return 0, nil, err
	}
	return d.pass(t)
}

// pass reads the message to its true end and has it edited and written to upstream as it comes. On a fault it hangs up on
// upstream, so that what was sent is never taken for a message, and reads the rest away. A CR at the end of a portion
// waits for what follows it: behind CRLF "." it is the end of a message to some servers. Only the client's loss is an
// error.
func (d *dialogue) pass(t *transaction) (size int64, f *fault, err error) {
	block := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(block)
	message, end := d.newEdit(t, d.destination(t)), d.framing()
	held := 0 // bytes at the block's start that wait
	for ended := false; !ended; {
		n, err := d.readBlock(block[held:])
		if err != nil {
			return size, f, err
		}
		var portion []byte
		var used int
		portion, used, ended = end.take(block[:held+n], held)
		size += int64(used)
		d.in.Unread(block[held+used : held+n])
		if f == nil {
			if f = d.passBlock(message, portion, size, end.isBare()); f != nil {
				d.link.drop()
			}
		}
		ready := held + used - end.undecided()
		held = copy(block[:], block[ready:held+used])
	}
	return size, f, nil
}

// readBlock reads what has come. A stop of the gateway sets a deadline in the past, which is not for messages.
func (d *dialogue) readBlock(block []byte) (int, error) {
	deadline := time.Now().Add(blockTimeout)
	_ = d.conn.SetReadDeadline(deadline)
	n, err := d.readNext(block)
	if n == 0 && isTimeout(err) && time.Now().Before(deadline) {
		_ = d.conn.SetReadDeadline(deadline)
		n, err = d.readNext(block)
	}
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// readNext reads what was read ahead with the commands, and then what comes.
func (d *dialogue) readNext(block []byte) (int, error) {
	if d.in.Buffered() > 0 {
		return d.in.Read(block)
	}
	return relay.ReadBlock(d.conn.Conn, block)
}

// passBlock passes on a portion of the message, unless it shows a fault.
func (d *dialogue) passBlock(message *edit, portion []byte, size int64, bare bool) *fault {
	switch {
	case bare:
		return faultBare
	case size > d.maxSize():
		return faultTooBig
	case len(portion) == 0:
		return nil
	}
	_, err := message.Write(portion)
	if f := (*fault)(nil); errors.As(err, &f) {
		return f
	}
	if err != nil {
		return faultUpstream
	}
	return nil
}

// maxSize is the largest message in bytes that the session may send, as far as is known before the sign-in.
func (d *dialogue) maxSize() int64 {
	if d.grant == nil || d.grant.Policy.Send.MaxSize == 0 {
		return MaxSize
	}
	return min(int64(d.grant.Policy.Send.MaxSize), MaxSize)
}

// deliver takes bytes of the message to upstream, to the spool, or to both. Either can do without the other. The error is
// a *fault.
func (d *dialogue) deliver(t *transaction, p []byte) (int, error) {
	if t.spool != nil {
		if _, err := t.spool.Write(p); err != nil {
			d.log.Error("a message cannot be spooled", "error", err)
			t.spool.Close()
			t.spool = nil
		}
	}
	if t.upstream != nil {
		if _, err := t.upstream.write(p); err != nil {
			d.log.Info("upstream lost in the middle of a message", "error", err)
			d.lostUpstream(t)
			if t.spool == nil {
				return 0, faultUpstream
			}
			t.why = "upstream was lost in the middle of the message"
		}
	}
	if t.upstream == nil && t.spool == nil {
		return 0, faultSpool
	}
	return len(p), nil
}

// destination is where a message's content goes.
func (d *dialogue) destination(t *transaction) io.Writer {
	return writerFunc(func(p []byte) (int, error) { return d.deliver(t, p) })
}

// writerFunc is a function that writes.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// newEdit makes the writer that the message passes through on its way to a destination.
func (d *dialogue) newEdit(t *transaction, to io.Writer) *edit {
	return &edit{to: to, trace: d.received(t), senders: sendersOf(d.grant), profile: d.door.Profile,
		eightBit: t.eightBit || d.door.Profile.Undeclared8Bit, ascii: t.utf8 && t.upstream != nil && !t.upstream.takesUTF8(),
		domain: d.proxy.Domain, now: d.proxy.Now()}
}

// received gives the trace line that every message gets (RFC 5321 section 4.4): who handed it to the gateway, and the
// session's id, by which the audit log tells the login. Recipients are not in it.
func (d *dialogue) received(t *transaction) string {
	with := "ESMTPA" // RFC 3848
	if d.conn.TLSVersion() != 0 {
		with = "ESMTPSA"
	}
	if t.utf8 {
		with = "UTF8" + strings.TrimPrefix(with, "E") // RFC 6531 section 4.3
	}
	return "Received: from " + heloWord(d.hello) + " ([" + addressLiteral(d.conn.Remote.Addr().AsSlice()) + "])\r\n" +
		"\tby " + d.proxy.Domain + " (Postern) with " + with + " id " + d.conn.Session + ";\r\n" +
		"\t" + d.proxy.Now().Format(dateFormat) + "\r\n"
}

// heloWord gives the name that a client called itself where it is a domain or an address literal, which is all that
// may stand in a trace line.
func heloWord(hello string) string {
	if validDomain(hello) && isASCIIText(hello) {
		return hello
	}
	return "unknown"
}

// addressLiteral writes an IP address as an address literal without its brackets (RFC 5321 section 4.1.3).
func addressLiteral(ip net.IP) string {
	if ip.To4() == nil {
		return "IPv6:" + ip.String()
	}
	return ip.String()
}
