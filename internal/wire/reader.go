// Package wire reads the dialogues of mail protocols: lines that end in CRLF, and literals of a known length, each
// within a bound. Both proxies and the simulator read through it.
//
// The package knows where a line ends and nothing of what it means. It never waits for more than it needs, so that a
// dialogue can hand its connection over to something else at any line: what was read ahead is given up by
// [Reader.Drain] or read by [Reader.Read].
package wire

import (
	"bytes"
	"errors"
	"io"
)

// ErrLineTooLong is returned by [Reader.ReadLine] for a line longer than the reader's bound. The line has been read
// away to its end; the next call reads the line after it.
var ErrLineTooLong = errors.New("line too long")

// ErrBareLineEnd is returned by [Reader.ReadLine] for a line that ends in LF without CR or has a CR in its middle.
// The line has been consumed. Two parsers that disagree about such lines is how messages and commands are smuggled
// (RFC 5321 section 2.3.8), so nobody here takes them for line ends.
var ErrBareLineEnd = errors.New("bare CR or LF in line")

const (
	// firstBuffer is the size in bytes of a reader's buffer: enough for every ordinary command.
	firstBuffer = 512
	// keptBuffer is the largest buffer in bytes that is kept for the next line.
	keptBuffer = 4096
	// emptyReads is how often in a row a source may give nothing and no error, as an [io.Reader] is allowed to.
	emptyReads = 100
)

// Reader reads lines and literals. It is not safe for concurrent use.
type Reader struct {
	source  io.Reader
	maxLine int    // longest line in bytes, its CRLF not counted
	buffer  []byte // holds unread bytes at [start:end]
	start   int
	end     int
}

// NewReader gives a reader of source that takes lines of at most maxLine bytes, their CRLF not counted.
func NewReader(source io.Reader, maxLine int) *Reader {
	return &Reader{source: source, maxLine: maxLine}
}

// ReadLine gives the next line without its CRLF. The bytes are valid until the next call of any method.
//
// Errors: [ErrLineTooLong], [ErrBareLineEnd], io.EOF between two lines, io.ErrUnexpectedEOF within one, and what the
// source returns.
func (r *Reader) ReadLine() ([]byte, error) {
	line, err := r.untilLF()
	if err != nil {
		return nil, err
	}
	return checkLine(line, r.maxLine)
}

// ReadLooseLine is ReadLine for clients that cannot do better: a line may end in LF alone, and bare reports that it does.
// A CR in its middle is [ErrBareLineEnd] still.
func (r *Reader) ReadLooseLine() (line []byte, bare bool, err error) {
	if line, err = r.untilLF(); err != nil {
		return nil, false, err
	}
	line, whole := bytes.CutSuffix(line, []byte("\r"))
	switch {
	case bytes.IndexByte(line, '\r') >= 0:
		return nil, !whole, ErrBareLineEnd
	case len(line) > r.maxLine:
		return nil, !whole, ErrLineTooLong
	}
	return line, !whole, nil
}

// untilLF gives the bytes up to the next LF, without it. They may be one more than a line may have, for a CR.
func (r *Reader) untilLF() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(r.buffer[r.start+searched:r.end], '\n'); i >= 0 {
			line := r.buffer[r.start : r.start+searched+i]
			r.start += searched + i + 1
			return line, nil
		}
		searched = r.end - r.start
		if searched > r.maxLine+1 {
			return nil, r.skipLine()
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && searched > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// checkLine takes a line that LF ended and gives it without the CR before that LF.
func checkLine(line []byte, maxLine int) ([]byte, error) {
	last := len(line) - 1
	if last < 0 || line[last] != '\r' || bytes.IndexByte(line[:last], '\r') >= 0 {
		return nil, ErrBareLineEnd
	}
	if last > maxLine {
		return nil, ErrLineTooLong
	}
	return line[:last], nil
}

// skipLine reads away the rest of a line that is too long, keeping nothing of it.
func (r *Reader) skipLine() error {
	for {
		if i := bytes.IndexByte(r.buffer[r.start:r.end], '\n'); i >= 0 {
			r.start += i + 1
			return ErrLineTooLong
		}
		r.start, r.end = 0, 0
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// fill reads once from the source into the buffer, with room made first.
func (r *Reader) fill() error {
	r.makeRoom()
	for range emptyReads {
		n, err := r.source.Read(r.buffer[r.end:])
		r.end += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom sees to free space behind the unread bytes: a buffer if there is none, the unread bytes moved to its
// front, or a larger buffer. An empty buffer that a long line had grown goes first.
func (r *Reader) makeRoom() {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buffer) > keptBuffer {
			r.buffer = nil
		}
	}
	switch {
	case r.buffer == nil:
		r.buffer = make([]byte, firstBuffer)
	case r.end < len(r.buffer):
	case r.start > 0:
		r.end = copy(r.buffer, r.buffer[r.start:r.end])
		r.start = 0
	default:
		r.buffer = append(r.buffer, make([]byte, len(r.buffer))...)
	}
}

// ReadLiteral gives the next n bytes, in memory of the caller's own. The caller has held n against its own bound.
// Errors: io.ErrUnexpectedEOF, and what the source returns.
func (r *Reader) ReadLiteral(n int) ([]byte, error) {
	literal := make([]byte, n)
	if _, err := io.ReadFull(r, literal); err != nil {
		if errors.Is(err, io.EOF) && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return literal, nil
}

// Read gives what has been read ahead, and then reads from the source without a buffer between.
func (r *Reader) Read(p []byte) (int, error) {
	if r.start == r.end {
		return r.source.Read(p)
	}
	n := copy(p, r.buffer[r.start:r.end])
	r.start += n
	return n, nil
}

// Unread puts bytes that Read gave back before what has been read ahead, to be read again.
func (r *Reader) Unread(p []byte) {
	if len(p) == 0 {
		return
	}
	rest := r.buffer[r.start:r.end]
	buffer := make([]byte, max(firstBuffer, len(p)+len(rest)))
	r.start, r.end = 0, copy(buffer, p)
	r.end += copy(buffer[r.end:], rest)
	r.buffer = buffer
}

// Buffered gives the number of bytes that have been read ahead.
func (r *Reader) Buffered() int { return r.end - r.start }

// HasLine reports whether the next line has been read ahead whole, so that ReadLine will not wait.
func (r *Reader) HasLine() bool { return bytes.IndexByte(r.buffer[r.start:r.end], '\n') >= 0 }

// Drain takes what has been read ahead out of the reader, in memory of the caller's own; nil when there is nothing.
// It is how a relay takes over, and how a STARTTLS forgets what came before the handshake (RFC 3207 section 4.2).
func (r *Reader) Drain() []byte {
	ahead := bytes.Clone(r.buffer[r.start:r.end])
	r.buffer, r.start, r.end = nil, 0, 0
	if len(ahead) == 0 {
		return nil
	}
	return ahead
}
